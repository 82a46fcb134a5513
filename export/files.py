"""Writing files so that a reader never sees half of one, reading what nobody vouches for, and the version that files
name."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.errors import ExportError
from hardware.aside import write_whole

MOST_JSON_BYTES = 2**26

MOST_UNPACKED, MOST_GROWTH = 2**28, 200
"""A packed file may unpack to so many bytes, or to so many times its own size, whichever is more: a small file that
claims much more is damaged or hostile. Spike trains, the emptiest real data, pack 40 to 100 times."""


def check_unpacked(where: str, packed: int, unpacked: int) -> None:
    """Refuse a packed file before anything is allocated for what it claims to hold.

    Args:
        where: begins the message. packed, unpacked: bytes on disk and in memory.

    Raises:
        ExportError: it claims more than :data:`MOST_UNPACKED` and :data:`MOST_GROWTH` allow.
    """
    limit = max(MOST_UNPACKED, MOST_GROWTH * packed)
    if unpacked > limit:
        raise ExportError(
            f"{where}: {packed:,} bytes claim to unpack to {unpacked:,}, the limit is {limit:,}; the file is "
            "damaged, or save it without compression"
        )


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of a file that nobody vouches for, a pipe too.

    Raises:
        OSError: it cannot be read, or holds more than ``most`` bytes, of which none is read then.
    """
    with Path(path).open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes, which no such file has", str(path))
    return content


def parse_json(text: str | bytes, where: str, fix: str) -> Any:
    """A JSON value from somewhere else.

    Args:
        text: UTF-8 where it is bytes. where: begins the message. fix: ends it.

    Raises:
        ExportError: too long, not JSON, nested too deep, or a number of thousands of digits.
    """
    if len(text) > MOST_JSON_BYTES:
        raise ExportError(f"{where}: {len(text):,} bytes of JSON, the limit is {MOST_JSON_BYTES:,}; {fix}")
    try:
        return json.loads(text)
    except RecursionError:
        raise ExportError(f"{where}: damaged, JSON nested too deep; {fix}") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of more digits than Python reads
        reason = " ".join(str(error).split())[:100]
        raise ExportError(f"{where}: damaged, not readable as JSON ({reason}); {fix}") from None


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ExportError: as :func:`parse_json`; missing, or no object.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MOST_JSON_BYTES else b" " * (MOST_JSON_BYTES + 1)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); {fix}") from None
    found = parse_json(content, str(path), fix)
    if not isinstance(found, dict):
        raise ExportError(f"{path}: must hold a JSON object, got a {type(found).__name__}; {fix}")
    return found


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place.

    Raises:
        ExportError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        write_whole(target, write)
    except OSError as error:
        fix = "" if target.parent.is_dir() else "; create the folder or choose another path"
        raise ExportError(f"cannot write {target}: {error.strerror or error}{fix}") from None


def own_version() -> str:
    """Version of the installed package; ``source tree`` where it runs without being installed."""
    try:
        return importlib.metadata.version("hypr")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"
