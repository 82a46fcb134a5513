"""When a membrane resets, and to what (FP-3.7), for the ProcessModels of ``lif`` and ``cuba_lif``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware.fixed_point import sat


def fire(
    options: Mapping[str, str], threshold: np.ndarray, x: np.ndarray, x_before: np.ndarray, z_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Membrane after the reset, and spikes.

    Args:
        x: membrane after decay and input. x_before: what the step before left. z_before: spikes of the step before.
    """
    if options["reset_at"] == "next":
        x = np.where(z_before > 0, reset(options, threshold, x), x)
        return x, x > threshold
    tested = np.where(x_before > threshold, x - threshold, x) if options["reset_at"] == "carried" else x
    z = tested > threshold
    return np.where(z, reset(options, threshold, x), x), z


def reset(options: Mapping[str, str], threshold: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the membrane would be after a reset; saturated only where it holds integers."""
    if options["reset"] == "zero":
        return np.zeros_like(x)
    if options["reset"] == "none":
        return x
    return sat(x - threshold) if x.dtype.kind == "i" else x - threshold
