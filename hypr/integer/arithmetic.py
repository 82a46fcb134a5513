"""Integer arithmetic of the specification on int64 tensors (FP-1.1 to FP-1.3). Nothing here rounds in floats."""

from __future__ import annotations

import torch
from torch import Tensor

from hardware.models import STATE_MAX


def sat(x: Tensor) -> Tensor:
    """Symmetric saturation to 24 bits (FP-1.1)."""
    return x.clamp(-STATE_MAX, STATE_MAX)


def shz(x: Tensor, shift: int) -> Tensor:
    """Right shift toward zero (FP-1.3).

    ``>>`` floors; adding ``2^shift - 1`` to the negatives first (their sign bits, masked) turns that into rounding
    toward zero.
    """
    return (x + ((x >> 63) & ((1 << shift) - 1))) >> shift


def mulsh(x: Tensor, coefficient: Tensor, shift: int) -> Tensor:
    """``sign(x) * ((|x| * c) >> shift)`` for ``c >= 0`` (FP-1.2). A 24-bit state times a 17-bit coefficient needs 41
    bits of the 64.
    """
    return shz(x * coefficient, shift)


def wrap24(x: Tensor) -> Tensor:
    """One wrap into (-2^23, 2^23], as Lava's LIF current (FP-3.5)."""
    full = 1 << 24
    half = 1 << 23
    return x - full * (x > half).to(torch.int64) + full * (x <= -half).to(torch.int64)
