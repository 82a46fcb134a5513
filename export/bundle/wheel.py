"""The package ``hardware`` as a wheel: what a Lava host with Python 3.10 installs, without the rest of the project."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import hardware
from hardware.lava.paths import REQUIREMENTS

NAME = "hypr-hardware"
VERSION = "0.1.0"
WHEEL = f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every entry: the same sources give the same bytes."""


def write_wheel(folder: str | os.PathLike[str]) -> Path:
    """Write the wheel into a folder; returns its path. OSError where it cannot be written."""
    files = {f"hardware/{name}": content for name, content in _sources().items()}
    info = f"{NAME.replace('-', '_')}-{VERSION}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: hypr\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = Path(folder) / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return path


def _sources() -> dict[str, bytes]:
    root = Path(hardware.__file__).parent
    kept = [path for path in sorted(root.rglob("*")) if path.suffix in (".py", ".md") or path.name == REQUIREMENTS.name]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in kept}


def _metadata() -> str:
    lava = [f'Requires-Dist: {line}; extra == "lava"' for line in REQUIREMENTS.read_text(encoding="utf-8").split()]
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {NAME}",
        f"Version: {VERSION}",
        "Summary: Integer spiking networks: the contract, its emulators, and Lava Processes.",
        "License: Apache-2.0",
        "Requires-Python: >=3.10",
        "Requires-Dist: numpy>=1.26",
        "Provides-Extra: lava",
        *lava,
        "",
    ]
    return "\n".join(lines)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
