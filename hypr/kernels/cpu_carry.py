"""Compiled update and use of carried eligibilities.

With ``gains[s, t] = sum_k (prod_{t' > t} A^{t'})_{s k} B_k^t`` the eligibility after the window is
``onward e^0 + sum_t gains^t pre^t``, for each sample an outer-product sum over time. Inputs are mostly zeros, so each
event adds one row instead of a dense matrix product over time. A row is the gains of one step and sample, all
components side by side and filled up with zeros to whole vectors: short loops spend most of their time on their ends.

Arguments: gains (S, T, F); onward (S, S, F); sums (S, k, F) of the scans, and mixing (P, k, N), which makes of them the
gradients by the neurons' own P parameters; pre (T, B, J); eligibilities (B, K, S, N), contiguous, with K rows for all
inputs, recurrent neurons, the bias and the neurons' own parameters in this order; samples [first, last).
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled

_BLOCK = 2**17  # gains of one sample gathered at a time: 512 KiB or 1 MiB, which a level-2 cache holds
_VECTOR = 16  # numbers, to which rows are filled up


@compiled
def carry_over(gains, onward, sums, mixing, has_bias, few_inputs, pre, few_spikes, spikes, old, new, first, last):  # type: ignore[no-untyped-def]
    """new = onward . old + what the window adds; inputs and spikes only where they are few, else a product follows.

    spikes: (T, B, N), those of the step before each; (0, 0, 0) for a layer without recurrence.
    """
    inputs, neurons = pre.shape[2], spikes.shape[2]
    transport(onward, old, new, first, last)
    add_own(gains, sums, mixing, has_bias, new, inputs + neurons, first, last)
    if few_inputs or few_spikes:
        add_events(gains, few_inputs, pre, few_spikes and neurons > 0, spikes, new, first, last)


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
def add_own(gains, sums, mixing, has_bias, result, row, first, last):  # type: ignore[no-untyped-def]
    """From row ``row``: the bias, if it has one, gets sum_t gains[s, t, b]; then one row for each own parameter."""
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
            for p in range(mixing.shape[0]):
                for k in range(mixing.shape[1]):
                    for n in range(neurons):
                        result[b, row + has_bias + p, s, n] += mixing[p, k, n] * sums[s, k, low + n]


@compiled
def add_events(gains, with_inputs, pre, with_spikes, spikes, result, first, last):  # type: ignore[no-untyped-def]
    """result[b, j] += sum_t pre[t, b, j] gains[:, t, b], and after the rows of the inputs the same for the spikes."""
    steps, inputs = pre.shape[0], pre.shape[2]
    components, neurons = result.shape[2:]
    width = min(neurons, max(_BLOCK // (steps * components), _VECTOR))
    rows = np.zeros((steps, -(-components * width // _VECTOR) * _VECTOR), gains.dtype)
    for b in range(first, last):
        for low in range(0, neurons, width):
            size = min(width, neurons - low)
            for s in range(components):
                for t in range(steps):
                    row = rows[t, s * size : (s + 1) * size]
                    gain = gains[s, t, b * neurons + low : b * neurons + low + size]
                    for n in range(size):
                        row[n] = gain[n]
            if with_inputs:
                _add_events(rows, pre, b, result[b, :inputs, :, low : low + size])
            if with_spikes:
                _add_events(rows, spikes, b, result[b, inputs:, :, low : low + size])


@compiled
def _add_events(rows, pre, b, result):  # type: ignore[no-untyped-def]
    """result[j] += sum_t pre[t, b, j] rows[t], four events a pass, steps in ascending order. The list of events is made
    without branches.
    """
    steps, _, inputs = pre.shape
    components, neurons = result.shape[1:]
    events, total = np.empty(steps + 1, np.int64), np.empty(rows.shape[1], rows.dtype)
    for j in range(inputs):
        count = 0
        for t in range(steps):
            events[count] = t
            count += 1 if pre[t, b, j] != 0 else 0
        total[:] = 0
        fours = count - count % 4
        for k in range(0, fours, 4):
            t, u, v, w = events[k], events[k + 1], events[k + 2], events[k + 3]
            xt, xu, xv, xw = pre[t, b, j], pre[u, b, j], pre[v, b, j], pre[w, b, j]
            for n in range(total.size):
                total[n] += (xt * rows[t, n] + xu * rows[u, n]) + (xv * rows[v, n] + xw * rows[w, n])
        for k in range(fours, count):
            t = events[k]
            xt = pre[t, b, j]
            for n in range(total.size):
                total[n] += xt * rows[t, n]
        for s in range(components):
            for n in range(neurons):
                result[j, s, n] += total[s * neurons + n]


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
