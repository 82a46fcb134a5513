"""Export for Lava: the folder that a Loihi-style host with only ``hardware/`` installed needs to run a Program.

::

    program.npz        the Program
    run_on_lava.py     python run_on_lava.py INPUTS.npz OUT.npz --record u,v
    requirements.txt   pinned packages for Python 3.10 (install with --no-deps)
"""

from __future__ import annotations

import os
from pathlib import Path

from export.errors import ExportError
from hardware.lava.paths import REQUIREMENTS
from hardware.program import Program
from hardware.program_file import content_hash, save

PROGRAM = "program.npz"
LAUNCHER = "run_on_lava.py"

_SCRIPT = '''\
"""Run the network beside this file on Lava: python {launcher} INPUTS.npz OUT.npz [--record u,v] [--help]

Needs Python 3.10 with the packages of requirements.txt (pip install --no-deps -r requirements.txt) and the folder
'hardware' of the project on the path.
Populations: {populations}.
Inputs: {inputs}.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM_SHA256 = "{digest}"

if __name__ == "__main__":  # Lava starts processes: the guard is needed
    try:
        from hardware.lava.launcher import main
    except ModuleNotFoundError as missing:
        print(f"error: no module '{{missing.name}}'; put the folder 'hardware' on PYTHONPATH", file=sys.stderr)
        sys.exit(3)
    sys.exit(main(HERE / "{program}", PROGRAM_SHA256, sys.argv[1:]))
'''


def write(program: Program, folder: str | os.PathLike[str]) -> Path:
    """Write the folder; returns its path.

    Args:
        program: what to run.
        folder: created if it is not there; files of the same names are replaced.

    Raises:
        ExportError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
        save(program, folder / PROGRAM)
        (folder / LAUNCHER).write_text(launcher(program), encoding="utf-8")
        (folder / LAUNCHER).chmod(0o755)
        (folder / REQUIREMENTS.name).write_text(REQUIREMENTS.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or error}; choose another path") from None
    return folder


def launcher(program: Program) -> str:
    """Text of the launcher script for a program."""
    populations = ", ".join(f"{item.name} ({item.model}, {item.size})" for item in program.populations)
    inputs = ", ".join(
        f"{item.name} ({item.size} channels, integers {item.low} to {item.high})" for item in program.inputs
    )
    return _SCRIPT.format(
        launcher=LAUNCHER, program=PROGRAM, populations=populations, inputs=inputs, digest=content_hash(program)
    )
