"""Run Programs on Lava from any interpreter: a worker process in the managed Python 3.10 runtime does it, this module
starts and watches it.

Lava is not imported here. The worker gets a process group of its own and a time-out on progress, not on total time; on
any failure the whole group is killed and its shared memory removed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from hardware.errors import RuntimeMissing
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.lava import job
from hardware.lava.endings import ending_raises, quiet_tracker, raise_if_asked
from hardware.lava.job import Task, TaskResult
from hardware.lava.job_folder import TEMPORARY, job_folder, note_segments
from hardware.lava.meanings import MEANINGS, no_space, why
from hardware.lava.paths import INSTALL_COMMAND, python_path
from hardware.lava.process_group import end_group, mapped_segments
from hardware.lava.request import LavaError, check_arithmetic, dense_samples
from hardware.lava.stall import Stall
from hardware.lava.synapses import check_fits_dense
from hardware.program import Program
from hardware.start_steps import start_steps
from hardware.trace import NetworkState, Trace, recorded_states

Progress = Callable[[int, int, int], None]
"""Called with (task, finished Lava steps, total Lava steps of that task)."""

GRACE_S = 3.0
"""The worker itself gives up after the same time without a step and says why; this is how much longer it gets to say
so.
"""

_POLL_S = 0.02
_NOTE_EVERY_S = 1.0
_TAIL_CHARS = 4000


def run(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    *,
    connections: str | int = "auto",
    arithmetic: str = "fixed_pt",
    initial_state: NetworkState | None = None,
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Run a Program on Lava's CPU backend.

    Args:
        program: what to run.
        inputs: integers (T, B, N_in) within the Program's input ranges, by name where there are several inputs.
        record: states to keep: names (``"u"``: of every population that has it), ``"u/hidden0"``, or ``"all"``.
        connections: ``"dense"``: Lava's own Dense for all dense synapses, one sample after another (about 0.7 ms per
            step and sample); ``"batched"``: connection Processes for up to 64 samples at once; a number: that many of
            the first samples through Lava's own Dense and the rest batched; ``"auto"``: one dense, the rest batched.
            ``Trace.engine`` says what was used, for example ``lava[dense 18, batched 123]``.
        arithmetic: ``"fixed_pt"``, the integers of the contract, or ``"floating_pt"``, the same equations in real
            arithmetic.
        initial_state: ``final_state`` of the steps before; the program's initial states by default.
        timeout_s: seconds without a finished step after which the run is given up; None: 15, or 50 times the slowest
            step seen where that is more (:mod:`hardware.lava.stall`).
        progress: called with (task, finished steps, total steps).

    Raises:
        RuntimeMissing: the managed runtime is not installed.
        ProgramError, InputError: what Lava cannot run, or inputs that do not fit; before anything is started.
        LavaError: the run failed; everything it started is gone.
    """
    task = Task(program, inputs, record, connections, arithmetic, initial_state)
    return run_many([task], timeout_s=timeout_s, progress=progress)[0].trace


def run_many(
    tasks: Sequence[Task],
    *,
    timeout_s: float | None = None,
    progress: Progress | None = None,
    python: Path | None = None,
    finished: Callable[[int, Path], None] | None = None,
) -> list[TaskResult]:
    """Run several tasks in one worker; saves the start of an interpreter for each.

    Args:
        python: interpreter of the runtime; the managed one if None.
        finished: called with each task that is done and the folder of its result, while others still run.

    Raises:
        As :func:`run`.
    """
    for task in tasks:
        check_task(task)
    kept = None if python is not None else _KEPT.get()
    python = python or python_path()
    with ending_raises(), job_folder() as folder:
        try:
            _write_job(folder, tasks, timeout_s)
            stall, announced, segments = Stall(timeout_s, GRACE_S), _Announced(folder, finished), set[Path]()
            if kept is not None:
                kept.run(folder, stall, progress, segments, announced)
            else:
                worker = _start(python, folder)
                try:
                    _watch(worker, folder, stall, progress, segments, announced)
                finally:  # also when it is interrupted from the keyboard or by a signal
                    end_group(worker, segments)
            return [job.read_result(folder / f"task{index}") for index in range(len(tasks))]
        except OSError as error:
            raise LavaError(why(error, folder)) from None


