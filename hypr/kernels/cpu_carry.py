"""Compiled update and use of carried eligibilities.

With ``gains[s, t] = sum_k (prod_{t' > t} A^{t'})_{s k} B_k^t`` the eligibility after the window is ``onward e^0 + sum_t gains^t pre^t``, for each
sample an outer-product sum over time. Inputs are mostly zeros, so each event adds one row instead of a dense matrix product over time.

Arguments: gains (S, T, F); onward (S, S, F); pre (T, B, J); eligibilities of synapses (B, J, S, N), contiguous in that order; those of the
neurons' own parameters (B, 1, S, N); samples [first, last).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hypr.kernels.cpu_math import OPTIONS

_BLOCK = 2**15  # floats of one sample's eligibility worked on at a time: 128 or 256 KiB, which a level-2 cache holds


@njit(**OPTIONS)
def transport(onward, eligibility, result, first, last):  # type: ignore[no-untyped-def]
    """result = onward . eligibility."""
    inputs, components, neurons = eligibility.shape[1:]
    for b in range(first, last):
        for j in range(inputs):
            for s in range(components):
                out = result[b, j, s]
                out[:] = 0
                for k in range(components):
                    factor, old = onward[s, k, b * neurons : (b + 1) * neurons], eligibility[b, j, k]
                    for n in range(neurons):
                        out[n] += factor[n] * old[n]


@njit(**OPTIONS)
def add_sums(sums, result, first, last):  # type: ignore[no-untyped-def]
    """result[b, 0, s] += sums[s, :, b] summed over their middle axis, in ascending order; sums (S, T, F)."""
    components, neurons = result.shape[2:]
    for b in range(first, last):
        for s in range(components):
            for t in range(sums.shape[1]):
                for n in range(neurons):
                    result[b, 0, s, n] += sums[s, t, b * neurons + n]


@njit(**OPTIONS)
def add_events(gains, pre, result, first, last):  # type: ignore[no-untyped-def]
    """result[b, j, s] += sum_t pre[t, b, j] gains[s, t, b], steps in ascending order."""
    steps, _, inputs = pre.shape
    components, neurons = result.shape[2:]
    width = max(_BLOCK // (inputs * components), 16)
    where, start = np.empty(steps * inputs + 1, np.int64), np.empty(steps + 1, np.int64)
    for b in range(first, last):
        count = 0
        for t in range(steps):
            start[t] = count
            for j in range(inputs):
                where[count] = j
                count += 1 if pre[t, b, j] != 0 else 0
        start[steps] = count
        for low in range(0, neurons, width):
            size = min(width, neurons - low)
            for t in range(steps):
                for event in range(start[t], start[t + 1]):
                    j = where[event]
                    x = pre[t, b, j]
                    for s in range(components):
                        out = result[b, j, s, low : low + size]
                        gain = gains[s, t, b * neurons + low : b * neurons + low + size]
                        for n in range(size):
                            out[n] += x * gain[n]


@njit(**OPTIONS)
def meet(adjoint, eligibility, gradient):  # type: ignore[no-untyped-def]
    """gradient[j, n] += sum over samples b and components s of adjoint[b, s, n] eligibility[b, j, s, n], b outermost."""
    batch, inputs, components, neurons = eligibility.shape
    for b in range(batch):
        for j in range(inputs):
            for s in range(components):
                for n in range(neurons):
                    gradient[j, n] += adjoint[b, s, n] * eligibility[b, j, s, n]


@njit(**OPTIONS)
def count_nonzero(values):  # type: ignore[no-untyped-def]
    """Nonzero entries of a flat array."""
    count = 0
    for i in range(values.size):
        count += 1 if values[i] != 0 else 0
    return count
