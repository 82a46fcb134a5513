"""Where one command is disturbed: folders of its own for what it writes, and a mark by which every process that comes
of it is known."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardware.lava import paths
from tests.paths import ROOT

MARK = "HYPR_KILL_MARK"
CACHES = ("hypr-kernels-", "torchinductor_")
"""Machine code among temporary files, which is kept there for the next process."""


@dataclass(frozen=True)
class Ground:
    """Folders of one try: outputs, temporary files, user's cache with the Lava runtime, data sets, shared memory."""

    root: Path
    shm: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def parts(self) -> Path:
        """Where Lava's finished parts are kept."""
        return self.root / "home" / "lava-parts"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """In a session of its own, with the shared memory of this ground alone where mounting is allowed."""
        private = f'mount --bind {self.shm} /dev/shm && exec "$@"'
        before = ["unshare", "-m", "sh", "-c", private, "sh"] if may_mount() else []
        with (self.root / "stdout").open("w") as out, (self.root / "stderr").open("w") as error:
            return subprocess.Popen(
                [*before, *command], env=self._environment(), cwd=ROOT, stdout=out, stderr=error,
                stdin=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("HYPR_DATA", "PYTEST_CURRENT_TEST")}
        places = {"TMPDIR": self.tmp, "HYPR_HOME": self.root / "home", "HYPR_DATA": self.data, "PYTHONPATH": ROOT}
        more = {"OMP_NUM_THREADS": "1", MARK: self.root.name, "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
        return kept | {key: str(value) for key, value in places.items()} | more

    def stdout(self) -> str:
        return (self.root / "stdout").read_text()

    def stderr(self) -> str:
        return (self.root / "stderr").read_text()

    def processes(self) -> set[int]:
        """Living processes that were started for this ground, by whomever."""
        mark, found = f"{MARK}={self.root.name}".encode(), set()
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in Path(entry.path, "environ").read_bytes().split(b"\0") and _runs(entry.path):
                        found.add(int(entry.name))
        return found

    def listing(self) -> set[str]:
        """Everything among outputs and data, but for the content of folders in the making."""
        return {str(path.relative_to(self.root)) for place in (self.work, self.data) for path in place.rglob("*")}

    def unfinished(self) -> list[str]:
        """What lies about that is nobody's result: temporary files, shared memory, files in the making."""
        temporary = [path for path in self.tmp.iterdir() if not path.name.startswith(CACHES)]
        hidden = [path for place in (self.work, self.data, self.parts) for path in place.rglob(".*")]
        return sorted(str(path) for path in [*temporary, *self.shm.iterdir(), *hidden] if path.name != ".lock")


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """A new one, removed afterwards with every process that is left of it."""
    root = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))  # short: sockets lie below
    shm = Path(tempfile.mkdtemp(prefix="hypr-kills-", dir="/dev/shm"))
    made = Ground(root, shm)
    for place in (made.work, made.tmp, made.data, root / "home"):
        place.mkdir()
    runtime = paths.default_folder()
    (root / "home" / runtime.name).symlink_to(runtime)
    try:
        yield made
    finally:
        for pid in made.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        shutil.rmtree(shm, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


def hypr(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hypr", *map(str, arguments)]


def catches(pid: int, number: int) -> bool:
    """Whether a process handles a signal by now (an interpreter that only begins takes the ordinary ending)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
    return bool(caught >> (number - 1) & 1)


def wait_until(condition, seconds: float, every_s: float = 0.002) -> bool:
    """Poll until it holds; False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


@functools.cache
def may_mount() -> bool:
    """Whether commands can be given shared memory of their own."""
    return os.getuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def _runs(process: str) -> bool:
    return Path(process, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
