"""The P-stage of one layer and window on the CPU, compiled: scan, weight gradients, use and update of eligibilities.

Gradients by weights and eligibilities are sums over time of "dL/dI times input". Inputs are mostly zeros, so each event
adds one row instead of a dense product over time; that was the faster way for 140 inputs without zeros, too. With unit
vectors as adjoints at the window's end the scan yields ``gains[s, t] = sum_k (prod_{t' > t} A^{t'})_{s k} B_k^t``, and
the eligibility after the window is ``onward e^0 + sum_t gains^t pre^t``; a filtered spike is one whose error at step t
is ``(1 - kappa) kappa^(T - t)``. Where the neuron's own spike is carried as a state, all of these adjoints pass on
through it, too, and what they hand to the spike before the window stands in its column of ``onward``.

Rows of gradients (K, N) and eligibilities (B, K, S, N): all inputs, recurrent neurons, the bias if it enters the
current, the neuron's own P parameters. Rows of products (K, width) hold N numbers for each adjoint: the gradient, then
the S components of the eligibility.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hypr.kernels.cpu.compile import compiled, inlined
from hypr.kernels.cpu.scan import add_events, backward
from hypr.kernels.cpu.vectors import (
    LANES,
    WIDTH,
    add_scaled_rows,
    copy_row,
    load,
    nonzero,
    padded,
    rows_like,
    store,
    trailing_zeros,
)

_SCRATCH = 2**17  # numbers of dL/dI kept at a time: 512 KiB or 1 MiB, which a level-2 cache holds
_FEWEST_STEPS = 16  # per block, however wide the layer


class Ends(NamedTuple):
    """What passes the ends of a window.

    Attributes:
        before: (B, K, S, N), the eligibility at its start; (0, 0, 0, 0) where there is none.
        kappas: (filters,) float64, of the spikes that are carried filtered.
        filtered: (filters, F), dL/d(filtered spike) at the start.
        own: number of the filtered spike whose adjoint is the dL/dz that the scan arrives at instead, or -1.
        paths: see :func:`hypr.kernels.cpu.scan.backward`; OWN for the second: that filtered spike acts on the state.
        after: out, the eligibility at its end; (0, 0, 0, 0) where it is not needed.
    """

    before: np.ndarray
    kappas: np.ndarray
    filtered: np.ndarray
    own: int
    paths: tuple[int, int]
    after: np.ndarray


@compiled
def credit_window(  # type: ignore[no-untyped-def]
    numbers, window, pre, dz, has_bias, ends, down, whole, adjoint_start, gradient, first, last
):  # fmt: skip
    """Samples [first, last) of a window.

    Args:
        numbers, window, dz, down, whole: see :func:`hypr.kernels.cpu.scan.backward`.
        pre: (T, B, J).
        has_bias: whether the bias enters the current.
        ends: what passes its ends.
        adjoint_start: (d, F), out: dL/ds at the window's start.
        gradient: (K, N), added to.
    """
    steps, neurons = pre.shape[0], gradient.shape[1]
    low, size, count = first * neurons, (last - first) * neurons, 1 + ends.after.shape[2]
    adjoints = unit_adjoints(window.states, count, size)
    errors = filter_errors(len(adjoints), count, ends.kappas, steps, dz)
    later, sums = np.zeros((count, size), dz.dtype), rows_like(numbers.mixing, (count, size))
    for k in range(len(sums)):
        sums[k][:] = 0
    block = _block(steps, count * size, max(pre.shape[2], numbers.recurrent.shape[0]))
    scratch = np.zeros(count * block * size + WIDTH, dz.dtype)  # whole vectors are read at its end
    products = np.zeros((gradient.shape[0], padded(count * neurons)), dz.dtype)
    latest = (steps - 1) // block * block
    for begin in range(latest, -1, -block):
        end = min(begin + block, steps)
        d_current = scratch[: count * (end - begin) * size].reshape(count, end - begin, size)
        backward(
            numbers,
            window,
            dz,
            errors,
            ends.paths,
            begin,
            end,
            low,
            size,
            adjoints,
            later,
            sums,
            d_current,
            down,
            whole,
        )
        _add_block(numbers, window, pre, has_bias, begin, end, first, last, scratch, sums, products, gradient, ends,
                   begin == latest)  # fmt: skip
    if count == 1:
        gradient += products[:, :neurons]
    for s in range(len(adjoints)):
        adjoint_start[s, low : low + size] = adjoints[s][0]
    if ends.before.shape[0] > 0:
        _cross_start(adjoints, later, steps, ends, gradient, first, last)


@inlined
def _block(steps, row, neighbours):  # type: ignore[no-untyped-def]
    """Steps worked on at a time: all of them in equal parts, such that dL/dI and the lists of events stay small."""
    parts = -(-steps * max(row, neighbours) // _SCRATCH)
    return max(min(_FEWEST_STEPS, steps), -(-steps // parts))


@compiled
def _add_block(  # type: ignore[no-untyped-def]
    numbers, window, pre, has_bias, begin, end, first, last, scratch, sums, products, gradient, ends, fresh
):  # fmt: skip
    """Products of dL/dI and inputs over the steps [begin, end), and at the window's start the neuron's own parameters.

    ``scratch`` holds dL/dI (A, end - begin, size). With eligibilities the products are handed out sample by sample,
    else they are summed over samples.
    """
    inputs, feedback, neurons = pre.shape[2], numbers.recurrent.shape[0], gradient.shape[1]
    steps, size, synapses, width = end - begin, (last - first) * neurons, inputs + feedback, products.shape[1]
    count, one = 1 + ends.after.shape[2], scratch.dtype.type(1)
    rows, most = np.zeros(steps * width + WIDTH, scratch.dtype), max(inputs, feedback)
    events, counts = np.empty((most, steps), np.int64), np.empty(most, np.int64)
    for b in range(first, last):
        place = (b - first) * neurons
        for t in range(steps):
            for a in range(count):  # in ascending order: the rest of a vector is overwritten by the next row
                copy_row(rows, t * width + a * neurons, scratch, (a * steps + t) * size + place, neurons)
        add_products(pre, b * inputs, inputs, begin, end, events, counts, rows, products, 0)
        add_products(window.spikes, b * neurons, feedback, begin, end, events, counts, rows, products, inputs)
        if has_bias:
            for t in range(steps):
                add_scaled_rows(products, synapses * width, width, rows, (t * width,), (one,))
        if begin == 0:
            _add_own(numbers.mixing, sums, place, products, synapses + has_bias, neurons)
        if count > 1:
            _hand_out(products, gradient, ends.after, b, fresh)


@compiled
def unit_adjoints(states, count, size):  # type: ignore[no-untyped-def]
    """Adjoint 0 starts from zero, adjoint 1 + s from the unit vector of component s."""
    adjoints = rows_like(states, (count, size))
    for s in range(len(states)):
        adjoints[s][:] = 0
        if count > 1:
            adjoints[s][1 + s] = 1
    return adjoints


@compiled
def filter_errors(components, count, kappas, steps, like):  # type: ignore[no-untyped-def]
    """(count - 1, T): nothing arrives at the components of the state, (1 - kappa) kappa^(T - t) at filtered spikes."""
    errors = np.zeros((count - 1, steps), like.dtype)
    for s in range(components, count - 1):
        kappa = kappas[s - components]
        for t in range(steps):
            errors[s, t] = (1.0 - kappa) * kappa ** (steps - 1.0 - t)
    return errors


@inlined
def add_products(values, at, count, begin, end, events, counts, rows, products, row):  # type: ignore[no-untyped-def]
    """From row ``row`` of products on: for each of ``count`` neighbours at ``at`` the sum over steps of its value times
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
def _add_own(mixing, sums, place, products, row, neurons):  # type: ignore[no-untyped-def]
    """The neuron's own parameters, from row ``row``, of the sample at ``place`` of the sums."""
    for k in range(len(mixing)):
        for p in range(mixing[k].shape[0]):
            for a in range(sums[k].shape[0]):
                for n in range(neurons):
                    products[row + p, a * neurons + n] += mixing[k][p, n] * sums[k][a, place + n]


