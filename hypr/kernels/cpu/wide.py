"""The P-stage of a wide layer whose window hands its eligibilities on: :func:`hypr.kernels.cpu.window.credit_window`
with another order of work.

Products of dL/dI and inputs, a row for each synapse and adjoint, no longer fit into a level-2 cache there, and went
through memory once for every block of steps. So a tile of neurons is finished at a time: its products are summed over
the whole window, meet the eligibility of before, and leave, all of it once.
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu.compile import compiled, inlined
from hypr.kernels.cpu.scan import OWN, backward
from hypr.kernels.cpu.vectors import WIDTH, add_scaled_rows, copy_row, load, padded, prefetch, rows_like, store
from hypr.kernels.cpu.window import add_products, filter_errors, unit_adjoints

TILE_NUMBERS = 2**19
"""Products of one tile at most, 2 MiB of float32: the fastest of 2**16 to 2**22 with a level-2 cache of 1 MiB."""

BLOCK = 256
"""Steps of a window whose dL/dI waits in memory."""

_AHEAD, _LINE = 8, 16  # rows asked for ahead of their use; numbers of a cache line, at least


@compiled
def credit_wide(  # type: ignore[no-untyped-def]
    numbers, window, pre, dz, has_bias, ends, down, whole, adjoint_start, gradient, first, last
):  # fmt: skip
    """Arguments as of :func:`hypr.kernels.cpu.window.credit_window`; ``ends.after`` is needed, and may be the array
    ``ends.before`` where the window is one block.
    """
    steps, neurons, count = pre.shape[0], gradient.shape[1], 1 + ends.after.shape[2]
    low, size = first * neurons, (last - first) * neurons
    adjoints = unit_adjoints(window.states, count, size)
    errors = filter_errors(len(adjoints), count, ends.kappas, steps, dz)
    later, sums = np.zeros((count, size), dz.dtype), rows_like(numbers.mixing, (count, size))
    for k in range(len(sums)):
        sums[k][:] = 0
    block = -(-steps // -(-steps // BLOCK))
    scratch = np.zeros(count * block * size + WIDTH, dz.dtype)  # whole vectors are read at its end
    latest = (steps - 1) // block * block
    for begin in range(latest, -1, -block):
        end = min(begin + block, steps)
        d_current = scratch[: count * (end - begin) * size].reshape(count, end - begin, size)
        backward(numbers, window, dz, errors, ends.paths, begin, end, low, size, adjoints, later, sums, d_current, down,
                 whole)  # fmt: skip
        _add_tiles(numbers, window, pre, has_bias, begin, end, first, last, scratch, adjoints, later, sums, steps,
                   gradient, ends, begin == latest)  # fmt: skip
    for s in range(len(adjoints)):
        adjoint_start[s, low : low + size] = adjoints[s][0]


@compiled
def _add_tiles(  # type: ignore[no-untyped-def]
    numbers, window, pre, has_bias, begin, end, first, last, scratch, adjoints, later, sums, all_steps, gradient, ends,
    fresh,
):  # fmt: skip
    """Steps [begin, end) of all tiles; what passes the window's start with the block that begins there."""
    inputs, feedback, (rows_k, neurons) = pre.shape[2], numbers.recurrent.shape[0], gradient.shape
    steps, size, count, one = end - begin, (last - first) * neurons, 1 + ends.after.shape[2], scratch.dtype.type(1)
    most, tile = max(inputs, feedback), max(16, TILE_NUMBERS // (rows_k * count) // 16 * 16)
    tile = min(tile, neurons)
    rows = np.zeros(steps * padded(count * tile) + WIDTH, scratch.dtype)
    products = np.zeros((rows_k, padded(count * tile)), scratch.dtype)
    events, counts = np.empty((most, steps), np.int64), np.empty(most, np.int64)
    width = products.shape[1]
    for left in range(0, neurons, tile):
        n = min(tile, neurons - left)
        for b in range(first, last):
            place = (b - first) * neurons + left
            for t in range(steps):
                for a in range(count):  # in ascending order: the rest of a vector is overwritten by the next row
                    copy_row(rows, t * width + a * n, scratch, (a * steps + t) * size + place, n)
            add_products(pre, b * inputs, inputs, begin, end, events, counts, rows, products, 0)
            add_products(window.spikes, b * neurons, feedback, begin, end, events, counts, rows, products, inputs)
            if has_bias:
                for t in range(steps):
                    add_scaled_rows(products, (inputs + feedback) * width, width, rows, (t * width,), (one,))
            if begin == 0:
                _add_own(numbers.mixing, sums, place, left, products, inputs + feedback + has_bias, n)
            if begin == 0 and ends.before.shape[0] > 0:
                m, onward, acts = _passing(adjoints, later, all_steps, ends, b, place, left, n)
                for k in range(rows_k):
                    _ask_ahead(ends.before, b, k, left, n)
                    _ask_ahead(ends.after, b, k, left, n)
                    _cross(ends.before, m, onward, acts, gradient, products, b, k, left, n)
                    _leave(products, gradient, ends.after, b, k, left, n, fresh)
            else:
                for k in range(rows_k):
                    _ask_ahead(ends.after, b, k, left, n)
                    _leave(products, gradient, ends.after, b, k, left, n, fresh)


@inlined
def _add_own(mixing, sums, place, left, products, row, n):  # type: ignore[no-untyped-def]
    """The neuron's own parameters, from row ``row``, of n neurons from ``left`` on, at ``place`` of the sums."""
    for k in range(len(mixing)):
        for p in range(mixing[k].shape[0]):
            for a in range(sums[k].shape[0]):
                for i in range(n):
                    products[row + p, a * n + i] += mixing[k][p, left + i] * sums[k][a, place + i]


@inlined
def _ask_ahead(values, b, k, left, n):  # type: ignore[no-untyped-def]
    """A tile's part of a row is too short for the processor to see a pattern in the addresses."""
    rows, components, neurons = values.shape[1:]
    at = (b * rows + k + _AHEAD) * components * neurons + left
    for c in range(components):
        for i in range(0, n, _LINE):
            prefetch(values, at + c * neurons + i)


@inlined
def _passing(adjoints, later, steps, ends, b, place, left, n):  # type: ignore[no-untyped-def]
    """What multiplies the eligibility of before, of sample b and n neurons from ``left`` on: m (S, n) in the gradient,
    onward (carried, S, n) in the eligibility of after; acts (carried, S), where that is not zero.
    """
    states, components, carried = len(adjoints), ends.before.shape[2], ends.after.shape[2]
    m = np.zeros((components, n), ends.before.dtype)
    onward, acts = np.zeros((carried, components, n), m.dtype), np.zeros((carried, components), np.bool_)
    here = b * ends.before.shape[3] + left
    for c in range(components):
        if c < states:
            m[c] = adjoints[c][0, place : place + n]
        elif c - states == ends.own:
            m[c] = later[0, place : place + n]
        else:
            m[c] = ends.filtered[c - states, here : here + n]
        for s in range(carried):
            if c < states:
                onward[s, c], acts[s, c] = adjoints[c][1 + s, place : place + n], True
            elif c - states == ends.own:
                onward[s, c], acts[s, c] = later[1 + s, place : place + n], ends.paths[1] == OWN
            elif s == c:
                onward[s, c], acts[s, c] = ends.kappas[c - states] ** steps, True
    return m, onward, acts


@inlined
def _cross(before, m, onward, acts, gradient, products, b, k, left, n):  # type: ignore[no-untyped-def]
    """Row k of the eligibility of before gives to the gradient, and to the products what goes on."""
    rows, components, neurons = before.shape[1:]
    at, into = (b * rows + k) * components * neurons + left, k * products.shape[1]
    for c in range(components):
        source = at + c * neurons
        for i in range(n):
            gradient[k, left + i] += load(m, c * n + i) * load(before, source + i)
        for s in range(onward.shape[0]):
            if not acts[s, c]:
                continue
            out, factor = into + (1 + s) * n, (s * components + c) * n
            for i in range(n):
                gained = load(onward, factor + i) * load(before, source + i)
                store(products, out + i, load(products, out + i) + gained)


@inlined
def _leave(products, gradient, new, b, k, left, n, fresh):  # type: ignore[no-untyped-def]
    """Row k: adjoint 0 makes the gradient, the others the eligibility of sample b; products are zero afterwards."""
    rows, components, neurons = new.shape[1:]
    at, out = k * products.shape[1], (b * rows + k) * components * neurons + left
    for i in range(n):
        gradient[k, left + i] += load(products, at + i)
    for s in range(components):
        source, target = at + (1 + s) * n, out + s * neurons
        if fresh:
            for i in range(n):
                store(new, target + i, load(products, source + i))
        else:
            for i in range(n):
                store(new, target + i, load(new, target + i) + load(products, source + i))
    for i in range(products.shape[1]):
        products[k, i] = 0
