"""What an export writes for Lava besides the program, by release: so that a bundle's scripts and wheel can be compared.

Files that are run or installed by others must be the very ones; a bundle that an unknown release wrote is told to be
exported again, never taken on trust.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from export.bundle import lava
from export.bundle.wheel import WHEEL, difference_of_wheel
from export.errors import ExportError
from hardware.program import Program
from hardware.program_file import content_hash

_SCRIPT_OF_01 = '''\
"""Run the network beside this file on Lava: python {launcher} INPUTS.npz OUT.npz [--record u,v] [--help]

Needs Python 3.10 with the packages of requirements.txt (pip install --no-deps -r requirements.txt) and the folder
'hardware' of the project on the path. Layers: {layers}. Inputs: {channels} channels, integers {low} to {high}.
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

_MAX_BYTES = 2**26


def difference(program: Program, name: str, path: Path) -> str | None:
    """How a file of the folder for Lava differs from what an export of `program` writes; None where it does not.

    Args:
        name: inside that folder. path: the file.

    Raises:
        ExportError: it is too large to be one.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ExportError(f"{path}: larger than {_MAX_BYTES} bytes; export the network again")
    if name == WHEEL:
        try:
            return difference_of_wheel(path)
        except (zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
            return f"it is a damaged wheel ({error})"
    texts = lava.texts(program)
    if name not in texts:
        return "no export writes such a file"
    known = [texts[name]]
    if name == lava.LAUNCHER and program.is_chain:
        known.append(launcher_of_version_01(program))
    if path.read_bytes() in [text.encode() for text in known]:
        return None
    return "it is another text than this version and version 0.1 write; export the network again"


def launcher_of_version_01(program: Program) -> str:
    """Text of the launcher script as version 0.1 wrote it for a chain."""
    return _SCRIPT_OF_01.format(
        launcher=lava.LAUNCHER,
        program=lava.PROGRAM,
        layers=", ".join(f"{layer.name} ({layer.model}, {layer.size})" for layer in program.layers),
        channels=program.input.size,
        low=program.input.low,
        high=program.input.high,
        digest=content_hash(program),
    )
