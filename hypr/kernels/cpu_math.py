"""Compiled pieces shared by the CPU kernels: exponential, surrogate derivatives, recurrent products.

Layout. Every kernel works on flat rows: the batch and neuron axes of one time step side by side (``F = B * N``, index
``b * N + n``), one row per state component, so that the innermost loop is long, contiguous and free of branches, which
is what LLVM needs to emit vector instructions. A kernel call handles the samples of one flat range [low, high); ranges
are independent, so threads take one each and results do not depend on their number. Per-neuron coefficients come
repeated per sample.

Arguments of all ``forward`` kernels: states (T+1, d, F) and spikes (T+1, F), row 0 given, the rest written; current (T,
F), given without its recurrent part, completed in place; coefficients (k, >= high - low); constants; outgoing (N, N),
row j = weights from neuron j, or (0, 0).

Arguments of all ``credit`` kernels, which run S adjoints at once over one set of Jacobians: states, spikes, current as
recorded; coefficients, constants; kind and shape of the surrogate; dz (T, F), the error of the only adjoint (S = 1), or
(0, 0), and then weights (S, T), the same error for all neurons; recurrent (N, N) or (0, 0); full, whether z^{t-1}
carries error; adjoint (S, d, F), in: at the window's end, out: at its start; later (F,), out: dL/dz at the window's
start; d_current (S, T, F); direct (T, F) or (0, 0); sums (S, k, F), added to.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from hypr.kernels.cpu_compile import compiled, inlined

SLAYER = 0
DOUBLE_GAUSSIAN = 1


def exponential(x):  # type: ignore[no-untyped-def]
    """exp(x) within 2 units in the last place, clamped instead of overflowing; a library call would keep the loop
    around it scalar.
    """
    return np.exp(x)


@overload(exponential, inline="always")
def _exponential(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return _exponential_float32
    return _exponential_float64


def _exponential_float32(x):  # type: ignore[no-untyped-def]
    # Cephes expf: exp(x) = 2^k exp(r), |r| <= ln(2)/2, ln(2) in two parts so that r is exact to float32 rounding.
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    k = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = (x - k * np.float32(0.693359375)) - k * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    y = p * (r * r) + r + np.float32(1.0)
    return y * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


def _exponential_float64(x):  # type: ignore[no-untyped-def]
    # Taylor polynomial of degree 13 on |r| <= ln(2)/2, whose truncation error 4e-18 is below half a unit of rounding.
    x = min(max(x, -708.0), 709.0)
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    y = p * (r * r) + r + 1.0
    return y * np.int64((np.int64(k) + np.int64(1023)) << np.int64(52)).view(np.float64)


@inlined
def surrogate(kind, shape, x):  # type: ignore[no-untyped-def]
    """Replaces x by psi(x) along a row. ``shape``: (c a / 2, -a) for SLAYER, two pairs (height, -1/(2 std^2)) for
    DOUBLE_GAUSSIAN.
    """
    if kind == SLAYER:
        height, rate = shape[0], shape[1]
        for i in range(x.size):
            x[i] = height * exponential(rate * abs(x[i]))
    else:
        high, narrow, low, wide = shape[0], shape[1], shape[2], shape[3]
        for i in range(x.size):
            square = x[i] * x[i]
            x[i] = high * exponential(narrow * square) + low * exponential(wide * square)


@inlined
def arriving(dz, weights, later, s, t, low, high, error):  # type: ignore[no-untyped-def]
    """error = what arrives at z^t of adjoint s: dz from above plus ``later`` from the next step, or one number for all
    neurons.
    """
    if dz.shape[0] > 0:
        row = dz[t, low:high]
        for i in range(error.size):
            error[i] = row[i] + later[i]
    else:
        error[:] = weights[s, t]


@compiled
def add_recurrent(current, spikes, outgoing):  # type: ignore[no-untyped-def]
    """current[b] += sum over the neurons j that spiked of ``spikes[b, j] outgoing[j]``, in ascending order of j, four
    per pass.

    The list of neurons that spiked is made without branches, which would be mispredicted more often than an addition
    costs.
    """
    neurons = outgoing.shape[0]
    if neurons == 0:
        return
    events = np.empty(neurons + 1, np.int64)
    for offset in range(0, current.size, neurons):
        row = current[offset : offset + neurons]
        count = 0
        for j in range(neurons):
            events[count] = j
            count += 1 if spikes[offset + j] != 0 else 0
        fours = count - count % 4
        for k in range(0, fours, 4):
            a, b, c, d = events[k], events[k + 1], events[k + 2], events[k + 3]
            za, zb, zc, zd = spikes[offset + a], spikes[offset + b], spikes[offset + c], spikes[offset + d]
            for i in range(neurons):
                row[i] += (za * outgoing[a, i] + zb * outgoing[b, i]) + (zc * outgoing[c, i] + zd * outgoing[d, i])
        for k in range(fours, count):
            a = events[k]
            za = spikes[offset + a]
            for i in range(neurons):
                row[i] += za * outgoing[a, i]


@compiled
def add_recurrent_error(d_current, recurrent, error):  # type: ignore[no-untyped-def]
    """error[b, j] += sum_i d_current[b, i] recurrent[i, j]: adjoint of the recurrent product, four terms a pass."""
    neurons = recurrent.shape[0]
    if neurons == 0:
        return
    fours = neurons - neurons % 4
    for offset in range(0, error.size, neurons):
        row = error[offset : offset + neurons]
        for i in range(0, fours, 4):
            a, b = d_current[offset + i], d_current[offset + i + 1]
            c, d = d_current[offset + i + 2], d_current[offset + i + 3]
            for j in range(neurons):
                row[j] += (a * recurrent[i, j] + b * recurrent[i + 1, j]) + (
                    c * recurrent[i + 2, j] + d * recurrent[i + 3, j]
                )
        for i in range(fours, neurons):
            a = d_current[offset + i]
            for j in range(neurons):
                row[j] += a * recurrent[i, j]
