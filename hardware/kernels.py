"""The compiled emulator (numba): a layer at a time over a chunk of steps, samples in blocks of lanes, synapses by event
or by matrix product.

Oracle: :class:`hardware.emulator.Emulator`. Results do not depend on chunks, blocks or threads, because every sum is of
    integers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hardware.inputs import check_inputs, check_state
from hardware.kernels_compiled import MODEL_CODES, ROWS, WIDTH, run_block
from hardware.neurons import constants
from hardware.program import Layer, Program, Synapses
from hardware.trace import NetworkState, Trace, recorded_states

ENGINE = "emulator"
LANES = 1024
"""Lanes of a block: enough to hide what every step costs beside its neurons; states and parameters then stay in the
second-level cache."""

CHUNK_BYTES = 2**24
"""Memory for what a chunk of steps needs besides the results that the caller keeps."""


@dataclass
class _LayerRun:
    """A layer prepared for the kernel, with the state of the whole batch."""

    layer: Layer
    parameters: np.ndarray
    weight: np.ndarray
    feedback: np.ndarray
    blas: np.ndarray
    option: bool
    states: np.ndarray
    before: np.ndarray

    def run(
        self, pre: np.ndarray, spikes: np.ndarray, kept: np.ndarray, keep: np.ndarray, pool: ThreadPoolExecutor | None
    ) -> None:
        """All blocks of samples over one chunk; arguments as for :func:`run_block`."""
        dense, flat = self._dense(pre), pre.reshape(-1)
        code, size = MODEL_CODES[self.layer.model], self.layer.size
        lanes = self.before.size
        width = self.parameters.shape[1]

        def one(low: int) -> None:
            high = min(low + width, lanes)
            states, before = self.states[:, low:high].copy(), self.before[low:high]
            parameters = np.ascontiguousarray(self.parameters[:, : high - low])
            synapses = (flat, self.weight, dense, self.feedback)
            run_block(
                code, self.option, low, size, pre.shape, parameters, *synapses, states, before, spikes, kept, keep
            )
            self.states[:, low:high] = states

        for _ in (pool.map if pool else map)(one, range(0, lanes, width)):
            pass

    def _dense(self, pre: np.ndarray) -> np.ndarray:
        """Input currents by matrix product, int32 (T, B N), where that is cheaper than one addition of a row per event;
        else empty.

        The product is exact: float32 where every partial sum is below 2^24, float64 otherwise.
        """
        fan_in = pre.shape[2]
        number = np.count_nonzero(pre) / (pre.shape[0] * pre.shape[1])
        if number * (EVENT_COST + EVENT_START / self.layer.size) <= fan_in * PRODUCT_COST + OUTPUT_COST:
            return np.zeros((0, 0), np.int32)
        product = pre.reshape(-1, fan_in).astype(self.blas.dtype) @ self.blas
        current = product.astype(np.int32)
        current <<= self.layer.input.exponent
        return current.reshape(pre.shape[0], -1)


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
    for la in program.layers:
        names = [f"{s}/{la.name}" for s in la.spec.states if f"{s}/{la.name}" in kept_names]
        table = np.empty((len(names), total, batch, la.size), np.int32)
        states.update(dict(zip(names, table, strict=True)))
    hidden = program.layers if keep_spikes else program.layers[-1:]
    spikes = {la.name: np.empty((total, batch, la.size), np.uint8) for la in hidden if la.spec.spiking}
    chunk = max(
        1, min(total, CHUNK_BYTES // (batch * 8 * max(max(la.size, la.input.weight.shape[1]) for la in program.layers)))
    )
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, total, chunk):
            window = slice(start, min(start + chunk, total))
            _run_chunk(layers, inputs[window], window, spikes, states, pool if workers > 1 else None)
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
    states: dict[str, np.ndarray],
    pool: ThreadPoolExecutor | None,
) -> None:
    shape = pre.shape[:2]
    for item in layers:
        layer = item.layer
        names = [f"{state}/{layer.name}" for state in layer.spec.states]
        keep = np.array([k for k, name in enumerate(names) if name in states], np.int64)
        kept = np.empty((len(keep), shape[0], shape[1] * layer.size), np.int32)
        if not layer.spec.spiking:
            out = np.empty((0, 0), np.uint8)
        elif layer.name in spikes:
            out = spikes[layer.name][window].reshape(shape[0], -1)
        else:
            out = np.empty((shape[0], shape[1] * layer.size), np.uint8)
        item.run(pre, out, kept, keep, pool)
        for k, index in enumerate(keep):
            states[names[index]][window] = kept[k].reshape(*shape, layer.size)
        if layer.spec.spiking:
            pre = out.reshape(*shape, layer.size)


def _as_events(program: Program, inputs: np.ndarray) -> np.ndarray:
    """uint8 where all payloads fit, int32 otherwise: two compiled forms."""
    small = program.input.low >= 0 and program.input.high <= 255
    return np.ascontiguousarray(inputs, dtype=np.uint8 if small else np.int32)


def _workers(threads: int | None, updates: int) -> int:
    if threads is not None:
        return max(1, threads)
    if updates < 500_000:
        return 1  # shorter than what handing work to threads costs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(program: Program, start: NetworkState, batch: int, workers: int = 1) -> list[_LayerRun]:
    runs = []
    largest = max(abs(program.input.low), abs(program.input.high))
    for layer in program.layers:
        rows = parameter_rows(layer.model, constants(layer), layer.size)
        states = np.stack([start.states[f"{state}/{layer.name}"] for state in layer.spec.states]).astype(np.float64)
        row_sum = int(np.abs(layer.input.weight.astype(np.int64)).sum(axis=1).max()) * largest
        runs.append(
            _LayerRun(
                layer=layer,
                parameters=np.tile(rows, _samples_of_a_block(layer.size, batch, workers)),
                weight=_shifted(layer.input),
                feedback=np.zeros((0, 0), np.int32) if layer.recurrent is None else _shifted(layer.recurrent),
                blas=np.ascontiguousarray(layer.input.weight.T, dtype=np.float32 if row_sum < 2**24 else np.float64),
                option=layer.options.get("reset") == "subtract" or layer.options.get("adaptation_spike") == "previous",
                states=states.reshape(len(states), -1),
                before=start.spikes[layer.name].reshape(-1)
                if layer.spec.spiking
                else np.zeros(batch * layer.size, np.uint8),
            )
        )
        largest = 1
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
    table = np.zeros((fan_in, -(-size // WIDTH) * WIDTH), np.int32)
    table[:, :size] = synapses.weight.T.astype(np.int32) << synapses.exponent
    return table


def _final_state(layers: list[_LayerRun], batch: int) -> NetworkState:
    states = {
        f"{state}/{item.layer.name}": item.states[k].reshape(batch, -1).astype(np.int32)
        for item in layers
        for k, state in enumerate(item.layer.spec.states)
    }
    return NetworkState(
        states, {item.layer.name: item.before.reshape(batch, -1) for item in layers if item.layer.spec.spiking}
    )


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
