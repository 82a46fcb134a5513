"""Where data files are, and how they are fetched and checked.

The root folder is ``HYPR_DATA`` if that is set, else ``hypr/data`` in the user's cache folder. Each data set has a
folder of its own in it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypr.errors import HyprError

Report = Callable[[str, int, int], None]
"""Called as ``report(file name, bytes done, bytes in all or 0)`` during a download."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set.

    Attributes:
        path: place below the folder of the data set.
        url: where it comes from, or empty where no public address serves this very file.
        sha256, md5: expected hash of the file, whichever is published; empty where none is.
        archive: ``zip`` where the address serves an archive out of which ``path`` (a file, or a folder ending in
            ``/``) is taken; then the hashes are those of the archive.
    """

    path: str
    url: str = ""
    sha256: str = ""
    md5: str = ""
    archive: str = ""


def root() -> Path:
    """Folder that holds the data sets."""
    chosen = os.environ.get("HYPR_DATA")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "hypr" / "data"


def require(name: str, *files: str) -> list[Path]:
    """Paths of files of a data set.

    Raises:
        HyprError: where one of them is not there; the message says how to get it.
    """
    paths = [root() / name / file for file in files]
    for path in paths:
        if not path.exists():
            raise HyprError(
                f"data set '{name}': {path} does not exist; run 'hypr data fetch {name}', or set HYPR_DATA to the "
                f"folder that holds {name}/"
            )
    return paths


def check_hash(path: Path, content: bytes, file: RemoteFile) -> None:
    """Compare bytes with the published hash.

    Raises:
        HyprError: where they differ.
    """
    for kind, expected in (("sha256", file.sha256), ("md5", file.md5)):
        if expected:
            actual = hashlib.new(kind, content).hexdigest()
            if actual != expected:
                raise HyprError(
                    f"{path}: {kind} is {actual}, expected {expected}; the file is damaged or another one, delete it "
                    "and fetch it again"
                )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or none: temporary name in the same folder, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def download(folder: Path, file: RemoteFile, report: Report | None = None) -> None:
    """Fetch one file into ``folder``, checked and whole, or leave nothing behind.

    Raises:
        HyprError: without a public address, without network, with a wrong hash or a broken archive.
    """
    target = folder / file.path
    if not file.url:
        raise HyprError(
            f"{target}: no public address serves this file; copy it there, or set HYPR_DATA to a folder that has it"
        )
    content = _read_url(file.url, target, report)
    check_hash(target, content, file)
    if file.archive:
        _unpack(content, folder, file)
    else:
        write_atomically(target, content)


def _read_url(url: str, target: Path, report: Report | None) -> bytes:
    chunks = io.BytesIO()
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 18):
                chunks.write(chunk)
                if report is not None:
                    report(target.name, chunks.tell(), total)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise HyprError(f"cannot fetch {url} ({reason}); without network, copy the file to {target}") from None
    return chunks.getvalue()


def _unpack(content: bytes, folder: Path, file: RemoteFile) -> None:
    """Take the wanted members out of a zip archive, by their last name only: none can write elsewhere."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise HyprError(f"{file.url}: not a zip archive; try again later, or copy {file.path} to {folder}") from None
    with archive:
        wanted = 0
        for member in archive.namelist():
            if file.path.endswith("/"):
                take = f"/{file.path}" in f"/{member}" and not member.endswith("/")
                target = folder / file.path / Path(member).name
            else:
                take, target = Path(member).name == Path(file.path).name, folder / file.path
            if take:
                write_atomically(target, archive.read(member))
                wanted += 1
        if not wanted:
            raise HyprError(f"{file.url}: the archive holds no {file.path}; copy it to {folder}")
