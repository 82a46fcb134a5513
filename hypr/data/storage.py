"""Where data files are, and how they are fetched and checked.

The root folder is ``HYPR_DATA`` if that is set, else ``hypr/data`` in the user's cache folder. Each data set has a
folder of its own in it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import os
import shutil
import threading
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hardware import aside
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
        members: how many files a folder must hold at least to be whole.
        unpacked_sha256: hash of the content of a gzip file, where copies in circulation differ in their packing.
    """

    path: str
    url: str = ""
    sha256: str = ""
    md5: str = ""
    archive: str = ""
    members: int = 0
    unpacked_sha256: str = ""


MOST_DOWNLOADED, MOST_UNPACKED = 2**32, 2**32
SLOW_S, SLOW_BYTES = 60.0, 60 * 1024
"""A download of fewer bytes in so many seconds is given up."""


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


def is_whole(folder: Path, file: RemoteFile) -> bool:
    """Whether a file is there, or a folder with all its files."""
    path = folder / file.path
    if not file.path.endswith("/"):
        return path.is_file()
    return path.is_dir() and sum(1 for _ in path.iterdir()) >= max(file.members, 1)


def unpacked(content: bytes, most: int) -> bytes:
    """What a gzip file holds.

    Raises:
        OSError, EOFError, zlib.error: damaged, cut short, or more than ``most`` bytes.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise OSError(f"unpacks to more than {most:,} bytes")
    return found


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
    """Write a whole file or none: temporary name in the same folder, fsync, rename.

    Raises:
        OSError: it cannot be written; names the file.
    """
    try:
        _write_atomically(path, content)
    except OSError as error:  # a full disk names nothing
        raise OSError(error.errno, error.strerror, str(path)) from None


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.write_whole(path, lambda part: part.write_bytes(content))


def download(folder: Path, file: RemoteFile, report: Report | None = None) -> None:
    """Fetch one file into ``folder``, checked and whole, or leave nothing behind.

    Raises:
        HyprError: without a public address, without network, with a wrong hash or a broken archive, without room.
    """
    try:
        _download(folder, file, report)
    except OSError as error:
        raise HyprError(
            f"{folder / file.path}: cannot be written ({error.strerror or error}); make room, or set "
            "HYPR_DATA to another folder"
        ) from None


def _download(folder: Path, file: RemoteFile, report: Report | None) -> None:
    target = folder / file.path
    if not file.url:
        raise HyprError(
            f"{target}: no public address serves this file; copy it there, or set HYPR_DATA to a folder that has it"
        )
    aside.sweep_folder(folder)  # of fetches that were killed
    content = _read_url(file.url, target, report)
    check_hash(target, content, file)
    if file.unpacked_sha256:
        _check_unpacked(content, file)
    if file.archive and file.path.endswith("/"):
        _unpack_folder(content, folder, file)
    elif file.archive:
        _unpack_file(content, folder, file)
    else:
        write_atomically(target, content)


def _read_url(url: str, target: Path, report: Report | None) -> bytes:
    answer, since, before = _Answer(url), time.monotonic(), 0
    while answer.coming():
        if report is not None and answer.count:
            report(target.name, answer.count, answer.total)
        if time.monotonic() - since > SLOW_S:
            if answer.count - before < SLOW_BYTES:
                raise HyprError(
                    f"cannot fetch {url} ({answer.count - before:,} bytes in {SLOW_S:g} s); try again later"
                )
            since, before = time.monotonic(), answer.count
    error, content, total = answer.error, answer.content, answer.total
    if error is not None:
        reason = getattr(error, "reason", None) or " ".join(str(error).split())[:100] or type(error).__name__
        raise HyprError(f"cannot fetch {url} ({reason}); without network, copy the file to {target}")
    if len(content) > MOST_DOWNLOADED:
        raise HyprError(f"cannot fetch {url} (more than {MOST_DOWNLOADED:,} bytes came)")
    if total and len(content) != total:
        raise HyprError(f"cannot fetch {url} ({len(content):,} of {total:,} bytes came); try again")
    if report is not None:
        report(target.name, len(content), total)
    return content


class _Answer:
    """What a server sends, read by a thread of its own: a server can hold up every read, that of the header too, by a
    byte now and then, and whoever waits here looks at the clock.

    Attributes:
        count: bytes so far. total: bytes that the server promised, 0 where it did not. content: all of it in the end.
        error: what went wrong, None where nothing did.
    """

    def __init__(self, url: str) -> None:
        self.count, self.total, self.content = 0, 0, b""
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read, args=(url,), daemon=True)
        self._thread.start()

    def coming(self) -> bool:
        """Whether more may come; waits a little."""
        self._thread.join(0.05)
        return self._thread.is_alive()

    def _read(self, url: str) -> None:
        chunks = io.BytesIO()
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                length = response.headers.get("Content-Length") or ""
                self.total = int(length) if length.isdecimal() and len(length) < 16 else 0
                while self.count <= MOST_DOWNLOADED and (chunk := response.read1(1 << 18)):
                    chunks.write(chunk)
                    self.count = chunks.tell()
            self.content = chunks.getvalue()
        except (OSError, http.client.HTTPException, ValueError) as error:  # no network, a cut connection, odd answers
            self.error = error


def _check_unpacked(content: bytes, file: RemoteFile) -> None:
    """Compare what a gzip file holds with its published hash: a web page in its place is no data."""
    try:
        found = hashlib.sha256(unpacked(content, MOST_UNPACKED)).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        raise HyprError(
            f"{file.url}: the answer is no whole gzip file ({error}); try again later, or copy {file.path} to its place"
        ) from None
    if found != file.unpacked_sha256:
        raise HyprError(f"{file.url}: its content has sha256 {found[:16]}..., expected {file.unpacked_sha256[:16]}...")


@contextlib.contextmanager
def _archive(content: bytes, folder: Path, file: RemoteFile) -> Iterator[zipfile.ZipFile]:
    """The zip archive; whatever is wrong with it or a member becomes one line, and nothing was written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise HyprError(
            f"{file.url}: not a whole zip archive ({' '.join(str(error).split())[:100]}); try again later, or copy "
            f"{file.path} to {folder}"
        ) from None


