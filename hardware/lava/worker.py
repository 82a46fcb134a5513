"""The process that runs Lava: ``python -m hardware.lava.worker JOBDIR`` inside the Python 3.10 runtime.

It is started by :mod:`hardware.lava.runtime` as the leader of a process group of its own and reads and writes the
folder that :mod:`hardware.lava.job` describes. Exit code 0: every task has a result; 1: ``error.json`` says why not.
With ``--stay`` in the place of the folder it takes folders, a line each, from its standard input until that ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from hardware.lava import job
from hardware.lava.endings import children_end_with_us
from hardware.lava.meanings import FULL, why
from hardware.lava.request import LavaError


def main(argument: str) -> int:
    """Run every task of the job, or of all jobs; see the module's description."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exception would be lost around a fork
    children_end_with_us()
    if argument != job.STAY:
        return _run_job(Path(argument))
    return next((code for line in sys.stdin if (code := _run_job(Path(line.rstrip("\n"))))), 0)


def _run_job(folder: Path) -> int:
    task = 0
    try:
        head = json.loads((folder / job.JOB).read_text())
        with (folder / job.PROGRESS).open("a") as stream:
            _report(stream, task, 0, 1, starting=True)
            from hardware.lava import local  # Lava is imported after the first sign of life

            for task in range(head["tasks"]):
                _run_task(local, folder / f"task{task}", task, head["timeout_s"], stream)
        (folder / job.DONE).touch()
    except Exception as error:
        inner = error.traceback if isinstance(error, LavaError) else ""
        text = inner or traceback.format_exc()
        message = why(error, folder) if isinstance(error, OSError) else str(error) or type(error).__name__
        report = {"type": type(error).__name__, "message": message, "traceback": text, "task": task}
        try:
            job.write_json(folder / job.ERROR, report)
        except OSError as second:
            return job.NO_SPACE if second.errno in FULL else 1
        return 1
    return 0


def _run_task(local, folder: Path, number: int, timeout_s: float | None, stream: TextIO) -> None:  # type: ignore[no-untyped-def]
    task = job.read_task(folder)
    trace, timings = local.run(
        task.program,
        task.inputs,
        task.record,
        connections=task.connections,
        arithmetic=task.arithmetic,
        initial_state=task.initial_state,
        stall_s=timeout_s,
        progress=_throttled(stream, number),
    )
    job.write_result(folder, job.TaskResult(trace, [asdict(t) for t in timings]))


_REPORT_EVERY_S = 0.1


def _throttled(stream: TextIO, task: int) -> Callable[[int, int], None]:
    """A progress callback that writes at most every 0.1 s, at the end, and where a network starts
    (the step does not move there).
    """
    last, before = 0.0, -1

    def report(step: int, total: int) -> None:
        nonlocal last, before
        starting, before = step == before or before < 0, step
        if starting or step == total or time.monotonic() - last > _REPORT_EVERY_S:
            last = time.monotonic()
            _report(stream, task, step, total, starting)

    return report


def _report(stream: TextIO, task: int, step: int, total: int, starting: bool) -> None:
    stream.write(json.dumps({"task": task, "step": step, "of": total, "starting": int(starting)}) + "\n")
    stream.flush()


def _end_with_parent() -> None:
    """If the main process dies without saying goodbye, end this whole group; SIGTERM spares the tracker that removes
    shared memory.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(os.getpgrp(), signal.SIGTERM)

    if os.getpgrp() == os.getpid():
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Lava leaves threads behind that can hold up a normal exit
