"""Numbers of the CPU kernels: fused multiply-add, exponential, surrogate derivatives, and 0, 1 and H(x) in the type of
what they meet (a bare 1 would make float64 of float32).

The compiler may not choose by itself where to fuse a multiplication with an addition: it would choose differently for
whole vectors and for the rest of a row, and a result would depend on where its sample stands in the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numba.np.numpy_support import as_dtype

from hypr.kernels.cpu.compile import INLINED, inlined, intrinsic

SLAYER = 0
DOUBLE_GAUSSIAN = 1
READOUT = 2


@intrinsic
def fused(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    """a b + c with one rounding; three numbers of one floating type."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), codegen


def nought(x):  # type: ignore[no-untyped-def]
    """0."""
    return 0 * x


def complement(x):  # type: ignore[no-untyped-def]
    """1 - x."""
    return 1 - x


def heaviside(x):  # type: ignore[no-untyped-def]
    """1 where x > 0, else 0."""
    return 1 if x > 0 else 0


@overload(nought, jit_options=INLINED)
def _nought(x):  # type: ignore[no-untyped-def]
    zero = as_dtype(x).type(0)
    return lambda x: zero


@overload(complement, jit_options=INLINED)
def _complement(x):  # type: ignore[no-untyped-def]
    one = as_dtype(x).type(1)
    return lambda x: one - x


@overload(heaviside, jit_options=INLINED)
def _heaviside(x):  # type: ignore[no-untyped-def]
    zero, one = as_dtype(x).type(0), as_dtype(x).type(1)
    return lambda x: one if x > zero else zero


def exponential(x):  # type: ignore[no-untyped-def]
    """exp(x) within 2 units in the last place, clamped instead of overflowing; a library call would keep the loop
    around it scalar.
    """
    return np.exp(x)


@overload(exponential, jit_options=INLINED)
def _exponential(x):  # type: ignore[no-untyped-def]
    return _exponential_float32 if x == types.float32 else _exponential_float64


def _exponential_float32(x):  # type: ignore[no-untyped-def]
    # Cephes expf: exp(x) = 2^k exp(r), |r| <= ln(2)/2, ln(2) in two parts so that r is exact to float32 rounding.
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    k = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = fused(k, np.float32(-0.693359375), x)
    r = fused(k, np.float32(2.12194440e-4), r)
    p = np.float32(1.9875691500e-4)
    p = fused(p, r, np.float32(1.3981999507e-3))
    p = fused(p, r, np.float32(8.3334519073e-3))
    p = fused(p, r, np.float32(4.1665795894e-2))
    p = fused(p, r, np.float32(1.6666665459e-1))
    p = fused(p, r, np.float32(5.0000001201e-1))
    y = fused(p, r * r, r) + np.float32(1.0)
    return y * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


def _exponential_float64(x):  # type: ignore[no-untyped-def]
    # Taylor polynomial of degree 13 on |r| <= ln(2)/2, whose truncation error 4e-18 is below half a unit of rounding.
    x = min(max(x, -708.0), 709.0)
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = fused(k, -6.93147180369123816490e-01, x)
    r = fused(k, -1.90821492927058770002e-10, r)
    p = 1.0 / 6227020800.0
    p = fused(p, r, 1.0 / 479001600.0)
    p = fused(p, r, 1.0 / 39916800.0)
    p = fused(p, r, 1.0 / 3628800.0)
    p = fused(p, r, 1.0 / 362880.0)
    p = fused(p, r, 1.0 / 40320.0)
    p = fused(p, r, 1.0 / 5040.0)
    p = fused(p, r, 1.0 / 720.0)
    p = fused(p, r, 1.0 / 120.0)
    p = fused(p, r, 1.0 / 24.0)
    p = fused(p, r, 1.0 / 6.0)
    p = fused(p, r, 0.5)
    y = fused(p, r * r, r) + 1.0
    return y * np.int64((np.int64(k) + np.int64(1023)) << np.int64(52)).view(np.float64)


@inlined
def surrogate(kind, shape, x):  # type: ignore[no-untyped-def]
    """Replaces x by psi(x) along a row. ``shape``: (c a / 2, -a) for SLAYER, two pairs (height, -1/(2 std^2)) for
    DOUBLE_GAUSSIAN. The output of a READOUT is no spike, its psi is 1.
    """
    if kind == SLAYER:
        height, rate = shape[0], shape[1]
        for i in range(x.size):
            x[i] = height * exponential(rate * abs(x[i]))
    elif kind == READOUT:
        x[:] = 1
    else:
        high, narrow, low, wide = shape[0], shape[1], shape[2], shape[3]
        for i in range(x.size):
            square = x[i] * x[i]
            x[i] = high * exponential(narrow * square) + low * exponential(wide * square)
