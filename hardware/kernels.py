"""The compiled emulator (numba): a layer at a time over a chunk of steps, samples in blocks of lanes, synapses by event
or by matrix product.

Oracle: :class:`hardware.emulator.Emulator`. Results do not depend on chunks, blocks or threads, because every sum is of
    integers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hardware.chain import Layer, Synapses
from hardware.inputs import check_inputs, check_state
from hardware.kernels_compiled import LANE_PADDING, MODEL_CODES, ROWS, WIDTH, WORD, run_block
from hardware.neurons import constants
from hardware.program import Program
from hardware.trace import NetworkState, Trace, recorded_states

ENGINE = "emulator"
LANES = 2048
"""Lanes of a block: enough to hide what every step costs beside its neurons; states and parameters then stay in the
second-level cache."""

CHUNK_BYTES = 2**24
"""Memory for what a chunk of steps needs besides the results that the caller keeps."""


@dataclass
class _LayerRun:
    """A layer prepared for the kernel, with the state of the whole batch."""

    layer: Layer
    width: int
    parameters: np.ndarray
    weight: np.ndarray
    feedback: np.ndarray
    table: np.ndarray
    grouped: bool
    blas: np.ndarray
    option: bool
    states: np.ndarray
    before: np.ndarray

    def run(
        self,
        pre: np.ndarray,
        spikes: np.ndarray,
        kept: np.ndarray,
        keep: np.ndarray,
        begin: int,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        """All blocks of samples over one chunk; arguments as for :func:`run_block`."""
        synapses = (pre.reshape(-1), self.weight, self._dense(pre), self.feedback, self.table)
        code, size, lanes = MODEL_CODES[self.layer.model], self.layer.size, self.before.size

        def one(low: int) -> None:
            number = min(self.width, lanes - low)
            block = slice(low, low + number)
            states = np.zeros((len(self.states), _padded(number, LANE_PADDING)))
            states[:, :number] = self.states[:, block]
            parameters = np.ascontiguousarray(self.parameters[:, : states.shape[1]])
            place = (low, number, size, pre.shape)
            results = (spikes, kept, keep, begin)
            run_block(
                code, self.option, *place, parameters, synapses, self.grouped, states, self.before[block], *results
            )
            self.states[:, block] = states[:, :number]

        for _ in (pool.map if pool else map)(one, range(0, lanes, self.width)):
            pass

    def _dense(self, pre: np.ndarray) -> np.ndarray:
        """Input currents by matrix product, int32 (T, B N), where that is cheaper than one addition of a row per event;
        else empty.

        The product is exact: float32 where every partial sum is below 2^24, float64 otherwise.
        """
        fan_in = pre.shape[2]
        some = pre[::DENSITY_STEPS]
        number = np.count_nonzero(some) / (some.shape[0] * some.shape[1])
        if self.grouped or number * (EVENT_COST + EVENT_START / self.layer.size) <= fan_in * PRODUCT_COST + OUTPUT_COST:
            return np.zeros((0, 0), np.int32)
        product = pre.reshape(-1, fan_in).astype(self.blas.dtype) @ self.blas
        current = product.astype(np.int32)
        current <<= self.layer.input.exponent
        return current.reshape(pre.shape[0], -1)


DENSITY_STEPS = 16
"""The number of events is counted in one of this many steps; only speed depends on it."""

GROUPED = WORD
"""Synapses from at most this many neurons to at most as many, all inputs 0 or 1, are summed in groups."""

EVENT_COST, EVENT_START, PRODUCT_COST, OUTPUT_COST = 0.05, 1.6, 0.016, 1.7
"""Nanoseconds per neuron and step, measured on one AVX-512 core: adding one event to a neuron, starting one event
(shared by the layer's neurons), one
input of a matrix product, moving its result. Only their ratio matters, and only for speed."""


def run(
    program: Program,
    inputs: np.ndarray,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    keep_spikes: bool = True,
    threads: int | None = None,
) -> Trace:
    """As :func:`hardware.emulator.emulate`."""
    inputs = _as_events(program, check_inputs(program, inputs))
    total, batch, _ = inputs.shape
    workers = _workers(threads, total * batch * sum(la.size for la in program.layers))
    layers = _prepare(program, check_state(program, initial_state, batch), batch, workers)
    chosen = [f"{state}/{name}" for state, name in recorded_states(program, record)]
    output = f"{program.output.spec.states[0]}/{program.output.name}"
    kept_names = chosen if program.output.spec.spiking else [*chosen, *({output} - set(chosen))]
    states = {}
    tables = []
    for la in program.layers:
        keep = [k for k, state in enumerate(la.spec.states) if f"{state}/{la.name}" in kept_names]
        table = np.empty((len(keep), total, batch, la.size), np.int32)
        states.update({f"{la.spec.states[k]}/{la.name}": table[i] for i, k in enumerate(keep)})
        tables.append((table.reshape(len(keep), total, batch * la.size), np.array(keep, np.int64)))
    hidden = program.layers if keep_spikes else program.layers[-1:]
    spikes = {la.name: _events((total, batch, la.size)) for la in hidden if la.spec.spiking}
    chunk = max(
        1, min(total, CHUNK_BYTES // (batch * 8 * max(max(la.size, la.input.weight.shape[1]) for la in program.layers)))
    )
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, total, chunk):
            window = slice(start, min(start + chunk, total))
            _run_chunk(layers, inputs[window], window, spikes, tables, pool if workers > 1 else None)
    out = program.output
    return Trace(
        engine=ENGINE,
        output=spikes[out.name] if out.spec.spiking else states[output],
        spikes={name: value for name, value in spikes.items() if keep_spikes},
        states={key: states[key] for key in chosen},
        final_state=_final_state(layers, batch),
    )


def _run_chunk(
    layers: list[_LayerRun],
    pre: np.ndarray,
    window: slice,
    spikes: dict[str, np.ndarray],
    tables: list[tuple[np.ndarray, np.ndarray]],
    pool: ThreadPoolExecutor | None,
) -> None:
    shape = pre.shape[:2]
    for item, (kept, keep) in zip(layers, tables, strict=True):
        layer = item.layer
        if not layer.spec.spiking:
            out = np.empty((0, 0), np.uint8)
        elif layer.name in spikes:
            out = spikes[layer.name][window].reshape(shape[0], -1)
        else:
            out = _events((shape[0], shape[1] * layer.size))
        item.run(pre, out, kept, keep, window.start, pool)
        if layer.spec.spiking:
            pre = out.reshape(*shape, layer.size)


def _as_events(program: Program, inputs: np.ndarray) -> np.ndarray:
    """uint8 where all payloads fit, int32 otherwise: two compiled forms."""
    small = program.input.low >= 0 and program.input.high <= 255
    if not small:
        return np.ascontiguousarray(inputs, dtype=np.int32)
    events = _events(inputs.shape)
    events[...] = inputs
    return events


def _events(shape: tuple[int, ...]) -> np.ndarray:
    """uint8 of this shape, contiguous, with memory behind it that can be read as the kernels read, a word of inputs at
    once."""
    size = math.prod(shape)
    return np.empty(size + WORD, np.uint8)[:size].reshape(shape)


def _workers(threads: int | None, updates: int) -> int:
    if threads is not None:
        return max(1, threads)
    if updates < 500_000:
        return 1  # shorter than what handing work to threads costs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(program: Program, start: NetworkState, batch: int, workers: int = 1) -> list[_LayerRun]:
    runs = []
    binary = program.input.low >= 0 and program.input.high <= 1
    largest = max(abs(program.input.low), abs(program.input.high))
    for layer in program.layers:
        rows = parameter_rows(layer.model, constants(layer), layer.size)
        width = _samples_of_a_block(layer.size, batch, workers) * layer.size
        weight = _shifted(layer.input)
        feedback = np.zeros((0, weight.shape[1]), np.int32) if layer.recurrent is None else _shifted(layer.recurrent)
        grouped = binary and max(len(weight), layer.size) <= GROUPED
        groups = [_group_sums(weight)] if grouped else []
        if layer.size <= GROUPED:
            groups, feedback = [*groups, _group_sums(feedback)], feedback[:0]
        states = np.stack([start.states[f"{state}/{layer.name}"] for state in layer.spec.states]).astype(np.float64)
        row_sum = int(np.abs(layer.input.weight.astype(np.int64)).sum(axis=1).max()) * largest
        runs.append(
            _LayerRun(
                layer=layer,
                width=width,
                parameters=np.resize(rows.T, (_padded(width, LANE_PADDING), len(rows))).T.copy(),
                weight=weight,
                feedback=feedback,
                table=np.concatenate([*groups, np.zeros((0, weight.shape[1]), np.int32)]),
                grouped=grouped,
                blas=np.ascontiguousarray(layer.input.weight.T, dtype=np.float32 if row_sum < 2**24 else np.float64),
                option=layer.options.get("reset") == "subtract" or layer.options.get("adaptation_spike") == "previous",
                states=states.reshape(len(states), -1),
                before=start.spikes[layer.name].reshape(-1)
                if layer.spec.spiking
                else np.zeros(batch * layer.size, np.uint8),
            )
        )
        largest, binary = 1, True
    return runs


def _samples_of_a_block(size: int, batch: int, workers: int) -> int:
    """Samples for blocks of at most about :data:`LANES` lanes, as many blocks for one worker as for the other."""
    blocks = -(-batch * size // LANES)
    blocks = -(-blocks // workers) * workers
    return -(-batch // blocks)


def _shifted(synapses: Synapses) -> np.ndarray:
    """int32 (N_pre, N padded): transposed, so that an event adds a row, and shifted, so that all synapses add to one
    sum."""
    size, fan_in = synapses.weight.shape
    table = np.zeros((fan_in, _padded(size, WIDTH)), np.int32)
    table[:, :size] = synapses.weight.T.astype(np.int32) << synapses.exponent
    return table


def _group_sums(rows: np.ndarray) -> np.ndarray:
    """int32 (16 ceil(N_pre / 4), N padded): row 16 g + b is the sum of those rows 4 g to 4 g + 3 whose bit is set in
    b."""
    groups = np.zeros((-(-len(rows) // 4), 4, rows.shape[1]), np.int32)
    groups.reshape(-1, rows.shape[1])[: len(rows)] = rows
    bits = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.int32)
    return (bits @ groups).reshape(-1, rows.shape[1])


def _padded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _final_state(layers: list[_LayerRun], batch: int) -> NetworkState:
    states = {
        f"{state}/{item.layer.name}": item.states[k].reshape(batch, -1).astype(np.int32)
        for item in layers
        for k, state in enumerate(item.layer.spec.states)
    }
    spikes = {item.layer.name: item.before.reshape(batch, -1) for item in layers if item.layer.spec.spiking}
    history = {item.layer.name: spikes[item.layer.name][None] for item in layers if item.layer.recurrent is not None}
    return NetworkState(states, spikes, history)


def parameter_rows(model: str, constants: Mapping[str, Any], size: int) -> np.ndarray:
    """float64 (rows, size) of a layer, from :func:`hardware.neurons.constants`."""
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


def numba_version() -> str:
    """Version of numba, for reports."""
    return str(numba.__version__)