@compiled
def _hand_out(products, gradient, new, b, fresh):  # type: ignore[no-untyped-def]
    """Adjoint 0 makes the gradient, the others the eligibility of sample b (``fresh``: nothing is in it yet); products
    are zero afterwards.
    """
    rows, components, neurons = new.shape[1:]
    many = components * neurons
    for k in range(rows):
        at, out = k * products.shape[1], (b * rows + k) * many
        for n in range(neurons):
            gradient[k, n] += products[k, n]
        if fresh:
            for n in range(many):
                store(new, out + n, load(products, at + neurons + n))
        else:
            for n in range(many):
                store(new, out + n, load(new, out + n) + load(products, at + neurons + n))
        for n in range(products.shape[1]):
            products[k, n] = 0


@compiled
def _cross_start(adjoints, later, steps, ends, gradient, first, last):  # type: ignore[no-untyped-def]
    """What the eligibility at the window's start gives: gradient += m^0 . e^0, and after += onward . before if it goes
    on.

    Row s of ``onward`` is the adjoint that started from component s; a filtered spike also decays by itself.
    """
    before, after = ends.before, ends.after
    rows, components, neurons = before.shape[1:]
    states, carried = len(adjoints), after.shape[2]
    m, onward = np.zeros((components, neurons), before.dtype), np.zeros((carried, components, neurons), before.dtype)
    for b in range(first, last):
        here, place = b * neurons, (b - first) * neurons
        for c in range(components):
            if c < states:
                m[c] = adjoints[c][0, place : place + neurons]
            elif c - states == ends.own:
                m[c] = later[0, place : place + neurons]
            else:
                m[c] = ends.filtered[c - states, here : here + neurons]
            for s in range(carried):
                if c < states:
                    onward[s, c] = adjoints[c][1 + s, place : place + neurons]
                elif c - states == ends.own:  # its kappa is 0: nothing of it is left but what acts through the state
                    onward[s, c] = later[1 + s, place : place + neurons]
                elif s == c:
                    onward[s, c] = ends.kappas[c - states] ** steps
        for k in range(rows):
            at = (b * rows + k) * components * neurons
            for c in range(components):
                for n in range(neurons):
                    gradient[k, n] += load(m, c * neurons + n) * load(before, at + c * neurons + n)
                for s in range(carried):
                    out, factor = at + s * neurons, (s * components + c) * neurons
                    for n in range(neurons):
                        gained = load(onward, factor + n) * load(before, at + c * neurons + n)
                        store(after, out + n, load(after, out + n) + gained)
