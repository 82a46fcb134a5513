"""Do the pinned versions resolve on a machine that has nothing but the ordinary package index?

    python -m tests.plain_index [3.11 3.12 ...]

For each interpreter that is found, one throw-away environment, ``pip install --dry-run`` with ``constraints.txt`` and
without what the machine's pip is told of local wheels; one line each, exit code 1 where one does not resolve. Nothing
is installed. An index that offers metadata beside its wheels costs some megabytes, another one 1.5 GB each.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
EXTRAS = "dev,notebook,docs"
TIME_LIMIT_S = 1200
_UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|SSLError|"
    r"Temporary failure in name resolution|Network is unreachable"
)
_LOCAL = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX", "PIP_PRE")
_RUNS = "import ensurepip, sys, venv; print(sys.version_info[0], sys.version_info[1], sep='.')"


@dataclass(frozen=True)
class Outcome:
    """What pip said for one interpreter.

    Attributes:
        resolved: whether every pin has a solution.
        reachable: False where the index could not be asked, so that nothing is known.
        text: one line for people.
    """

    resolved: bool
    reachable: bool
    text: str


def find_python(wanted: str) -> Path | None:
    """An interpreter of version ``wanted`` (such as 3.12) that really runs; a shim of that name does not count."""
    versions = Path.home() / ".pyenv" / "versions"
    managed = [str(path) for path in sorted(versions.glob(f"{wanted}*/bin/python3"))]
    candidates = [sys.executable, f"python{wanted}", "python3", *managed]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is None:
            continue
        done = subprocess.run([path, "-c", _RUNS], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == wanted:
            return Path(path)
    return None


def resolve(python: Path, local: bool = False) -> Outcome:
    """Ask pip for a solution in a throw-away environment of ``python``.

    Args:
        python: the interpreter.
        local: keep the settings of this machine's pip (local wheels, other indexes).
    """
    settings = dict(os.environ)
    if not local:
        settings = {key: value for key, value in settings.items() if key not in _LOCAL}
        settings["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory(prefix="plain-index-") as folder:
        subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "install", "--dry-run", "--retries", "1"]
        command = [*pip, "-c", "constraints.txt", "-e", f".[{EXTRAS}]"]
        try:
            done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            return Outcome(False, False, f"no answer in {TIME_LIMIT_S} s")
    return _outcome(done)


def _outcome(done: subprocess.CompletedProcess[str]) -> Outcome:
    if done.returncode == 0:
        would = re.search(r"^Would install (.*)$", done.stdout, re.MULTILINE)
        packages = would.group(1).split() if would else []
        heavy = [name for name in packages if name.startswith(("torch-", "triton-"))]
        return Outcome(True, True, f"resolves: {len(packages)} packages, {', '.join(heavy)}")
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    conflict = [line for line in lines if " depends on " in line or line.startswith("The user requested")]
    if not conflict and _UNREACHABLE.search(done.stdout + done.stderr):
        return Outcome(False, False, "the package index cannot be reached")
    errors = [line for line in lines if line.startswith("ERROR")]
    return Outcome(False, True, "does not resolve: " + "; ".join(conflict or errors or ["pip gives no reason"]))


def main() -> int:
    """One line per interpreter; 1 where one does not resolve or none was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="Python versions, such as 3.12")
    parser.add_argument("--local", action="store_true", help="keep the settings of this machine's pip")
    arguments = parser.parse_args()
    outcomes = []
    for wanted in arguments.versions:
        python = find_python(wanted)
        if python is None:
            print(f"Python {wanted}: not found here, left out", flush=True)
            continue
        outcomes.append(resolve(python, arguments.local))
        print(f"Python {wanted}: {outcomes[-1].text}", flush=True)
    return 0 if outcomes and all(outcome.resolved for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
