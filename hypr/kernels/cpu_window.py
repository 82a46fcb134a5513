"""The P-stage of one layer and window on the CPU, compiled: scan, weight gradients, use and update of eligibilities.

Gradients by weights and eligibilities are sums over time of "dL/dI times input". Inputs are mostly zeros, so each event
adds one row instead of a dense product over time. With unit vectors as adjoints at the window's end the scan yields
``gains[s, t] = sum_k (prod_{t' > t} A^{t'})_{s k} B_k^t``, and the eligibility after the window is ``onward e^0 + sum_t
gains^t pre^t``; a filtered spike is one whose error at step t is ``(1 - kappa) kappa^(T - t)``.

Rows of gradients (K, N) and eligibilities (B, K, S, N): all inputs, recurrent neurons, the bias if it enters the
current, the neuron's own P parameters.
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled, inlined
from hypr.kernels.cpu_scan import add_events, backward
from hypr.kernels.cpu_vectors import (
    LANES,
    WIDTH,
    add_scaled_rows,
    copy_row,
    nonzero,
    padded,
    rows_like,
    trailing_zeros,
)

_SCRATCH = 2**17  # numbers of dL/dI kept at a time: 512 KiB or 1 MiB, which a level-2 cache holds
_FEWEST_STEPS = 16  # per block, however wide the layer


@compiled
def credit_window(  # type: ignore[no-untyped-def]
    model, states, spikes, current, coefficients, kind, shape, dz, recurrent, full, mixing, has_bias, pre, kappas,
    down, whole, old, boundary, own_spike, new, adjoint_start, later_start, gradient, first, last,
):  # fmt: skip
    """Samples [first, last) of a window; arguments that are not here: :mod:`hypr.kernels.cpu_scan`.

    Args:
        mixing: k arrays (P, N), which make of the scan's sums the gradients by the neuron's own parameters.
        pre: (T, B, J). kappas: (filters,) float64, of the spikes that are carried filtered.
        old: (B, K, S, N), the eligibility at the window's start; (0, 0, 0, 0) where there is none.
        boundary: (filters, F), adjoints of the filtered spikes at the start, but for number ``own_spike``, whose
            adjoint is the dL/dz that the scan arrives at (-1: none).
        new: out, the eligibility at the window's end; (0, 0, 0, 0) where it is not needed.
        adjoint_start: (d, F) and later_start (F,), out: dL/ds and dL/dz at the window's start.
        gradient: (K, N), added to.
    """
    steps, inputs = pre.shape[0], pre.shape[2]
    neurons, feedback = gradient.shape[1], recurrent.shape[0]
    low, size = first * neurons, (last - first) * neurons
    carried, one = new.shape[2], dz.dtype.type(1)
    adjoints, errors = _unit_adjoints(states, carried, size), _filter_errors(len(states), carried, kappas, steps, dz)
    later, sums = np.zeros(size, dz.dtype), rows_like(mixing, (1 + carried, size))
    for k in range(len(sums)):
        sums[k][:] = 0
    new[first:last] = 0

    parts = -(-steps * (1 + carried) * size // _SCRATCH)
    block = max(min(_FEWEST_STEPS, steps), -(-steps // parts))
    scratch = np.zeros((1 + carried) * block * size + WIDTH, dz.dtype)
    width = padded((1 + carried) * neurons)
    rows, products = np.zeros(block * width + WIDTH, dz.dtype), np.zeros((gradient.shape[0], width), dz.dtype)
    events, counts = np.empty((inputs + feedback, block), np.int64), np.empty(inputs + feedback, np.int64)
    for begin in range((steps - 1) // block * block, -1, -block):
        end = min(begin + block, steps)
        d_current = scratch[: (1 + carried) * (end - begin) * size].reshape(1 + carried, end - begin, size)
        backward(
            model, states, spikes, current, coefficients, kind, shape, dz, errors, recurrent, full, begin, end, low,
            size, adjoints, later, sums, d_current, down, whole,
        )  # fmt: skip
        for b in range(first, last):
            for t in range(end - begin):
                for a in range(1 + carried):
                    place = (a * (end - begin) + t) * size + (b - first) * neurons
                    copy_row(rows, t * width + a * neurons, scratch, place, neurons)
            _add_products(pre, b * inputs, inputs, begin, end, events, counts, rows, products, 0)
            _add_products(spikes, b * neurons, feedback, begin, end, events, counts, rows, products, inputs)
            if has_bias:
                for t in range(end - begin):
                    add_scaled_rows(products, (inputs + feedback) * width, width, rows, (t * width,), (one,))
            if carried > 0:
                _hand_out(products, gradient, new, b)
                products[:] = 0
    if carried == 0:
        gradient += products[:, :neurons]
    _add_own(mixing, sums, gradient, new, first, last, inputs + feedback + has_bias)
    for s in range(len(states)):
        adjoint_start[s, low : low + size] = adjoints[s][0]
    later_start[low : low + size] = later
    if own_spike >= 0:
        boundary[own_spike, low : low + size] = later
    if old.shape[0] > 0:
        _meet(adjoint_start, boundary, old, gradient, first, last)
        if carried > 0:
            _transport(adjoints, kappas, steps, old, new, first, last)


@compiled
def _unit_adjoints(states, carried, size):  # type: ignore[no-untyped-def]
    """Adjoint 0 starts from zero, adjoint 1 + s from the unit vector of component s."""
    adjoints = rows_like(states, (1 + carried, size))
    for s in range(len(states)):
        adjoints[s][:] = 0
        if carried > 0:
            adjoints[s][1 + s] = 1
    return adjoints


@compiled
def _filter_errors(components, carried, kappas, steps, like):  # type: ignore[no-untyped-def]
    errors = np.zeros((carried, steps), like.dtype)
    for s in range(components, carried):
        kappa = kappas[s - components]
        for t in range(steps):
            errors[s, t] = (1.0 - kappa) * kappa ** (steps - 1.0 - t)
    return errors


@inlined
def _add_products(values, at, count, begin, end, events, counts, rows, products, row):  # type: ignore[no-untyped-def]
    """From row ``row`` of products: for each of ``count`` neighbours at ``at`` the sum over the steps of its value times
    the row of that step; ``rows`` (end - begin, width) belong to one sample.
    """
    flat, stride, width = values.reshape(-1), values[0].size, products.shape[1]
    start = begin * stride + at
    _list_events(flat, start, stride, count, end - begin, events, counts)
    for j in range(count):
        add_events(products, (row + j) * width, width, rows, width, flat, start + j, stride, events[j], counts[j])


@inlined
def _list_events(flat, at, stride, count, steps, events, counts):  # type: ignore[no-untyped-def]
    """For each of ``count`` neighbours the steps at which they are not zero; only those cost anything."""
    counts[:count] = 0
    for t in range(steps):
        for low in range(0, count, LANES):
            found = nonzero(flat, at + t * stride + low, count - low)
            while found != 0:
                j = low + trailing_zeros(found)
                found &= found - np.uint64(1)
                events[j, counts[j]] = t
                counts[j] += 1


@compiled
def _hand_out(products, gradient, new, b):  # type: ignore[no-untyped-def]
    """Adjoint 0 makes the gradient, the others make the eligibility of sample b."""
    rows, components, neurons = new.shape[1:]
    for k in range(rows):
        for n in range(neurons):
            gradient[k, n] += products[k, n]
        for s in range(components):
            for n in range(neurons):
                new[b, k, s, n] += products[k, (1 + s) * neurons + n]


@compiled
def _add_own(mixing, sums, gradient, new, first, last, row):  # type: ignore[no-untyped-def]
    """The neuron's own parameters, from row ``row``."""
    neurons = gradient.shape[1]
    for k in range(len(mixing)):
        for p in range(mixing[k].shape[0]):
            for b in range(first, last):
                low = (b - first) * neurons
                for n in range(neurons):
                    gradient[row + p, n] += mixing[k][p, n] * sums[k][0, low + n]
                for s in range(new.shape[2]):
                    for n in range(neurons):
                        new[b, row + p, s, n] += mixing[k][p, n] * sums[k][1 + s, low + n]


