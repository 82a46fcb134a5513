"""Parameters and synapses in the form that the compiled loop reads, made once for a program."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hardware.compiled.components import components
from hardware.compiled.memory import aligned
from hardware.compiled.neurons import ROWS, model_code
from hardware.compiled.records import DENSE, GROUPS, SPARSE
from hardware.compiled.stamps import stamp_tables
from hardware.compiled.vectors import WIDTH, WORD
from hardware.neurons import constants
from hardware.populations import Population, Projection
from hardware.program import Program
from hardware.synapses import Convolution, Dense, Sparse

GROUPED = WORD
"""Dense synapses from at most this many sources to at most as many neurons, all values 0 or 1, are summed in groups."""

PRODUCT_NUMBERS = 2**19
"""Floats that a matrix product takes and gives at once: bounds its memory beside the result."""

KEPT_SYNAPSES = 2**23
"""Tables of programs with at most so many stored synapses are kept as long as the program, for the next chunk."""


@dataclass(frozen=True)
class Visit:
    """One projection, or two that are summed in groups, as they arrive at a population.

    Attributes:
        projections: one or two.
        inner: the source belongs to the same component, so that it is not known ahead.
        record: fields of :data:`hardware.compiled.records.VISIT` that never change; addresses are those of ``arrays``.
    """

    projections: tuple[Projection, ...]
    inner: bool
    record: dict[str, int]
    arrays: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class DenseVisit(Visit):
    """Dense synapses, by event or by matrix product. Both tables are made when they are first needed.

    Attributes:
        order: neuron of each lane. largest: of the source's magnitudes.
    """

    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    largest: int = 1

    @cached_property
    def rows(self) -> np.ndarray:
        """int32 (N_source, N padded): an event adds a row."""
        return _dense_rows(self.projections[0], self.order)

    @cached_property
    def bound(self) -> int:
        """Of every sum on the way, in mantissas: sum |W| max |x|."""
        weight = _weight(self.projections[0])
        return int(np.abs(weight, dtype=np.int16).sum(axis=1, dtype=np.int64).max()) * self.largest

    @cached_property
    def factor(self) -> np.ndarray:
        """(N_source, N) in a type whose sums are exact: float32 below 2^24, whatever the validity of the program."""
        weight = _weight(self.projections[0])[self.order]
        return np.ascontiguousarray(weight.T, dtype=np.float32 if self.bound < 2**24 else np.float64)

    def product(self, values: np.ndarray) -> np.ndarray:
        """int32 (steps, B N) of what the source had, (steps, B, N_source), modulo 2^32; ``bound`` below 2^53."""
        rows = values.reshape(-1, values.shape[2])
        current = np.empty((len(rows), self.factor.shape[1]), np.int32)
        some = max(1, PRODUCT_NUMBERS // sum(self.factor.shape))
        for begin in range(0, len(rows), some):
            sums = rows[begin : begin + some].astype(self.factor.dtype) @ self.factor
            if self.bound >= 2**31:
                sums = sums.astype(np.int64)  # a float too large for int32 has no defined int32
            current[begin : begin + some] = sums
        current <<= self.projections[0].exponent
        return current.reshape(values.shape[0], -1)


@dataclass(frozen=True)
class Cells:
    """A population prepared.

    Attributes:
        order: neuron of each lane of a sample. plain: lanes are neurons.
        rows: float64 (rows, N), see :func:`parameter_rows`, by lane.
        visits: what arrives; those in groups first.
    """

    population: Population
    order: np.ndarray
    plain: bool
    rows: np.ndarray
    visits: tuple[Visit, ...]

    @property
    def code(self) -> int:
        return model_code(self.population.model, self.population.options)

    @property
    def option(self) -> bool:
        options = self.population.options
        return options.get("reset") == "subtract" or options.get("adaptation_spike") == "previous"


Component = tuple[Cells, ...]

_kept: dict[int, tuple[Component, ...]] = {}


def prepared(program: Program) -> tuple[Component, ...]:
    """Components in the order in which they run."""
    found = _kept.get(id(program))
    if found is None:
        found = _prepare(program)
        if sum(_stored(item) for item in program.projections) <= KEPT_SYNAPSES:
            _kept[id(program)] = found
            weakref.finalize(program, _kept.pop, id(program), None).atexit = False
    return found


def _prepare(program: Program) -> tuple[Component, ...]:
    result = []
    for group in components(program.populations, program.projections):
        inside = {population.name for population in group}
        result.append(tuple(_cells(program, population, inside) for population in group))
    return tuple(result)


def _cells(program: Program, population: Population, inside: set[str]) -> Cells:
    into = program.into(population.name)
    order = _lane_order(population, into)
    rows = parameter_rows(population.model, constants(population), population.size)[:, order]
    binary = {name for name, (low, high) in program.ranges.items() if low >= 0 and high <= 1}
    small = [item for item in into if _groups(item, binary)]
    visits = [_group_visit(small[i : i + 2], order, inside) for i in range(0, len(small), 2)]
    for item in into:
        if item not in small:
            low, high = program.ranges[item.source]
            visits.append(_visit(item, order, item.source in inside, max(abs(low), abs(high))))
    plain = bool((order == np.arange(population.size)).all())
    return Cells(population, order, plain, np.ascontiguousarray(rows), tuple(visits))


def _lane_order(population: Population, into: Sequence[Projection]) -> np.ndarray:
    """int32 (N,): lanes are neurons, but of a population that a convolution feeds those of one place of the picture are
    neighbours, so that a tap of the kernel adds to all channels at once."""
    channels = [item.synapses.out_shape[0] for item in into if isinstance(item.synapses, Convolution)]
    return _by_place(population.size, channels[0] if channels else 1)


def _by_place(size: int, channels: int) -> np.ndarray:
    return np.arange(size, dtype=np.int32).reshape(channels, -1).T.reshape(-1)


def _groups(projection: Projection, binary: set[str]) -> bool:
    synapses = projection.synapses
    return isinstance(synapses, Dense) and projection.source in binary and max(synapses.shape) <= GROUPED


def _group_visit(pair: Sequence[Projection], order: np.ndarray, inside: set[str]) -> Visit:
    table = aligned(np.concatenate([_group_sums(_dense_rows(item, order)) for item in pair]))
    record = {
        "kind": GROUPS,
        "weight": table.ctypes.data,
        "table_rows": table.shape[0],
        "columns": table.shape[1],
        "fan_in": pair[0].synapses.shape[1],
        "fan_in2": pair[1].synapses.shape[1] if len(pair) > 1 else 0,
    }
    return Visit(tuple(pair), any(item.source in inside for item in pair), record, (table,))


def _visit(projection: Projection, order: np.ndarray, inner: bool, largest: int) -> Visit:
    synapses = projection.synapses
    fan_in = {"fan_in": synapses.shape[1]}
    if isinstance(synapses, Dense):
        columns = {"columns": _padded(order.size)}
        return DenseVisit((projection,), inner, {"kind": DENSE, **fan_in, **columns}, (), order, largest)
    if isinstance(synapses, Convolution) and np.array_equal(order, _by_place(order.size, synapses.out_shape[0])):
        record, arrays = stamp_tables(synapses, projection.exponent)
    else:
        record, arrays = _by_source(synapses, projection.exponent, order)
    return Visit((projection,), inner, {**fan_in, **record}, arrays)


def _by_source(
    synapses: Sparse | Convolution, exponent: int, order: np.ndarray
) -> tuple[dict[str, int], tuple[np.ndarray, ...]]:
    """Synapses compressed by source. A convolution comes here where another one has chosen other channels for the
    lanes."""
    target, source, weight = synapses.coo()
    lane = np.empty(order.size, np.int32)
    lane[order] = np.arange(order.size, dtype=np.int32)
    by_source = np.argsort(source, kind="stable")
    counts = np.bincount(source, minlength=synapses.shape[1])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lanes = lane[target[by_source]]
    shifted = weight[by_source].astype(np.int32) << exponent
    record = {
        "kind": SPARSE,
        "starts": starts.ctypes.data,
        "lanes": lanes.ctypes.data,
        "weight": shifted.ctypes.data,
    }
    return record, (starts, lanes, shifted)


def _weight(projection: Projection) -> np.ndarray:
    assert isinstance(projection.synapses, Dense)
    return projection.synapses.weight


def _dense_rows(projection: Projection, order: np.ndarray) -> np.ndarray:
    """int32 (N_source, N padded): transposed, and shifted, so that all synapses add to one sum."""
    weight = _weight(projection)
    table = np.zeros((weight.shape[1], _padded(order.size)), np.int32)
    table[:, : order.size] = weight[order].T
    table <<= projection.exponent
    return aligned(table)


def _group_sums(rows: np.ndarray) -> np.ndarray:
    """int32 (16 ceil(N_source / 4), N padded): row 16 g + b is the sum of those rows 4 g to 4 g + 3 whose bit is set in
    b."""
    groups = np.zeros((-(-len(rows) // 4), 4, rows.shape[1]), np.int32)
    groups.reshape(-1, rows.shape[1])[: len(rows)] = rows
    bits = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.int32)
    return (bits @ groups).reshape(-1, rows.shape[1])


def _padded(number: int) -> int:
    return -(-number // WIDTH) * WIDTH


def _stored(projection: Projection) -> int:
    synapses = projection.synapses
    return int(synapses.kernel.size if isinstance(synapses, Convolution) else synapses.weight.size)


def parameter_rows(model: str, constants: Mapping[str, Any], size: int) -> np.ndarray:
    """float64 (rows, size) of a population, from :func:`hardware.neurons.constants`."""
    rows = []
    for name in ROWS[model]:
        value, _, shift = name.partition("/")
        number = np.broadcast_to(np.asarray(1 if value == "1" else constants[value], dtype=np.float64), (size,))
        rows.append(number * 2.0 ** -int(constants[shift]) if shift else number)
    table = np.array(rows)
    if model == "cuba_lif":
        table[1] = (4095.0 - table[1]) / 4096.0
        table[2] = (4096.0 - table[2]) / 4096.0
        table[3] *= 64.0
    return table
