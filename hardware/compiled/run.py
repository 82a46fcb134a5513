"""The compiled emulator: components over chunks of steps, samples in blocks, what sources send kept in buffers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hardware.compiled.loop import LANE_PADDING, run_blocks
from hardware.compiled.records import DENSE, IDLE, POPULATION, VISIT, table
from hardware.compiled.tables import Cells, Component, DenseVisit, aligned, prepared
from hardware.compiled.vectors import WORD
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.program import Program
from hardware.trace import NetworkState, Trace, make_trace, output_key, recorded_states

ENGINE = "emulator"
LANES = 2048
"""Lanes of a block: enough to hide what every step costs beside its neurons; states and parameters then stay in the
second-level cache."""

CHUNK_BYTES = 2**24
"""Memory for what a chunk of steps needs, so that what one population sends is still in a cache when the next reads
it."""

DENSITY_STEPS = 16
"""The number of events is counted in one of this many steps; only speed depends on it."""

EVENT_COST, EVENT_START, PRODUCT_COST, OUTPUT_COST = 0.05, 1.6, 0.016, 1.7
"""Nanoseconds per neuron and step, measured on one AVX-512 core: adding one event to a neuron, starting one event
(shared by the population's neurons), one input of a matrix product, moving its result. Only their ratio matters, and
only for speed."""


@dataclass
class Line:
    """What a source sends: its last steps of the chunk before, then those of this chunk, or of the whole run.

    Attributes:
        values: (front + steps, B, N), uint8 or int32; behind uint8 a word can be read.
        front: steps before the first one that are kept.
        whole: the buffer holds the whole run, because the caller keeps it.
    """

    values: np.ndarray
    front: int
    whole: bool

    @classmethod
    def empty(cls, front: int, steps: int, batch: int, size: int, wide: bool, whole: bool) -> Line:
        shape = (front + steps, batch, size)
        number = math.prod(shape)
        values = np.empty(number, np.int32) if wide else np.empty(number + WORD, np.uint8)[:number]
        return cls(values.reshape(shape), front, whole)

    def row(self, begin: int) -> int:
        """Of the first step of the chunk that begins there."""
        return self.front + (begin if self.whole else 0)

    def finish(self, steps: int) -> None:
        """The chunk is over: its last steps become those before the next."""
        if not self.whole and self.front:
            self.values[: self.front] = self.values[steps : steps + self.front].copy()

    def last(self, count: int, total: int) -> np.ndarray:
        """The last ``count`` steps of a run of ``total``, all chunks finished."""
        end = self.row(total)
        return self.values[end - count : end].copy()


@dataclass
class _Run:
    """One call: the buffers of all sources and what is recorded."""

    program: Program
    batch: int
    total: int
    lines: dict[str, Line]
    kept: dict[str, np.ndarray]


class _ComponentRun:
    """A component with the states of the whole batch, in blocks of samples, and its records for the loop."""

    def __init__(self, run: _Run, component: Component, start: NetworkState, workers: int) -> None:
        self.run, self.component = run, component
        lanes = sum(cells.population.size for cells in component)
        self.samples = samples_of_a_block(lanes, run.batch, workers)
        self.blocks = -(-run.batch // self.samples)
        self.states = {cells.population.name: self._packed(cells, start) for cells in component}
        self.parameters = [self._tiled(cells) for cells in component]
        self.orders = [np.zeros(0, np.int32) if cells.plain else cells.order for cells in component]
        self.visits = [visit for cells in component for visit in cells.visits]
        self.visit_records = table(VISIT, [visit.record for visit in self.visits])
        self.records = table(POPULATION, self._fixed())

    def _width(self, cells: Cells, samples: int) -> int:
        return -(-samples * cells.population.size // LANE_PADDING) * LANE_PADDING

    def _tiled(self, cells: Cells) -> np.ndarray:
        """float64 (rows, width): the parameters once for every sample of a block."""
        width = self._width(cells, self.samples)
        return aligned(np.resize(cells.rows.T, (width, len(cells.rows))).T)

    def _fixed(self) -> Iterable[dict[str, int]]:
        first = 0
        for cells, parameters, order in zip(self.component, self.parameters, self.orders, strict=True):
            item = cells.population
            kept = [self.run.kept.get(f"{state}/{item.name}") for state in item.spec.states]
            yield {
                "model": cells.code,
                "option": int(cells.option),
                "size": item.size,
                "rows": len(parameters),
                "count": len(item.spec.states),
                "parameters": parameters.ctypes.data,
                "states": self.states[item.name].ctypes.data,
                "width": parameters.shape[1],
                "order": order.ctypes.data if order.size else 0,
                "spikes": self.run.lines[item.name].values.ctypes.data if item.spec.spiking else 0,
                **{f"kept{k}": 0 if array is None else array.ctypes.data for k, array in enumerate(kept)},
                "first": first,
                "last": first + len(cells.visits),
            }
            first += len(cells.visits)

    def _packed(self, cells: Cells, start: NetworkState) -> np.ndarray:
        """float64, for each block its states in the order of lanes, padded; the last block may be shorter."""
        item = cells.population
        count, width = len(item.spec.states), self._width(cells, self.samples)
        packed = aligned(np.zeros((self.blocks, count, width)))
        for k, state in enumerate(item.spec.states):
            values = start.states[f"{state}/{item.name}"]
            self._views(cells, packed, k, values if cells.plain else values[:, cells.order], into=True)
        return packed

    def unpacked(self) -> dict[str, np.ndarray]:
        """``"<state>/<population>"`` -> int32 (B, N)."""
        result = {}
        for cells in self.component:
            item = cells.population
            for k, state in enumerate(item.spec.states):
                lanes = np.empty((self.run.batch, item.size), np.int32)
                self._views(cells, self.states[item.name], k, lanes, into=False)
                values = lanes
                if not cells.plain:
                    values = np.empty_like(lanes)
                    values[:, cells.order] = lanes
                result[f"{state}/{item.name}"] = values
        return result

    def _views(self, cells: Cells, packed: np.ndarray, k: int, values: np.ndarray, into: bool) -> None:
        """Copies state k of all samples, (B, N) by lane, into the blocks or out of them."""
        size, full = cells.population.size, self.run.batch // self.samples
        rest = self.run.batch - full * self.samples
        pairs = []
        if full:
            inside = packed[:full, k, : self.samples * size]
            pairs.append((inside, values[: full * self.samples].reshape(full, -1)))
        if rest:
            width = self._width(cells, rest)
            inside = packed[full].reshape(-1)[k * width : k * width + rest * size]
            pairs.append((inside, values[full * self.samples :].reshape(-1)))
        for inside, outside in pairs:
            if into:
                inside[...] = outside
            else:
                outside[...] = inside

    def advance(self, begin: int, steps: int, pool: ThreadPoolExecutor | None, workers: int) -> None:
        """All blocks over one chunk."""
        run, lines = self.run, self.run.lines
        for record, visit in zip(self.visit_records, self.visits, strict=True):
            for field, source, item in zip(("", "2"), ("source", "source2"), visit.projections, strict=False):
                line = lines[item.source]
                record[source] = line.values.ctypes.data
                record["row" + field] = line.row(begin) - item.delay
            record["wide"] = lines[visit.projections[0].source].values.itemsize != 1
        currents = [
            self._current(record, cells, begin, steps)
            for record, cells in zip(self.records, self.component, strict=True)
        ]
        arguments = (self.records, self.visit_records, steps, begin, run.batch, self.samples)
        if pool is None:
            run_blocks(*arguments, 0, self.blocks)
        else:
            cuts = np.linspace(0, self.blocks, min(self.blocks, TASKS * workers) + 1).astype(int).tolist()
            for _ in pool.map(lambda pair: run_blocks(*arguments, *pair), pairwise(cuts)):
                pass
        del currents

    def _current(self, record: np.void, cells: Cells, begin: int, steps: int) -> np.ndarray | None:
        """What arrives by matrix product, int32 (steps, B N); every other visit is left to the loop."""
        item, total = cells.population, None
        if item.spec.spiking:
            record["row"] = self.run.lines[item.name].row(begin)
        for place in range(record["first"], record["last"]):
            visit = self.visits[place]
            if not isinstance(visit, DenseVisit):
                continue
            projection = visit.projections[0]
            row = self.visit_records[place]["row"]
            values = self.run.lines[projection.source].values[row : row + steps]
            if not visit.inner and by_product(visit, values, item.size):
                part = visit.product(values)
                total = part if total is None else np.add(total, part, out=total)
                self.visit_records[place]["kind"] = IDLE
            else:
                self.visit_records[place]["kind"] = DENSE
                self.visit_records[place]["weight"] = visit.rows.ctypes.data
        record["current"] = 0 if total is None else total.ctypes.data
        return total


TASKS = 4
"""Tasks of a chunk per thread: samples differ in how many events they have."""


def by_product(visit: DenseVisit, values: np.ndarray, size: int) -> bool:
    """Whether a matrix product is cheaper than one addition of a row per event, and exact."""
    some = values[::DENSITY_STEPS]
    number = np.count_nonzero(some) / (some.shape[0] * some.shape[1])
    events = number * (EVENT_COST + EVENT_START / size)
    return events > values.shape[2] * PRODUCT_COST + OUTPUT_COST and visit.bound < 2**53


def run(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    keep_spikes: bool = True,
    threads: int | None = None,
) -> Trace:
    """As :func:`hardware.emulator.emulate`."""
    given = named_inputs(program, inputs)
    total, batch, _ = next(iter(given.values())).shape
    start = check_state(program, initial_state, batch)
    chosen = {f"{state}/{name}" for state, name in recorded_states(program, record)}
    prepare = prepared(program)
    chunk = max(1, min(total, CHUNK_BYTES // (batch * _bytes_of_a_step(program, prepare))))
    call = _Run(
        program,
        batch,
        total,
        _lines(program, start, batch, total, chunk, keep_spikes),
        {
            f"{state}/{item.name}": np.empty((total, batch, item.size), np.int32)
            for item in program.populations
            for state in item.spec.states
            if f"{state}/{item.name}" in chosen | {output_key(program)}
        },
    )
    workers = _workers(threads, total * batch * sum(item.size for item in program.populations))
    parts = [_ComponentRun(call, component, start, workers) for component in prepare]
    with ThreadPoolExecutor(workers) as pool:
        for begin in range(0, total, chunk):
            steps = min(chunk, total - begin)
            for name, values in given.items():
                line = call.lines[name]
                line.values[line.row(begin) : line.row(begin) + steps] = values[begin : begin + steps]
            for part in parts:
                part.advance(begin, steps, pool if workers > 1 else None, workers)
            for line in call.lines.values():
                line.finish(steps)
    trace = _trace(call, parts, chosen)
    return trace if keep_spikes else replace(trace, spikes={})


def _bytes_of_a_step(program: Program, prepare: Iterable[Component]) -> int:
    """What one sample needs for one step: what sources send, and what matrix products give."""
    products = [
        4 * cells.population.size * any(isinstance(visit, DenseVisit) and not visit.inner for visit in cells.visits)
        for component in prepare
        for cells in component
    ]
    narrow = {item.name: _narrow(program, item.name) for item in program.inputs}
    return sum(products) + sum(size * (1 if narrow.get(name, True) else 4) for name, size in program.sizes.items())


def _narrow(program: Program, source: str) -> bool:
    """Whether all values of a source fit uint8."""
    low, high = program.ranges[source]
    return low >= 0 and high <= 255


def _lines(
    program: Program, start: NetworkState, batch: int, total: int, chunk: int, keep_spikes: bool
) -> dict[str, Line]:
    """A buffer for every source, filled with what came before the run; inputs are copied chunk by chunk."""
    lines = {}
    for item in program.inputs:
        front, wide = program.history.get(item.name, 0), not _narrow(program, item.name)
        lines[item.name] = Line.empty(front, chunk, batch, item.size, wide, whole=False)
    for population in program.populations:
        if population.spec.spiking:
            whole = keep_spikes or population.name == program.output.name
            front = max(1, program.history.get(population.name, 0))
            steps = total if whole else chunk
            line = lines[population.name] = Line.empty(front, steps, batch, population.size, False, whole)
            line.values[front - 1] = start.spikes[population.name]
    for name, past in start.history.items():
        lines[name].values[: len(past)] = past
    return lines


def _trace(call: _Run, parts: Iterable[_ComponentRun], chosen: set[str]) -> Trace:
    program, states = call.program, {}
    for part in parts:
        states.update(part.unpacked())
    spiking = [item.name for item in program.populations if item.spec.spiking]
    final = NetworkState(
        {
            f"{state}/{item.name}": states[f"{state}/{item.name}"]
            for item in program.populations
            for state in item.spec.states
        },
        {name: call.lines[name].last(1, call.total)[0] for name in spiking},
        {
            name: call.lines[name].last(count, call.total).astype(np.uint8 if name in spiking else np.int32)
            for name, count in program.history.items()
        },
    )
    spikes = {name: line.values[line.front :] for name, line in call.lines.items() if line.whole}
    return make_trace(program, ENGINE, call.kept, spikes, chosen, final)


def _workers(threads: int | None, updates: int) -> int:
    if threads is not None:
        return max(1, threads)
    if updates < 500_000:
        return 1  # shorter than what handing work to threads costs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def samples_of_a_block(lanes: int, batch: int, workers: int) -> int:
    """Samples for blocks of at most about :data:`LANES` lanes, as many blocks for one worker as for the other."""
    blocks = -(-batch * lanes // LANES)
    blocks = -(-blocks // workers) * workers
    return -(-batch // blocks)
