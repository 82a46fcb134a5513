"""The managed Lava runtime: a Python 3.10 virtual environment that holds lava-nc, NumPy 1.26 and what they import.

It lies in ``$HYPR_HOME`` or the user's cache folder, in a folder named after the hash of the pinned requirements, so
that every checkout of a user shares it and a change of pins makes a new one. A file that is written last marks it as
complete.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hardware.chain import InputFormat, Layer, Synapses
from hardware.errors import RuntimeMissing
from hardware.lava.interpreter import find_interpreter
from hardware.lava.job import Task
from hardware.lava.paths import INSTALL_COMMAND, REQUIREMENTS, STAMP, default_folder, import_problem, status
from hardware.lava.request import LavaError
from hardware.lava.runtime import run_many
from hardware.program import Program

Report = Callable[[str], None]


def install(target: Path | None = None, progress: Report | None = None) -> Path:
    """Make the runtime unless it is there and works; returns its interpreter. Two installations wait for
    each other.

    Args:
        target: folder; :func:`hardware.lava.paths.default_folder` if None.
        progress: called with one line per stage.

    Raises:
        RuntimeMissing: no Python 3.10, no network or a failing check; the message says which, and nothing half-made
            counts as installed.
    """
    if sys.platform == "win32":
        raise RuntimeMissing("Lava's CPU backend forks its processes and needs Linux or macOS; run it there or in WSL")
    folder = (target or default_folder()).absolute()
    report = progress or (lambda line: None)
    try:
        if not _works(folder, report):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f".{folder.name}.lock"), report):
                if not _works(folder, report):  # another process may have made it meanwhile
                    _make(folder, report)
    except OSError as error:
        raise RuntimeMissing(
            f"Lava runtime: cannot write {error.filename or folder} ({error.strerror or error}); set HYPR_HOME to "
            "another folder"
        ) from None
    report(f"Lava runtime: ready in {folder}")
    return folder / "bin" / "python"


def remove(target: Path | None = None) -> Path | None:
    """Remove the runtime; returns its folder, None where there was none.

    Raises:
        RuntimeMissing: it cannot be removed.
    """
    folder = (target or default_folder()).absolute()
    if not folder.exists():
        return None
    try:
        (folder / STAMP).unlink(missing_ok=True)  # first: what is half removed does not count
        shutil.rmtree(folder)
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise RuntimeMissing(
            f"Lava runtime: cannot remove {error.filename or folder} ({error.strerror or error}); remove it by hand"
        ) from None
    return folder


def _works(folder: Path, report: Report) -> bool:
    """Whether the runtime is there and can import Lava; says why it is made anew. A run that fails for another reason
    (a full disk, a busy machine) is no reason to remove it.
    """
    found = status(folder)
    if found.python is None:
        if found.problem.startswith("broken"):
            report(f"Lava runtime: {found.problem}; making it again")
        return False
    if problem := import_problem(found.python):
        report(f"Lava runtime: broken ({problem}); making it again")
        return False
    _check_run(found.python)
    return True


def _make(folder: Path, report: Report) -> None:
    """Virtual environment, packages, a short run, and last of all the stamp."""
    shutil.rmtree(folder, ignore_errors=True)
    base = find_interpreter(report)
    report(f"Lava runtime: making {folder} with {base}")
    _command([str(base), "-m", "venv", str(folder)], "making the virtual environment")
    python = folder / "bin" / "python"
    report(f"Lava runtime: installing {', '.join(REQUIREMENTS.read_text().split())}")
    # Without dependencies: lava-nc also asks for scikit-learn, which nothing that is used here imports.
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "--no-deps"]
    _command([*pip, "-r", str(REQUIREMENTS)], "installing packages")
    report("Lava runtime: checking it with a short run")
    _check_run(python)
    temporary = folder / f".{STAMP}"
    temporary.write_text(json.dumps({"versions": _pins(), "base": str(base)}))
    temporary.replace(folder / STAMP)


def _pins() -> dict[str, str]:
    return dict(line.split("==") for line in REQUIREMENTS.read_text().split())


@contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    import fcntl  # not on Windows, where install() has refused already

    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report("Lava runtime: another process is installing it, waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _command(arguments: list[str], what: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise RuntimeMissing(f"Lava runtime: {what} failed: {errors[-1]}; fix this and run '{INSTALL_COMMAND}' again")


def _check_run(python: Path) -> None:
    """Three steps of a leaky integrator with decay 1/2 through Lava's own Dense, against the values worked out by
    hand.
    """
    readout = Layer(
        name="readout",
        model="li",
        input=Synapses(np.array([[3]], dtype=np.int8), exponent=1),
        recurrent=None,
        bias=np.array([-1], dtype=np.int32),
        parameters={"A": np.array([2048], dtype=np.int32)},
        shifts={"K": 12},
    )
    inputs = np.array([1, 0, 1], dtype=np.int32).reshape(3, 1, 1)
    try:
        trace = run_many([Task(Program.chain((readout,), InputFormat(1)), inputs, connections="dense")], python=python)[
            0
        ].trace
    except LavaError as error:
        raise RuntimeMissing(
            f"Lava runtime: its check failed: {error}; if it fails again: 'hypr lava remove', then '{INSTALL_COMMAND}'"
        ) from error
    if trace.output.ravel().tolist() != [5, 1, 5]:
        raise RuntimeMissing(f"Lava runtime: its check gave {trace.output.ravel().tolist()}, expected [5, 1, 5]")
