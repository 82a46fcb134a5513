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
    path = Path(folder) / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _members().items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return path


def difference_of_wheel(path: Path) -> str | None:
    """How a wheel differs from the one written here, member by member (their compression is zlib's own affair); None
    where it does not.

    Raises:
        zipfile.BadZipFile: it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        items, ours = archive.infolist(), _members()
        packed = sum(30 + len(item.filename.encode()) + len(item.extra) + item.compress_size for item in items)
        if archive.comment or archive.start_dir != packed or any(item.extra or item.comment for item in items):
            return "it holds something besides its members"
        names = [item.filename for item in items]
        if len(set(names)) != len(names) or set(names) != set(ours):
            other = sorted(set(names) ^ set(ours)) or names
            return f"it has other members than the package that is here, among them {other[0]}"
        for item in items:
            if item.file_size != len(ours[item.filename]) or archive.read(item) != ours[item.filename]:
                return f"its {item.filename} is another than the one that is here"
    return None


def _members() -> dict[str, bytes]:
    """Name -> content of everything in the wheel."""
    files = {f"hardware/{name}": content for name, content in _sources().items()}
    info = f"{NAME.replace('-', '_')}-{VERSION}.dist-info"
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: hypr\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return files


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