@contextlib.contextmanager
def kept_worker() -> Iterator[None]:
    """One worker for all runs inside the ``with`` block: the start of an interpreter and the import of Lava are paid
    once. A run that fails ends the worker; the next one starts another.

    Raises:
        RuntimeMissing: the managed runtime is not installed.
    """
    if _KEPT.get() is not None:
        yield
        return
    with job_folder() as folder:
        kept = _Kept(python_path(), folder)
        token = _KEPT.set(kept)
        try:
            yield
        finally:
            _KEPT.reset(token)
            kept.end(set())


class _Kept:
    """A worker that is there from the first run on; its own folder holds what is not of one run."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python, self._folder = python, folder
        self._worker: subprocess.Popen[bytes] | None = None
        _link_package(folder)

    def run(
        self, folder: Path, stall: Stall, progress: Progress | None, segments: set[Path], announced: _Announced
    ) -> None:
        """One job, whose folder is written; the worker is ended where it fails."""
        (folder / job.OUTPUT).symlink_to(self._folder / job.OUTPUT)  # for messages
        try:
            if self._worker is None or self._worker.poll() is not None:
                self.end(set())
                self._worker = _start(self._python, self._folder, job.STAY)
            assert self._worker.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended meanwhile: the watch says why
                self._worker.stdin.write(f"{folder}\n".encode())
                self._worker.stdin.flush()
            _watch(self._worker, folder, stall, progress, segments, announced)
        except BaseException:
            self.end(segments)
            raise

    def end(self, segments: set[Path]) -> None:
        """End the worker and all that it started."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(OSError):
                assert worker.stdin is not None
                worker.stdin.close()
            end_group(worker, segments)


_KEPT: ContextVar[_Kept | None] = ContextVar("kept_worker", default=None)


def check_task(task: Task) -> None:
    """What the worker would refuse is refused here, as the caller's own error."""
    steps, samples, _ = next(iter(named_inputs(task.program, task.inputs).values())).shape
    check_arithmetic(task.arithmetic)
    recorded_states(task.program, task.record)
    check_state(task.program, task.initial_state, samples)
    start_steps(task.program)
    if dense_samples(task.program, steps, samples, task.connections) > 0:
        check_fits_dense(task.program)


def _write_job(folder: Path, tasks: Sequence[Task], timeout_s: float | None) -> None:
    _link_package(folder)
    for index, task in enumerate(tasks):
        job.write_task(folder / f"task{index}", task)
    job.write_json(folder / job.JOB, {"tasks": len(tasks), "timeout_s": timeout_s})


def _link_package(folder: Path) -> None:
    package = folder / "package"
    package.mkdir()
    (package / "hardware").symlink_to(Path(__file__).resolve().parent.parent, target_is_directory=True)


