"""Run a Program on Lava in this interpreter. Needs Lava; the main process uses :mod:`hardware.lava.runtime` instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from hardware.inputs import Inputs, named_inputs
from hardware.lava.builder import LavaNetwork
from hardware.lava.request import dense_samples, joined
from hardware.program import Program
from hardware.trace import NetworkState, Trace


@dataclass(frozen=True)
class Timing:
    """Time of one network: how it was connected, samples, Lava steps, seconds to compile and start, seconds to run."""

    connections: str
    samples: int
    lava_steps: int
    startup_s: float
    run_s: float


def run(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    *,
    connections: str | int = "auto",
    arithmetic: str = "fixed_pt",
    initial_state: NetworkState | None = None,
    stall_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Trace, list[Timing]]:
    """Run; see :func:`hardware.lava.runtime.run` for the arguments.

    Returns:
        The trace and the timing of each network that was run (one, or two where ``auto`` splits the samples).
    """
    given = named_inputs(program, inputs)
    steps, samples, _ = next(iter(given.values())).shape
    first = dense_samples(program, steps, samples, connections)
    parts = []
    for kind, chosen in (("dense", slice(0, first)), ("batched", slice(first, samples))):
        if chosen.stop > chosen.start:
            some = {name: array[:, chosen] for name, array in given.items()}
            start = None if initial_state is None else part_of(initial_state, chosen)
            parts.append(
                LavaNetwork(program, some, record, connections=kind, arithmetic=arithmetic, initial_state=start)
            )
    total, done, traces, timings = sum(part.lava_steps for part in parts), 0, [], []
    for part in parts:
        before = done
        report = None if progress is None else (lambda step, _, before=before: progress(before + step, total))
        if report is not None:
            report(0, part.lava_steps)  # it starts
        traces.append(part.run(stall_s=stall_s, progress=report))
        timings.append(Timing(part.connections, part.samples, part.lava_steps, part.startup_s, part.run_s))
        done += part.lava_steps
    return joined(traces), timings


def part_of(state: NetworkState, samples: slice) -> NetworkState:
    """The state of some of the samples."""
    return NetworkState(
        {key: np.asarray(value)[samples] for key, value in state.states.items()},
        {name: np.asarray(value)[samples] for name, value in state.spikes.items()},
        {name: np.asarray(value)[:, samples] for name, value in state.history.items()},
    )
