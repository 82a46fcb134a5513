"""One call of the compiled emulator: what sources send, and the components with their states in blocks of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hardware.compiled.loop import LANE_PADDING, run_blocks
from hardware.compiled.memory import Line, aligned
from hardware.compiled.records import DENSE, IDLE, POPULATION, VISIT, table
from hardware.compiled.tables import Cells, Component, DenseVisit
from hardware.program import Program
from hardware.trace import NetworkState

LANES = 2048
"""Lanes of a block: enough to hide what every step costs beside its neurons; states and parameters then stay in the
second-level cache."""

DENSITY_STEPS = 16
"""The number of events is counted in one of this many steps; only speed depends on it."""

EVENT_COST, EVENT_START, PRODUCT_COST, OUTPUT_COST = 0.05, 1.6, 0.016, 1.7
"""Nanoseconds per neuron and step, measured on one AVX-512 core: adding one event to a neuron, starting one event
(shared by the population's neurons), one input of a matrix product, moving its result. Only their ratio matters, and
only for speed."""


@dataclass
class Call:
    """One call: the buffers of all sources and what is recorded."""

    program: Program
    batch: int
    total: int
    lines: dict[str, Line]
    kept: dict[str, np.ndarray]


class ComponentRun:
    """A component with the states of the whole batch, in blocks of samples, and its records for the loop."""

    def __init__(self, call: Call, component: Component, start: NetworkState, workers: int) -> None:
        self.call, self.component = call, component
        lanes = sum(cells.population.size for cells in component)
        self.samples = samples_of_a_block(lanes, call.batch, workers)
        self.blocks = -(-call.batch // self.samples)
        self.states = {cells.population.name: self._packed(cells, start) for cells in component}
        self.parameters = [self._tiled(cells) for cells in component]
        self.orders = [np.zeros(0, np.int32) if cells.plain else cells.order for cells in component]
        self.visits = [visit for cells in component for visit in cells.visits]
        self.rows: dict[int, np.ndarray] = {}
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
            kept = [self.call.kept.get(f"{state}/{item.name}") for state in item.spec.states]
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
                "spikes": self.call.lines[item.name].values.ctypes.data if item.spec.spiking else 0,
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
            lanes = values if cells.plain else values[:, cells.order]
            for place, some in self._places(cells, packed, k, lanes):
                place[...] = some
        return packed

    def unpacked(self) -> dict[str, np.ndarray]:
        """``"<state>/<population>"`` -> int32 (B, N)."""
        result = {}
        for cells in self.component:
            item = cells.population
            for k, state in enumerate(item.spec.states):
                lanes = np.empty((self.call.batch, item.size), np.int32)
                for place, some in self._places(cells, self.states[item.name], k, lanes):
                    some[...] = place
                values = lanes
                if not cells.plain:
                    values = np.empty_like(lanes)
                    values[:, cells.order] = lanes
                result[f"{state}/{item.name}"] = values
        return result

    def _places(
        self, cells: Cells, packed: np.ndarray, k: int, values: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """State k of whole blocks, and of a shorter last one: its place in the blocks, and in (B, N) by lane."""
        size, whole = cells.population.size, self.call.batch // self.samples
        rest = self.call.batch - whole * self.samples
        if whole:
            yield packed[:whole, k, : self.samples * size], values[: whole * self.samples].reshape(whole, -1)
        if rest:
            begin = k * self._width(cells, rest)
            place = packed[whole].reshape(-1)[begin : begin + rest * size]
            yield place, values[whole * self.samples :].reshape(-1)

    def advance(self, begin: int, steps: int, pool: ThreadPoolExecutor | None, workers: int) -> None:
        """All blocks over one chunk."""
        call, lines = self.call, self.call.lines
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
        arguments = (self.records, self.visit_records, steps, begin, call.batch, self.samples)
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
            record["row"] = self.call.lines[item.name].row(begin)
        for place in range(record["first"], record["last"]):
            visit = self.visits[place]
            if not isinstance(visit, DenseVisit):
                continue
            projection = visit.projections[0]
            row = self.visit_records[place]["row"]
            values = self.call.lines[projection.source].values[row : row + steps]
            if not visit.inner and by_product(visit, values, item.size):
                part = visit.product(values)
                total = part if total is None else np.add(total, part, out=total)
                self.visit_records[place]["kind"] = IDLE
            else:
                self.visit_records[place]["kind"] = DENSE
                self.rows[place] = visit.rows  # held: another thread may make them at the same time and replace ours
                self.visit_records[place]["weight"] = self.rows[place].ctypes.data
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


def samples_of_a_block(lanes: int, batch: int, workers: int) -> int:
    """Samples for blocks of at most about :data:`LANES` lanes, as many blocks for one worker as for the other."""
    blocks = -(-batch * lanes // LANES)
    blocks = -(-blocks // workers) * workers
    return -(-batch // blocks)
