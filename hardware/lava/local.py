"""Run a Program on Lava in this interpreter. Needs Lava; the main process uses :mod:`hardware.lava.runtime` instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from hardware.inputs import check_inputs
from hardware.lava.builder import LavaNetwork
from hardware.lava.request import dense_samples
from hardware.program import Program
from hardware.trace import Trace


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
    inputs: np.ndarray,
    record: str | Iterable[str] = (),
    *,
    connections: str | int = "auto",
    arithmetic: str = "fixed_pt",
    stall_s: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Trace, list[Timing]]:
    """Run; see :func:`hardware.lava.runtime.run` for the arguments.

    Returns:
        The trace and the timing of each network that was run (one, or two where ``auto`` splits the samples).
    """
    inputs = check_inputs(program, inputs)
    first = dense_samples(program, inputs.shape, connections)
    parts = []
    if first > 0:
        parts.append(LavaNetwork(program, inputs[:, :first], record, connections="dense", arithmetic=arithmetic))
    if first < inputs.shape[1]:
        parts.append(LavaNetwork(program, inputs[:, first:], record, connections="batched", arithmetic=arithmetic))
    total, done, traces, timings = sum(part.lava_steps for part in parts), 0, [], []
    for part in parts:
        before = done
        report = None if progress is None else (lambda step, _, before=before: progress(before + step, total))
        traces.append(part.run(stall_s=stall_s, progress=report))
        timings.append(Timing(part.connections, part.samples, part.lava_steps, part.startup_s, part.run_s))
        done += part.lava_steps
    return _joined(traces), timings


def _joined(traces: list[Trace]) -> Trace:
    """Traces of consecutive samples as one; the engine's name says how many samples went through which connections."""
    if len(traces) == 1:
        return traces[0]
    counts = ", ".join(f"{t.engine.removeprefix('lava[').removesuffix(']')} {t.output.shape[1]}" for t in traces)
    return Trace(
        engine=f"lava[{counts}]",
        output=np.concatenate([t.output for t in traces], axis=1),
        spikes={k: np.concatenate([t.spikes[k] for t in traces], axis=1) for k in traces[0].spikes},
        states={k: np.concatenate([t.states[k] for t in traces], axis=1) for k in traces[0].states},
    )
