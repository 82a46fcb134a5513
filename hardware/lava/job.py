"""The folder through which the main side and the worker talk.

::

    owner.json             the process that the folder belongs to, see :mod:`hardware.lava.job_folder`
    segments.json          shared memory of the worker
    tmp                    TMPDIR of the worker
    job.json               {"tasks": n, "timeout_s": s or null}
    package/hardware       link to this package, so that the worker sees it and nothing else of the main environment
    task0/program.npz      Program
    task0/request.npz      inputs, and how to run as a JSON text
    task0/trace.npz        arrays of the Trace, written by the worker
    task0/result.json      engine name and timings, written by the worker after the trace
    progress.jsonl         one line {"task": i, "step": s, "of": n, "starting": 0 or 1} per report
    done                   written when every task has its result
    error.json             {"type", "message", "traceback", "task"} if the worker gave up
    output.txt             what the worker and its processes printed
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hardware.inputs import Inputs, named_inputs
from hardware.lava.request import LavaError
from hardware.program import Program
from hardware.program_file import load, save
from hardware.trace import NetworkState, Trace

JOB, PROGRESS, DONE, ERROR, OUTPUT = "job.json", "progress.jsonl", "done", "error.json", "output.txt"

STAY = "--stay"
"""What a worker is given instead of a folder, so that it takes folders from its standard input."""

NO_SPACE = 28
"""Exit code of a worker that could write neither its result nor the reason: the disk is full."""


@dataclass(frozen=True)
class Task:
    """One Program to run on one batch.

    Attributes:
        program: what to run.
        inputs: integers (T, B, N_in), by name where the program has several inputs.
        record: states to keep: names, ``name/layer`` or ``"all"``.
        connections: ``auto``, ``dense``, ``batched`` or a number; see :func:`hardware.lava.runtime.run`.
        arithmetic: ``fixed_pt`` or ``floating_pt``.
        initial_state: what the samples start from; the program's initial states if None.
    """

    program: Program
    inputs: Inputs
    record: str | Iterable[str] = ()
    connections: str | int = "auto"
    arithmetic: str = "fixed_pt"
    initial_state: NetworkState | None = None

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
    inputs = {f"input/{name}": array for name, array in named_inputs(task.program, task.inputs).items()}
    arrays = {**inputs, **_state_arrays("initial", task.initial_state)}
    np.savez(folder / "request.npz", how=np.array(how), **arrays)  # type: ignore[arg-type]


def read_task(folder: Path) -> Task:
    """Worker: one task from its folder."""
    with np.load(folder / "request.npz", allow_pickle=False) as request:
        arrays = {name: request[name] for name in request.files}
    how, state = json.loads(str(arrays.pop("how"))), _taken_state("initial", arrays)
    inputs = {name.removeprefix("input/"): array for name, array in arrays.items()}
    return Task(load(folder / "program.npz"), inputs, how["record"], how["connections"], how["arithmetic"], state)


def write_result(folder: Path, result: TaskResult) -> None:
    """Worker: trace first, then the file that says that it is complete."""
    arrays = {**result.trace.arrays(), **_state_arrays("final", result.trace.final_state)}
    np.savez(folder / "trace.npz", **arrays)  # type: ignore[arg-type]
    write_json(folder / "result.json", {"engine": result.trace.engine, "timings": result.timings})


def read_result(folder: Path) -> TaskResult:
    """Main side: trace and timings of a finished task."""
    try:
        head = json.loads((folder / "result.json").read_text())
        with np.load(folder / "trace.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        final = _taken_state("final", arrays)
        output = arrays.pop("output")
        spikes = {name.removeprefix("spikes/"): arrays.pop(name) for name in list(arrays) if name.startswith("spikes/")}
        return TaskResult(Trace(str(head["engine"]), output, spikes, arrays, final), list(head["timings"]))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise LavaError(f"{folder / 'trace.npz'}: what the Lava worker wrote is damaged ({reason})") from None


_PARTS = ("states", "spikes", "history")


def _state_arrays(prefix: str, state: NetworkState | None) -> dict[str, np.ndarray]:
    """``PREFIX:part:key`` -> array; no name of a Program has a colon."""
    if state is None:
        return {}
    return {
        f"{prefix}:{part}:{key}": np.asarray(value) for part in _PARTS for key, value in getattr(state, part).items()
    }


def _taken_state(prefix: str, arrays: dict[str, np.ndarray]) -> NetworkState | None:
    """The state among the arrays, removed from them; None where there is none."""
    found: dict[str, dict[str, np.ndarray]] = {part: {} for part in _PARTS}
    taken = [name for name in arrays if name.startswith(f"{prefix}:")]
    for name in taken:
        _, part, key = name.split(":")
        found[part][key] = arrays.pop(name)
    return NetworkState(**found) if taken else None
