"""The two scans over time of the CPU kernels, for every neuron model (:mod:`hypr.kernels.cpu.neurons`).

Layout. The batch and neuron axes of one time step stand side by side (``F = B * N``, index ``b * N + n``), an array for
each state component, so that the innermost loops are long, contiguous and free of branches, which is what LLVM
needs to emit vector instructions. Separate arrays also let it prove once a call that nothing overlaps. A call handles
the flat range [low, low + size) of whole samples; ranges are independent. Coefficients come repeated per sample and are
read from index 0.

Matrices have rows filled up to whole vectors (:func:`hypr.kernels.cpu.vectors.padded`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from hypr.kernels.cpu.compile import INLINED, compiled, inlined
from hypr.kernels.cpu.math import surrogate
from hypr.kernels.cpu.vectors import (
    LANES,
    accumulate,
    add_scaled_rows,
    load,
    nonzero,
    put,
    rows_like,
    store,
    take,
    trailing_zeros,
)

NONE, OWN, ALL = 0, 1, 2
"""Paths through the spikes of the step before: none, to the same neuron, to all."""


class Numbers(NamedTuple):
    """A layer in the numbers that the scans take.

    Attributes:
        neuron: a named tuple of :mod:`hypr.kernels.cpu.neurons`: which step, and its constants.
        coefficients: each (B N,), repeated per sample, so that a scan reads them from index 0.
        mixing: k arrays (P, N), which make gradients by the P effective parameters of the k sums of the adjoint.
        outgoing: (N, padded N), row j = weights from neuron j; (0, 0) without recurrence. ``recurrent``: row i =
            weights to neuron i.
        kind, shape: of the surrogate.
    """

    neuron: tuple[float, ...]
    coefficients: tuple[np.ndarray, ...]
    mixing: tuple[np.ndarray, ...]
    outgoing: np.ndarray
    recurrent: np.ndarray
    kind: int
    shape: np.ndarray


class Rows(NamedTuple):
    """A window as the scans record and read it: states, d arrays (T + 1, F); spikes (T + 1, F); current (T, F)."""

    states: tuple[np.ndarray, ...]
    spikes: np.ndarray
    current: np.ndarray


def step(model: Any, s: Any, z: Any, i: Any, k: Any) -> Any:
    """See :mod:`hypr.kernels.cpu.neurons`, as the next three."""
    return model.step(model, s, z, i, k)


def distance(model: Any, s: Any, z: Any, i: Any, k: Any) -> Any:
    return model.distance(model, s, z, i, k)


def adjoint(model: Any, s: Any, z: Any, i: Any, k: Any, known: Any, psi: Any, m: Any, error: Any) -> Any:
    return model.adjoint(model, s, z, i, k, known, psi, m, error)


def slope(model: Any, k: Any) -> Any:
    return model.slope(model, k)


def _by_class(function: Callable[..., Any]) -> None:
    """Compiled code that calls the function runs the static method of that name of the model's class."""

    def choose(*arguments: Any) -> Any:
        return getattr(arguments[0].instance_class, function.__name__)

    overload(function, jit_options=INLINED, strict=False)(choose)


for _function in (step, distance, adjoint, slope):
    _by_class(_function)


@compiled
def forward(numbers, window, low, size):  # type: ignore[no-untyped-def]
    """S-stage: row 0 of states and spikes is given, the rest written; current is given without its recurrent part and
    completed in place.
    """
    model, coefficients, outgoing = numbers.neuron, numbers.coefficients, numbers.outgoing
    states, spikes, current = window.states, window.spikes, window.current
    stride, neurons = current.shape[1], outgoing.shape[0]
    now, z = _start(states, low, size), spikes[0, low : low + size].copy()
    events, total = np.empty(neurons + 1, np.int64), np.empty(outgoing.shape[1], z.dtype)
    for t in range(current.shape[0]):
        here = t * stride + low
        after = here + stride
        if neurons > 0:
            for offset in range(0, size, neurons):
                _add_spikes(current, here + offset, z, offset, outgoing, events, total)
        for i in range(size):
            new, fired = step(model, take(now, i), load(z, i), load(current, here + i), take(coefficients, i))
            put(now, i, new)
            put(states, after + i, new)
            store(z, i, fired)
            store(spikes, after + i, fired)


@inlined
def _start(states, low, size):  # type: ignore[no-untyped-def]
    """Row 0 of each component."""
    rows = rows_like(states, size)
    for i in range(size):
        put(rows, i, take(states, low + i))
    return rows


@inlined
def _add_spikes(current, here, z, offset, outgoing, events, total):  # type: ignore[no-untyped-def]
    """The current of one sample rises by the weights of its neurons that spiked, in ascending order."""
    neurons, width = outgoing.shape
    count = 0
    for low in range(0, neurons, LANES):
        found = nonzero(z, offset + low, neurons - low)
        while found != 0:
            events[count] = low + trailing_zeros(found)
            found &= found - np.uint64(1)
            count += 1
    total[:] = 0
    add_events(total, 0, neurons, outgoing, width, z, offset, 1, events, count)
    for i in range(neurons):
        store(current, here + i, load(current, here + i) + load(total, i))


@inlined
def add_events(total, at, size, rows, width, values, base, step, events, count):  # type: ignore[no-untyped-def]
    """total[at + i] += sum over events e of values[base + step e] rows[width e + i], in their order."""
    fours = count - count % 4
    for k in range(0, fours, 4):
        a, b, c, d = load(events, k), load(events, k + 1), load(events, k + 2), load(events, k + 3)
        places = (width * a, width * b, width * c, width * d)
        factors = (
            load(values, base + step * a), load(values, base + step * b),
            load(values, base + step * c), load(values, base + step * d),
        )  # fmt: skip
        add_scaled_rows(total, at, size, rows, places, factors)
    for k in range(fours, count):
        a = load(events, k)
        add_scaled_rows(total, at, size, rows, (width * a,), (load(values, base + step * a),))


