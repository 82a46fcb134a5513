"""The compiled emulator (numba): a layer at a time over a chunk of steps, samples in blocks of lanes, synapses by event or by matrix product.

Oracle: :class:`hardware.emulator.Emulator`. Results do not depend on chunks, blocks or threads, because every sum is of integers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from hardware import kernels_events as events
from hardware import kernels_steps as steps
from hardware.inputs import check_inputs, check_state
from hardware.neurons import constants
from hardware.program import Layer, Program, Synapses
from hardware.trace import NetworkState, Trace, recorded_states

ENGINE = "emulator"
MODEL_CODES = {"brf": 0, "se_adlif": 1, "alif": 2, "lif": 3, "cuba_lif": 4, "li": 5}
LANES = 256
"""Lanes of a block: wide enough to hide the loop's overhead, narrow enough that states and parameters stay in the first-level cache."""

CHUNK_BYTES = 2**24
"""Memory for what a chunk of steps needs besides the results that the caller keeps."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _add_inputs(drive, samples, size, values, offset, count, weight):  # noqa: ANN001, ANN202
    """Events of every sample of a block; see :func:`hardware.kernels_events.add_spikes`."""
    start = 0
    for _ in range(samples):
        if values.itemsize == 1:
            events.add_spikes(drive, start, size, values, offset, count, weight)
        else:
            events.add_payloads(drive, start, size, values, offset, count, weight)
        start += size
        offset += count


@_jit
def _step(model, option, parameters, states, drive, before, after):  # noqa: ANN001, ANN202
    if model == 0:
        steps.brf(parameters, states, drive, before, after)
    elif model == 1:
        steps.se_adlif(parameters, states, drive, before, after, option)
    elif model == 2:
        steps.alif(parameters, states, drive, before, after)
    elif model == 3:
        steps.lif(parameters, states, drive, before, after, option)
    elif model == 4:
        steps.cuba_lif(parameters, states, drive, before, after)
    else:
        steps.li(parameters, states, drive)


@_jit
def run_block(
    model, option, low, size, shape, parameters, pre, weight, dense, feedback, states, before, spikes, kept, keep
):  # noqa: ANN001, ANN201
    """A chunk of steps of one layer for a block of samples. A lane is one neuron of one sample; lanes of a sample are neighbours.

    Args:
        model, option: code of the model, bool of its option.
        low: first lane of the block in the whole batch; size: neurons of the layer, N.
        parameters: float64 (rows, lanes of this block).
        shape: (T, B, N_pre) of ``pre``, which is flat, uint8 or int32, and read where ``dense`` is empty.
        weight: int32 (N_pre, N padded), see :mod:`hardware.kernels_events`.
        dense: int32 (T, B N), input current already computed, or empty.
        feedback: int32 (N, N padded), or empty without recurrence.
        states: float64 (d, lanes), updated.
        before: uint8 (lanes,), spikes of the step before, updated.
        spikes: uint8 (T, B N), written, or empty for a model without spikes.
        kept: int32 (number kept, T, B N), written; keep: which states these are.
    """
    total, batch, fan_in = shape
    lanes = before.size
    samples = lanes // size
    first = low // size * fan_in
    drive = np.zeros(lanes + events.WIDTH, np.int32)
    after = np.zeros(lanes, np.uint8)
    for t in range(total):
        if dense.size:
            current = dense[t, low : low + lanes]
            for i in range(lanes):
                drive[i] = current[i]
        else:
            for i in range(lanes):
                drive[i] = 0
            _add_inputs(drive, samples, size, pre, t * batch * fan_in + first, fan_in, weight)
        if feedback.size:
            _add_inputs(drive, samples, size, before, 0, size, feedback)
        _step(model, option, parameters, states, drive, before, after)
        for i in range(lanes):
            before[i] = after[i]
        if spikes.size:
            out = spikes[t, low : low + lanes]
            for i in range(lanes):
                out[i] = after[i]
        for k in range(keep.size):
            state, record = states[keep[k]], kept[k, t, low : low + lanes]
            for i in range(lanes):
                record[i] = np.int32(state[i])


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
            run_block(
                code, self.option, low, size, pre.shape, parameters, flat, self.weight, dense, self.feedback, states, before, spikes, kept, keep
            )  # fmt: skip
            self.states[:, low:high] = states

        for _ in (pool.map if pool else map)(one, range(0, lanes, width)):
            pass

    def _dense(self, pre: np.ndarray) -> np.ndarray:
        """Input currents by matrix product, int32 (T, B N), where that is cheaper than one addition of a row per event; else empty.

        The product is exact: float32 where every partial sum is below 2^24, float64 otherwise.
        """
        fan_in = pre.shape[2]
        number = np.count_nonzero(pre) / (pre.shape[0] * pre.shape[1])
        if number * EVENT_COST <= fan_in * PRODUCT_COST + OUTPUT_COST:
            return np.zeros((0, 0), np.int32)
        product = pre.reshape(-1, fan_in).astype(self.blas.dtype) @ self.blas
        current = product.astype(np.int32)
        current <<= self.layer.input.exponent
        return current.reshape(pre.shape[0], -1)


EVENT_COST, PRODUCT_COST, OUTPUT_COST = 0.25, 0.05, 3.0
"""Relative costs, per neuron of the layer, of adding one event, of one input in a matrix product, and of moving its result (measured)."""


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
    layers = _prepare(program, check_state(program, initial_state, batch), batch)
    chosen = [f"{state}/{name}" for state, name in recorded_states(program, record)]
    output = f"{program.output.spec.states[0]}/{program.output.name}"
    kept_names = chosen if program.output.spec.spiking else [*chosen, *({output} - set(chosen))]
    states = {}
    for la in program.layers:
        names = [f"{s}/{la.name}" for s in la.spec.states if f"{s}/{la.name}" in kept_names]
        table = np.empty((len(names), total, batch, la.size), np.int32)
        states.update(dict(zip(names, table)))
    hidden = program.layers if keep_spikes else program.layers[-1:]
    spikes = {la.name: np.empty((total, batch, la.size), np.uint8) for la in hidden if la.spec.spiking}
    chunk = max(
        1, min(total, CHUNK_BYTES // (batch * 8 * max(max(la.size, la.input.weight.shape[1]) for la in program.layers)))
    )
    workers = _workers(threads, total * batch * sum(la.size for la in program.layers))
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


def _prepare(program: Program, start: NetworkState, batch: int) -> list[_LayerRun]:
    runs = []
    largest = max(abs(program.input.low), abs(program.input.high))
    for layer in program.layers:
        rows = steps.parameter_rows(layer.model, constants(layer), layer.size)
        states = np.stack([start.states[f"{state}/{layer.name}"] for state in layer.spec.states]).astype(np.float64)
        row_sum = int(np.abs(layer.input.weight.astype(np.int64)).sum(axis=1).max()) * largest
        runs.append(
            _LayerRun(
                layer=layer,
                parameters=np.tile(rows, min(max(1, LANES // layer.size), batch)),
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


def _shifted(synapses: Synapses) -> np.ndarray:
    """int32 (N_pre, N padded): transposed, so that an event adds a row, and shifted, so that all synapses add to one sum."""
    size, fan_in = synapses.weight.shape
    table = np.zeros((fan_in, -(-size // events.WIDTH) * events.WIDTH), np.int32)
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


def numba_version() -> str:
    """Version of numba, for reports."""
    return str(numba.__version__)