def _unpack_file(content: bytes, folder: Path, file: RemoteFile) -> None:
    with _archive(content, folder, file) as archive:
        for member in archive.infolist():
            if Path(member.filename).name == Path(file.path).name:
                write_atomically(folder / file.path, _member(archive, member, file))
                return
    raise HyprError(f"{file.url}: the archive holds no {file.path}; copy it to {folder}")


def _unpack_folder(content: bytes, folder: Path, file: RemoteFile) -> None:
    """Unpack aside, count, and only then put the folder in its place: a half one never has its name. Members are taken
    by their last name only: none can write elsewhere.
    """
    target = folder / file.path
    folder.mkdir(parents=True, exist_ok=True)
    part = aside.name_beside(target)
    try:
        part.mkdir(mode=0o700)
        with _archive(content, folder, file) as archive:
            for member in archive.infolist():
                if f"/{file.path}" in f"/{member.filename}" and not member.is_dir():
                    (part / Path(member.filename).name).write_bytes(_member(archive, member, file))
        count = sum(1 for _ in part.iterdir())
        if count < max(file.members, 1):
            raise HyprError(
                f"{file.url}: the archive holds {count:,} files of {file.path}, expected {max(file.members, 1):,}; "
                f"copy them to {folder}"
            )
        part.chmod(0o755)
        if target.exists():  # half a folder, of a version that unpacked in place
            shutil.rmtree(target)
        part.replace(target)
    finally:
        aside.remove(part)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: RemoteFile) -> bytes:
    if member.file_size > MOST_UNPACKED:
        raise HyprError(
            f"{file.url}: '{member.filename}' claims {member.file_size:,} bytes, more than {MOST_UNPACKED:,}"
        )
    return archive.read(member)
