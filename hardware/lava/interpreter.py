"""Find a Python 3.10 interpreter: the only one that the Lava release imports on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware.errors import RuntimeMissing

WANTED = (3, 10)
_PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2]); print(sys.executable)"
_HOW = "install one ('pyenv install 3.10' or 'uv python install 3.10'), or set HYPR_LAVA_PYTHON to its path"


def find_interpreter(progress: Callable[[str], None] | None = None) -> Path:
    """Path of a Python 3.10 that runs and can make virtual environments.

    Looks at ``HYPR_LAVA_PYTHON``, every ``python3.10`` on the PATH, pyenv's versions folder, and uv (which may
    download one).

    Raises:
        RuntimeMissing: none was found; the message says how to get one.
    """
    named = os.environ.get("HYPR_LAVA_PYTHON")
    if named:
        found = probe(named)
        if found is None:
            raise RuntimeMissing(f"HYPR_LAVA_PYTHON is '{named}', which is no working Python 3.10 with venv; {_HOW}")
        return found
    for candidates in (_on_path, _in_pyenv, _from_uv):
        for candidate in candidates(progress):
            found = probe(candidate)
            if found is not None:
                return found
    raise RuntimeMissing(f"no working Python 3.10 with venv was found on the PATH, in pyenv or through uv; {_HOW}")


def probe(candidate: str | os.PathLike[str]) -> Path | None:
    """The real path of the interpreter behind ``candidate`` if it is a Python 3.10 that runs; a pyenv shim may exist
    and still fail.
    """
    try:
        # Without PYTHONHOME and the like of the calling interpreter, which would break another one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [os.fspath(candidate), "-c", _PROBE], capture_output=True, text=True, timeout=30, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != 2 or lines[0] != f"{WANTED[0]} {WANTED[1]}":
        return None
    return Path(lines[1])


def _on_path(_: Callable[[str], None] | None) -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("python3.10", path=folder)
        if found:
            yield found


def _in_pyenv(_: Callable[[str], None] | None) -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    versions = [p for p in (root / "versions").glob("3.10*") if p.name.replace(".", "").isdigit()]
    for version in sorted(versions, key=lambda p: [int(part) for part in p.name.split(".")], reverse=True):
        yield version / "bin" / "python3.10"


def _from_uv(progress: Callable[[str], None] | None) -> Iterator[str]:
    uv = shutil.which("uv")
    if uv is None:
        return
    yield from _uv_find(uv)
    if progress is not None:
        progress("uv: getting Python 3.10")
    subprocess.run([uv, "python", "install", "3.10"], capture_output=True)
    yield from _uv_find(uv)


def _uv_find(uv: str) -> Iterator[str]:
    done = subprocess.run([uv, "python", "find", "3.10"], capture_output=True, text=True)
    if done.returncode == 0 and done.stdout.strip():
        yield done.stdout.strip()
