"""What the fault tests share: a bundle, commands that are started and disturbed, and a look at what they left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.lava import paths
from hardware.program_file import save
from tests.end_to_end.lava_scripts import brf_network
from tests.end_to_end.lava_support import ROOT, wait_until

SHORT_S = 15.0
"""Within so many seconds a command ends that has nothing to wait for."""


@dataclass(frozen=True)
class Place:
    """A folder of its own for one test: program, inputs, and where temporary files go."""

    folder: Path
    tmp: Path

    def environment(self, **more: str) -> dict[str, str]:
        cleaned = {k: v for k, v in os.environ.items() if k != "HYPR_HOME"}
        home = str(paths.default_folder().parent)
        return {
            **cleaned,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.tmp),
            "HYPR_HOME": home,
            **more,
        }

    def left(self) -> list[str]:
        """What lies among the temporary files, but for compiled kernels, which are kept there for the next process."""
        found = [path.relative_to(self.tmp) for path in self.tmp.rglob("*")]
        return sorted(str(path) for path in found if not path.parts[0].startswith("hypr-kernels-"))


def make_place(folder: Path, steps: int, samples: int = 8) -> Place:
    """A bundle's files that matter here: program, inputs, launcher."""
    from export.bundle.lava import write

    program, inputs = brf_network(T=steps, B=samples)
    save(program, folder / "program.npz")
    np.savez(folder / "inputs.npz", input_spikes=inputs)
    write(program, folder / "lava")
    return Place(folder, Path(tempfile.mkdtemp(prefix="f-", dir="/tmp")))  # short: sockets lie there


def main_side(place: Place, *more: str) -> list[str]:
    """A command of the main side: ``hypr``'s own handling of errors around a run on Lava."""
    return [sys.executable, "-m", "tests.end_to_end.lava_fault_scripts", "run", str(place.folder), *more]


def launcher(place: Place, *more: str) -> list[str]:
    """The exported script in the runtime's interpreter."""
    script = str(place.folder / "lava" / "run_on_lava.py")
    out = str(place.folder / "out.npz")
    return [str(paths.python_path()), script, str(place.folder / "inputs.npz"), out, "--connections", "dense", *more]


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    stderr: str
    seconds: float
    processes: set[int]
    segments: set[Path]

    def assert_clean(self, code: int, words: Sequence[str], within_s: float = SHORT_S) -> None:
        """One line on standard error, that exit code, in time, and nothing left of what it had started."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, self.stderr
        for word in words:
            assert word in lines[0], (word, lines[0])
        assert self.code == code, (self.code, lines[0])
        assert self.seconds < within_s, self.seconds
        gone = lambda: not [pid for pid in self.processes if alive(pid)]  # noqa: E731
        assert wait_until(gone, 10.0), [command_of(pid) for pid in self.processes if alive(pid)]
        # Another test's short run may have had some of them.
        assert wait_until(lambda: not [s for s in self.segments if s.exists()], 10.0), self.segments


def run_to_end(command: Sequence[str], place: Place, within_s: float = 60.0, **environment: str) -> Outcome:
    """Run a command that fails on its own."""
    before, started = segments(), time.monotonic()
    done = subprocess.run(
        command, env=place.environment(**environment), cwd=ROOT, capture_output=True, text=True, timeout=within_s
    )
    return Outcome(done.returncode, done.stderr, time.monotonic() - started, set(), segments() - before)


def disturb(
    command: Sequence[str], place: Place, action: Callable[[int], None], within_s: float = 60.0, **environment: str
) -> Outcome:
    """Start a command, wait until Lava runs its steps or is about to, act on it, wait for its end."""
    main = subprocess.Popen(
        command,
        env=place.environment(**environment),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert wait_until(lambda: main.poll() is not None or running(main.pid), 60.0)
        assert main.poll() is None, main.stderr.read() if main.stderr else ""
        members = descendants(main.pid)
        held = {segment for pid in members for segment in mapped(pid)}
        assert held  # otherwise nothing would be shown below
        started = time.monotonic()
        action(main.pid)
        _, stderr = main.communicate(timeout=within_s)
        return Outcome(main.returncode, stderr, time.monotonic() - started, {main.pid, *members}, held)
    finally:
        if main.poll() is None:
            main.kill()
        main.communicate()


def running(main: int) -> bool:
    """Whether at least four processes below have shared memory: Lava's runtime and the Processes."""
    return sum(bool(mapped(pid)) for pid in descendants(main)) >= 4


def descendants(parent: int) -> set[int]:
    """All processes below."""
    found: set[int] = set()
    waiting = [parent]
    while waiting:
        pid = waiting.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        waiting += [int(child) for child in children]
        found |= {int(child) for child in children}
    return found


def mapped(pid: int) -> set[Path]:
    try:
        text = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    return {Path(word) for line in text.splitlines() for word in line.split() if word.startswith("/dev/shm/psm_")}


def segments() -> set[Path]:
    return set(Path("/dev/shm").glob("psm_*"))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "gone"


def worker_below(main: int) -> int:
    """The process of this tree that runs ``hardware.lava.worker`` and leads its group."""
    return next(
        pid for pid in descendants(main) if "hardware.lava.worker" in command_of(pid) and os.getpgid(pid) == pid
    )


def actor_below(main: int) -> int:
    """A process that Lava forked and that has shared memory."""
    lava = {pid for pid in descendants(main) if mapped(pid)}
    return max(pid for pid in lava if not descendants(pid))


def send(number: int) -> Callable[[int], None]:
    """To the main process."""
    return lambda main: os.kill(main, number)


def send_worker(number: int) -> Callable[[int], None]:
    return lambda main: os.kill(worker_below(main), number)


def send_actor(number: int) -> Callable[[int], None]:
    return lambda main: os.kill(actor_below(main), number)


def send_group(number: int) -> Callable[[int], None]:
    """To everybody of the worker's group."""

    def act(main: int) -> None:
        time.sleep(1.0)  # until the main side has seen the shared memory, which nobody of the group removes now
        os.killpg(worker_below(main), number)

    return act


def send_terminal(number: int) -> Callable[[int], None]:
    """To the main process's group, as a terminal does."""
    return lambda main: os.killpg(main, number)


TERM, HUP, INT, KILL, STOP = signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSTOP
