"""Export for Lava: the folder that a host with Python 3.10 and Lava needs to run a Program, or to build on it.

::

    program.npz             the Program
    hypr_hardware-*.whl     the package ``hardware``: pip install --no-deps
    requirements.txt        pinned packages for Python 3.10: pip install --no-deps -r
    run_on_lava.py          python run_on_lava.py INPUTS.npz OUT.npz --record u,v
    example_monitors.py     a Lava program of one's own: RingBuffer, sinks, Monitors, resets
    example_steps.py        two networks in one Lava program, step by step
"""

from __future__ import annotations

import os
from pathlib import Path

from export.bundle.wheel import WHEEL, write_wheel
from export.errors import ExportError
from hardware.lava.assignment import assign
from hardware.lava.paths import REQUIREMENTS
from hardware.program import Program
from hardware.program_file import content_hash, save

PROGRAM = "program.npz"
LAUNCHER = "run_on_lava.py"
EXAMPLES = ("monitors", "steps")

_EXAMPLES = REQUIREMENTS.parent / "examples"

_SCRIPT = '''\
"""Run the network beside this file on Lava: python {launcher} INPUTS.npz OUT.npz [--record u,v] [--help]

Needs Python 3.10 with the packages of requirements.txt and the wheel beside this file:
pip install --no-deps -r requirements.txt {wheel}
For a Lava program of your own see example_monitors.py and example_steps.py.
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
        fix = f"pip install --no-deps {{HERE / '{wheel}'}}"
        print(f"error: no module '{{missing.name}}' in {{sys.executable}}; {{fix}}", file=sys.stderr)
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
        for name, text in texts(program).items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / LAUNCHER).chmod(0o755)
        write_wheel(folder)
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or error}; choose another path") from None
    return folder


def texts(program: Program) -> dict[str, str]:
    """Name -> text of every file of the folder that is one."""
    examples = {f"example_{name}.py": (_EXAMPLES / f"{name}.py").read_text(encoding="utf-8") for name in EXAMPLES}
    return {LAUNCHER: launcher(program), **examples, REQUIREMENTS.name: REQUIREMENTS.read_text(encoding="utf-8")}


def launcher(program: Program) -> str:
    """Text of the launcher script for a program."""
    processes = {item.population: str(item).partition(": ")[2] for item in assign(program)}
    populations = "; ".join(
        f"{item.name} ({item.size} {item.model}) on {processes[item.name]}" for item in program.populations
    )
    inputs = ", ".join(
        f"{item.name} ({item.size} channels, integers {item.low} to {item.high})" for item in program.inputs
    )
    return _SCRIPT.format(
        launcher=LAUNCHER,
        wheel=WHEEL,
        program=PROGRAM,
        populations=populations,
        inputs=inputs,
        digest=content_hash(program),
    )
