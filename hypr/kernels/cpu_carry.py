"""Compiled update and use of carried eligibilities.

With ``gains[s, t] = sum_k (prod_{t' > t} A^{t'})_{s k} B_k^t`` the eligibility after the window is
``onward e^0 + sum_t gains^t pre^t``, for each sample an outer-product sum over time. Inputs are mostly zeros, so each
event adds one row instead of a dense matrix product over time.

Arguments: gains (S, T, F); onward (S, S, F); pre (T, B, J); eligibilities (B, K, S, N), contiguous, with K rows for all
inputs, recurrent neurons, the bias and the neurons' own parameters in this order; samples [first, last).
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled

_BLOCK = 2**15  # floats of one sample's eligibility worked on at a time: 128 or 256 KiB, which a level-2 cache holds


@compiled
def carry_over(gains, onward, own, has_bias, few_inputs, pre, few_spikes, spikes, old, new, first, last):  # type: ignore[no-untyped-def]
    """new = onward . old + what the window adds; inputs and spikes only where they are few, else a product follows.

    spikes: (T, B, N), those of the step before each; (0, 0, 0) for a layer without recurrence.
    """
    inputs, neurons = pre.shape[2], spikes.shape[2]
    transport(onward, old, new, first, last)
    add_own(gains, own, has_bias, new, inputs + neurons, first, last)
    if few_inputs:
        add_events(gains, pre, new, 0, first, last)
    if few_spikes and neurons > 0:
        add_events(gains, spikes, new, inputs, first, last)


@compiled
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


@compiled
def add_own(gains, own, has_bias, result, row, first, last):  # type: ignore[no-untyped-def]
    """From row ``row``: the bias, if it has one, gets sum_t gains[s, t, b]; then one row for each of own (P, S, F)."""
    components, neurons = result.shape[2:]
    for b in range(first, last):
        low = b * neurons
        for s in range(components):
            if has_bias:
                out = result[b, row, s]
                for t in range(gains.shape[1]):
                    gain = gains[s, t, low : low + neurons]
                    for n in range(neurons):
                        out[n] += gain[n]
            for p in range(own.shape[0]):
                for n in range(neurons):
                    result[b, row + has_bias + p, s, n] += own[p, s, low + n]


@compiled
def add_events(gains, pre, result, row, first, last):  # type: ignore[no-untyped-def]
    """result[b, row + j, s] += sum_t pre[t, b, j] gains[s, t, b], steps in ascending order."""
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
                        out = result[b, row + j, s, low : low + size]
                        gain = gains[s, t, b * neurons + low : b * neurons + low + size]
                        for n in range(size):
                            out[n] += x * gain[n]


@compiled
def meet(adjoint, eligibility, gradient):  # type: ignore[no-untyped-def]
    """gradient[k, n] += sum over samples b and components s of adjoint[b, s, n] eligibility[b, k, s, n]."""
    batch, rows, components, neurons = eligibility.shape
    for b in range(batch):
        for k in range(rows):
            for s in range(components):
                for n in range(neurons):
                    gradient[k, n] += adjoint[b, s, n] * eligibility[b, k, s, n]


@compiled
def mostly_zero(values, share):  # type: ignore[no-untyped-def]
    """Whether at most ``share`` of the entries of a flat array differ from zero."""
    count = 0
    for i in range(values.size):
        count += 1 if values[i] != 0 else 0
    return count <= share * values.size