def _start(python: Path, folder: Path, what: str | None = None) -> subprocess.Popen[bytes]:
    """The worker for the job in ``folder``, or for those that its standard input names (``what`` is ``job.STAY``)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    # One thread per Lava process: there are more processes than cores already.
    environment.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": quiet_tracker()}
    environment["TMPDIR"] = str(folder / TEMPORARY)
    with (folder / job.OUTPUT).open("wb") as output:
        try:
            return subprocess.Popen(
                [str(python), "-s", "-m", "hardware.lava.worker", what or str(folder)],
                cwd=folder / "package",
                env=environment,
                stdin=subprocess.DEVNULL if what is None else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOMEM):
                raise LavaError(f"no Lava worker could be started ({error.strerror})") from None
            raise _broken(f"{python}: {error.strerror or error}") from None


def _watch(
    worker: subprocess.Popen[bytes],
    folder: Path,
    stall: Stall,
    progress: Progress | None,
    segments: set[Path],
    announced: _Announced,
) -> None:
    """Return when every task has its result, and the worker of one job has ended; raise when the worker fails, dies or
    stands still.

    Notes in ``segments``, for each network and about once a second, which shared memory the worker's processes hold.
    """
    read, noted, network = 0, 0.0, (-1, -1)
    while True:
        ended = worker.poll() is not None or (worker.stdin is not None and (folder / job.DONE).exists())
        text = _new_lines(folder / job.PROGRESS, read)
        if text:
            read += len(text)
            for line in text.splitlines():
                last = _report(line, folder)
                stall.starting() if last["starting"] else stall.moved(last["step"])
            if (last["task"], last["starting"]) != network or time.monotonic() - noted > _NOTE_EVERY_S:
                segments |= mapped_segments(worker.pid)
                note_segments(folder, segments)
                network, noted = (last["task"], last["starting"]), time.monotonic()
            if progress is not None:
                progress(last["task"], last["step"], last["of"])
        announced.look()
        raise_if_asked()
        if ended:
            break
        if stall.over():
            raise LavaError(
                f"the Lava worker stood still for {stall.limit_s:.3g} s ({_where(folder, read)}) and was ended; "
                f"--timeout (timeout_s) gives it longer{_printed(folder)}"
            )
        time.sleep(_POLL_S)
    if worker.returncode is not None and (worker.returncode != 0 or not (folder / job.DONE).exists()):
        raise _failure(worker.returncode, folder, read)


def _new_lines(path: Path, start: int) -> bytes:
    """Complete lines of the progress file from byte ``start`` on."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            text = stream.read()
    except FileNotFoundError:
        return b""
    return text[: text.rfind(b"\n") + 1]


class _Announced:
    """Tells once of each task that is done."""

    def __init__(self, folder: Path, finished: Callable[[int, Path], None] | None) -> None:
        self._folder, self._finished, self._next = folder, finished, 0

    def look(self) -> None:
        while self._finished is not None and (self._folder / f"task{self._next}" / "result.json").exists():
            self._finished(self._next, self._folder / f"task{self._next}")
            self._next += 1


def _report(line: bytes, folder: Path) -> dict[str, int]:
    """A line of the progress file; LavaError where it is none of ours."""
    try:
        last = json.loads(line)
        return {key: int(last[key]) for key in ("task", "step", "of", "starting")}
    except (ValueError, TypeError, KeyError, RecursionError):
        shown = line[:60].decode(errors="replace")
        raise LavaError(f"{folder / job.PROGRESS}: {shown!r} is no line of progress; the worker was ended") from None


def _where(folder: Path, read: int) -> str:
    lines = _new_lines(folder / job.PROGRESS, 0)[:read].splitlines()
    if not lines:
        return "it never started"
    try:
        last = _report(lines[-1], folder)
    except LavaError:
        return "nobody knows where"
    return f"task {last['task']}, step {last['step']} of {last['of']}"


def _failure(code: int, folder: Path, read: int) -> LavaError | RuntimeMissing:
    try:
        report = json.loads((folder / job.ERROR).read_text())
        message, trace = f"Lava worker, task {int(report['task'])}: {report['message']}", str(report["traceback"])
    except (OSError, ValueError, TypeError, KeyError):
        reason = MEANINGS.get(code, "")
        if read == 0 and (code >= 0 or code == -signal.SIGSEGV) and code != job.NO_SPACE:  # not even a sign of life
            return _broken(f"exit code {code}{_printed(folder)}")
        if code == job.NO_SPACE:
            reason = f": {no_space(folder)}"
        return LavaError(
            f"the Lava worker ended with exit code {code}{reason} ({_where(folder, read)}){_printed(folder)}"
        )
    if report.get("type") in ("ModuleNotFoundError", "ImportError"):
        return _broken(str(report["message"]))
    return LavaError(message, trace)


def _broken(what: str) -> RuntimeMissing:
    return RuntimeMissing(f"the Lava runtime is broken ({' '.join(what.split())}); run '{INSTALL_COMMAND}'")


def _printed(folder: Path) -> str:
    try:
        text = (folder / job.OUTPUT).read_text(errors="replace").strip()
    except OSError:
        return ""
    return f"; it printed last: {text[-_TAIL_CHARS:].splitlines()[-1]}" if text else ""
