"""The folder through which the main side and the worker talk.

::

    job.json               {"tasks": n, "timeout_s": s}
    package/hardware       link to this package, so that the worker sees it and nothing else of the main environment
    task0/program.npz      Program
    task0/request.npz      inputs, and how to run as a JSON text
    task0/trace.npz        arrays of the Trace, written by the worker
    task0/result.json      engine name and timings, written by the worker after the trace
    progress.jsonl         one line {"task": i, "step": s, "of": n} per report
    error.json             {"type", "message", "traceback", "task"} if the worker gave up
    output.txt             what the worker and its processes printed
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hardware.program import Program
from hardware.program_file import load, save
from hardware.trace import Trace

JOB, PROGRESS, ERROR, OUTPUT = "job.json", "progress.jsonl", "error.json", "output.txt"


@dataclass(frozen=True)
class Task:
    """One Program to run on one batch.

    Attributes:
        program: what to run.
        inputs: integers (T, B, N_in).
        record: states to keep: names, ``name/layer`` or ``"all"``.
        connections: ``auto``, ``dense``, ``batched`` or a number; see :func:`hardware.lava.runtime.run`.
        arithmetic: ``fixed_pt`` or ``floating_pt``.
    """

    program: Program
    inputs: np.ndarray
    record: str | Iterable[str] = ()
    connections: str | int = "auto"
    arithmetic: str = "fixed_pt"

    def __post_init__(self) -> None:
        if not isinstance(self.record, str):
            object.__setattr__(self, "record", tuple(self.record))


@dataclass(frozen=True)
class TaskResult:
    """Trace of a task, and for each network that was run a dict ``connections, samples, lava_steps, startup_s,
    run_s``.
    """

    trace: Trace
    timings: list[dict[str, Any]] = field(default_factory=list)


def write_json(path: Path, value: object) -> None:
    """Write whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def write_task(folder: Path, task: Task) -> None:
    """Main side: one task into its folder."""
    folder.mkdir()
    save(task.program, folder / "program.npz")
    record = task.record if isinstance(task.record, str) else list(task.record)
    how = json.dumps({"record": record, "connections": task.connections, "arithmetic": task.arithmetic})
    np.savez(folder / "request.npz", input_spikes=np.asarray(task.inputs), how=np.array(how))


def read_task(folder: Path) -> Task:
    """Worker: one task from its folder."""
    with np.load(folder / "request.npz", allow_pickle=False) as request:
        inputs, how = request["input_spikes"], json.loads(str(request["how"]))
    return Task(load(folder / "program.npz"), inputs, how["record"], how["connections"], how["arithmetic"])


def write_result(folder: Path, result: TaskResult) -> None:
    """Worker: trace first, then the file that says that it is complete."""
    np.savez(folder / "trace.npz", **result.trace.arrays())  # type: ignore[arg-type]
    write_json(folder / "result.json", {"engine": result.trace.engine, "timings": result.timings})


def read_result(folder: Path) -> TaskResult:
    """Main side: trace and timings of a finished task."""
    head = json.loads((folder / "result.json").read_text())
    with np.load(folder / "trace.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    output = arrays.pop("output")
    spikes = {name.removeprefix("spikes/"): arrays.pop(name) for name in list(arrays) if name.startswith("spikes/")}
    return TaskResult(Trace(head["engine"], output, spikes, arrays), head["timings"])
