"""Writing files so that a reader never sees half of one, and the version that they name."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from export.errors import ExportError


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place.

    Raises:
        ExportError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise ExportError(
            f"cannot write {target}: {error.strerror or error}; create the folder or choose another path"
        ) from None
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        part.chmod(0o644)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def own_version() -> str:
    """Version of the installed package; ``source tree`` where it runs without being installed."""
    try:
        return importlib.metadata.version("hypr")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"
