"""Integer arithmetic of the specification, on NumPy arrays: pure functions, one clause each.

Arguments are int64 arrays (or Python ints); int64 is wide enough for the product of any 24-bit state and any
coefficient of the contract.
"""

from __future__ import annotations

import numpy as np

from hardware.models import STATE_BITS, STATE_MAX

WRAP = 2 ** (STATE_BITS - 1)
"""M of clause FP-3.5: the current of CubaLIF wraps around at plus and minus this value."""


def sat(x: np.ndarray) -> np.ndarray:
    """FP-1.1: symmetric saturation to a 24-bit state, ``clip(x, -(2^23 - 1), 2^23 - 1)``."""
    result: np.ndarray = np.minimum(np.maximum(x, -STATE_MAX), STATE_MAX)
    return result


def shz(x: np.ndarray, k: int) -> np.ndarray:
    """FP-1.3: shift right by k bits toward zero, ``sign(x) * (|x| >> k)``; a bare ``>>`` would floor."""
    magnitude = np.abs(x) >> k
    result: np.ndarray = np.where(x < 0, -magnitude, magnitude)
    return result


def mulsh(x: np.ndarray, c: np.ndarray, k: int) -> np.ndarray:
    """FP-1.2: multiply by a coefficient c >= 0 and shift right by k bits toward zero, ``sign(x) * ((|x| * c) >>
    k)``."""
    magnitude = (np.abs(x) * c) >> k
    result: np.ndarray = np.where(x < 0, -magnitude, magnitude)
    return result


def round_parameter(x: np.ndarray | float) -> np.ndarray:
    """FP-1.4: ``floor(x + 0.5)`` as int64; x is float64 and |x| < 2^52, so that the sum is exact to the half."""
    x = np.asarray(x, dtype=np.float64)
    whole = np.floor(x)
    result: np.ndarray = (whole + (x - whole >= 0.5)).astype(np.int64)  # x + 0.5 would round 0.49999999999999994 up
    return result


def wrap_once(x: np.ndarray) -> np.ndarray:
    """FP-3.5: one wrap into (-2^23, 2^23] as Lava's LIF does it; exact modulo only while |x| < 3 * 2^23."""
    return np.where(x > WRAP, x - 2 * WRAP, np.where(x <= -WRAP, x + 2 * WRAP, x))
