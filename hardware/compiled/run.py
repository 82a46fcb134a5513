"""The compiled emulator: checked arguments in, components over chunks of steps, a trace out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from hardware.compiled.blocks import Call, ComponentRun
from hardware.compiled.memory import Line
from hardware.compiled.tables import Component, DenseVisit, prepared
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.program import Program
from hardware.trace import NetworkState, Trace, make_trace, output_key, recorded_states

ENGINE = "emulator"

CHUNK_BYTES = 2**24
"""Memory for what a chunk of steps needs, so that what one population sends is still in a cache when the next reads
it."""


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
    call = Call(
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
    parts = [ComponentRun(call, component, start, workers) for component in prepare]
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


def _trace(call: Call, parts: Iterable[ComponentRun], chosen: set[str]) -> Trace:
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