@compiled
def _meet(adjoint_start, boundary, old, gradient, first, last):  # type: ignore[no-untyped-def]
    """gradient += m^0 . e^0, over states and filtered spikes."""
    rows, components, neurons = old.shape[1:]
    for b in range(first, last):
        low = b * neurons
        for s in range(components):
            row = adjoint_start[s] if s < adjoint_start.shape[0] else boundary[s - adjoint_start.shape[0]]
            m = row[low : low + neurons]
            for k in range(rows):
                for n in range(neurons):
                    gradient[k, n] += m[n] * old[b, k, s, n]


@compiled
def _transport(adjoints, kappas, steps, old, new, first, last):  # type: ignore[no-untyped-def]
    """new += onward . old: row s of ``onward`` is the adjoint that started from component s."""
    rows, components, neurons = old.shape[1:]
    own = len(adjoints)
    for b in range(first, last):
        low = (b - first) * neurons
        for s in range(components):
            for c in range(own):
                factor = adjoints[c][1 + s, low : low + neurons]
                for k in range(rows):
                    for n in range(neurons):
                        new[b, k, s, n] += factor[n] * old[b, k, c, n]
            if s >= own:
                decay = new.dtype.type(kappas[s - own] ** steps)
                for k in range(rows):
                    for n in range(neurons):
                        new[b, k, s, n] += decay * old[b, k, s, n]
