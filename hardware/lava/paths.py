"""Where the Lava runtime lies, and what is known of it without starting it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hardware.errors import RuntimeMissing

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_COMMAND = "hypr lava install"
STAMP = "complete.json"
"""File in the runtime's folder, written last of all."""


@dataclass(frozen=True)
class RuntimeStatus:
    """What is known of the runtime without starting it.

    Attributes:
        installed: whether it is complete.
        folder: where it lies or would lie.
        python: its interpreter, or None.
        versions: package -> version, as checked at installation.
        problem: why it is not installed, or what is broken; empty where all is well.
    """

    installed: bool
    folder: Path
    python: Path | None
    versions: dict[str, str]
    problem: str = ""


def default_folder() -> Path:
    """``$HYPR_HOME`` or the platform's cache folder, and the hash of the requirements."""
    if os.environ.get("HYPR_HOME"):
        base = Path(os.environ["HYPR_HOME"]).expanduser()
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "hypr"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypr"
    return base.absolute() / f"lava-runtime-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"


def status(folder: Path | None = None) -> RuntimeStatus:
    """Whether the runtime is there and whole, in the given folder or in its usual one; looks at a few files."""
    folder = folder or default_folder()
    try:
        stamp = json.loads((folder / STAMP).read_text())
        versions = {str(k): str(v) for k, v in stamp["versions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        there = "broken: its installation was not finished" if folder.is_dir() else "not installed"
        return RuntimeStatus(False, folder, None, {}, there)
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):  # its base interpreter was removed
        return RuntimeStatus(False, folder, None, {}, f"broken: {python} is no program any more")
    for package, version in versions.items():
        if not _holds(folder, package, version):
            return RuntimeStatus(False, folder, None, {}, f"broken: {package} {version} is missing or not whole")
    return RuntimeStatus(True, folder, python, versions)


def import_problem(python: Path) -> str:
    """What hinders this interpreter from importing Lava, in one line; empty where nothing does. Takes a second."""
    script = "import numpy, scipy.stats, lava.magma.core.run_conditions, lava.proc.dense.process, lava.proc.lif.process"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    try:
        done = subprocess.run(
            [str(python), "-s", "-c", script],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return f"{python} does not answer"
    except OSError as error:
        return f"{python}: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
    return f"{python}: {' '.join(lines[-1].split())[:200]}"


def _holds(folder: Path, package: str, version: str) -> bool:
    """Whether a package of that version lies there with the files that it lists, as far as their folders tell."""
    name = package.replace("-", "_")
    for site in (folder / "lib").glob("python3*/site-packages"):
        try:
            listed = (site / f"{name}-{version}.dist-info" / "RECORD").read_text().splitlines()
        except (OSError, ValueError):
            continue
        files = [line.partition(",")[0] for line in listed if not line.startswith("..") and ".dist-info/" not in line]
        first = {file.partition("/")[0]: file for file in reversed(files) if file.endswith(".py")}
        return bool(first) and all((site / file).is_file() for file in first.values())
    return False


def python_path() -> Path:
    """Interpreter of the installed runtime.

    Raises:
        RuntimeMissing: it is not installed; the message is the line to type.
    """
    found = status()
    if not found.installed or found.python is None:
        kind = "not installed in" if found.problem == "not installed" else f"{found.problem} in"
        raise RuntimeMissing(f"the Lava runtime is {kind} {found.folder}; run '{INSTALL_COMMAND}'")
    return found.python