@compiled
def backward(  # type: ignore[no-untyped-def]
    numbers, window, dz, errors, paths, begin, end, low, size, adjoints, later, sums, d_current, down, whole
):  # fmt: skip
    """Credits steps [begin, end), the last one first, of A adjoints at once over one set of Jacobians.

    Adjoint 0 is that of the error dz (T, F). The others take errors (A - 1, T), the same for all neurons; they are
    linear maps of what came in, from which eligibilities are made.

    Args:
        paths: through which z^{t-1} error passes, of adjoint 0 and of the others: NONE, OWN or (of adjoint 0) ALL.
        adjoints: d arrays (A, size), in: at step end, out: at step begin.
        later: (A, size), the same for dL/dz; zeros where nothing passes.
        sums: k arrays (A, size), added to.
        d_current: (A, end - begin, size), out: dL/dI.
        down: (T, F) or (0, 0), out: what leaves the layer downward, dL/dI of adjoint 0, all of it (``whole``) or the
            part that passes through the spike of the same step.
    """
    model, coefficients, recurrent = numbers.neuron, numbers.coefficients, numbers.recurrent
    own = _own_synapses(recurrent, size, later, paths)
    states, spikes, current = window.states, window.spikes, window.current
    stride, steps, count, (first, rest) = current.shape[1], end - begin, d_current.shape[0], paths
    psi, known, error, back = np.empty_like(own), np.empty_like(own), np.empty_like(own), np.empty_like(own)
    total = np.empty(recurrent.shape[1], own.dtype)
    for t in range(end - 1, begin - 1, -1):
        here = t * stride + low
        for i in range(size):
            x, again = distance(
                model, take(states, here + i), load(spikes, here + i), load(current, here + i), take(coefficients, i)
            )
            store(psi, i, x)
            store(known, i, again)
        surrogate(numbers.kind, numbers.shape, psi)
        for i in range(size):
            store(error, i, load(dz, here + i) + load(later, i))  # row 0
        out = (t - begin) * size
        _back(
            model, states, spikes, current, coefficients, here, known, psi, adjoints, 0, error, sums, d_current, out,
            back, size,
        )  # fmt: skip
        if first == ALL:
            later[0] = back
            _add_recurrent_error(later, size, d_current, out, recurrent, total)
        elif first == OWN:
            _pass_own(later, 0, back, d_current, out, own)
        if down.shape[0] > 0:
            for i in range(size):
                through = slope(model, take(coefficients, i)) * load(psi, i) * load(dz, here + i)
                store(down, here + i, load(d_current, out + i) if whole else through)
        for a in range(1, count):
            error[:] = errors[a - 1, t]
            if rest == OWN:
                for i in range(size):
                    store(error, i, load(error, i) + load(later, a * size + i))
            _back(
                model, states, spikes, current, coefficients, here, known, psi, adjoints, a * size, error, sums,
                d_current, out + a * steps * size, back, size,
            )  # fmt: skip
            if rest == OWN:
                _pass_own(later, a * size, back, d_current, out + a * steps * size, own)


@inlined
def _own_synapses(recurrent, size, like, paths):  # type: ignore[no-untyped-def]
    """(size,), the weight of each neuron to itself, repeated per sample; zeros without recurrence or need."""
    own, neurons = np.zeros(size, like.dtype), recurrent.shape[0]
    if neurons > 0 and (paths[0] == OWN or paths[1] == OWN):
        for i in range(size):
            own[i] = recurrent[i % neurons, i % neurons]
    return own


@inlined
def _pass_own(later, at, back, d_current, out, own):  # type: ignore[no-untyped-def]
    """What an adjoint hands to the neuron's own spike of the step before."""
    for i in range(own.size):
        store(later, at + i, load(back, i) + load(d_current, out + i) * load(own, i))


@inlined
def _back(  # type: ignore[no-untyped-def]
    model, states, spikes, current, coefficients, here, known, psi, adjoints, at, error, sums, d_current, out, back,
    size,
):  # fmt: skip
    """One step of the adjoint that stands at index ``at`` of ``adjoints`` and ``sums``."""
    for i in range(size):
        m, gain, behind, terms = adjoint(
            model, take(states, here + i), load(spikes, here + i), load(current, here + i), take(coefficients, i),
            load(known, i), load(psi, i), take(adjoints, at + i), load(error, i),
        )  # fmt: skip
        put(adjoints, at + i, m)
        accumulate(sums, at + i, terms)
        store(d_current, out + i, gain)
        store(back, i, behind)


@inlined
def _add_recurrent_error(later, size, d_current, out, recurrent, total):  # type: ignore[no-untyped-def]
    """Row 0 of later: later[b, j] += sum_i d_current[b, i] recurrent[i, j]."""
    neurons, width = recurrent.shape
    if neurons == 0:
        return
    fours = neurons - neurons % 4
    for offset in range(0, size, neurons):
        total[:] = 0
        for i in range(0, fours, 4):
            at = out + offset + i
            places = (i * width, (i + 1) * width, (i + 2) * width, (i + 3) * width)
            factors = (load(d_current, at), load(d_current, at + 1), load(d_current, at + 2), load(d_current, at + 3))
            add_scaled_rows(total, 0, neurons, recurrent, places, factors)
        for i in range(fours, neurons):
            add_scaled_rows(total, 0, neurons, recurrent, (i * width,), (load(d_current, out + offset + i),))
        for j in range(neurons):
            store(later, offset + j, load(later, offset + j) + load(total, j))
