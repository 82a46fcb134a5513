"""What is not whole yet has another name, which says whose it is: a file or folder in the making lies beside its target
as ``.NAME.OWNER.xxxxxxxx.part``, a working folder among temporary files as ``hypr-work-OWNER.xxxxxxxx``.

``OWNER`` is machine (and space of process numbers), process and its start. Whoever writes to the same place next, or
needs a working folder, first removes what owners left that are gone: nothing stays of a process that was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware.lava.endings import held, started_at

PART = ".part"
WORK = "hypr-work-"
"""Names of working folders begin with it."""

_OWNER = r"([0-9a-f]{8})-([0-9]+)-([0-9a-f]{8})\.[0-9a-f]{8}"


def write_whole(target: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write an empty file beside ``target``, flush it to the disk, and put it in place; or leave nothing.

    Raises:
        OSError: no place to write. What ``fill`` raises.
    """
    sweep(target)
    part = name_beside(target)
    try:
        part.touch(mode=0o600, exist_ok=False)
        fill(part)
        part.chmod(0o644)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def name_beside(target: Path, suffix: str = PART) -> Path:
    """A free name in the folder of ``target``, of this process."""
    return target.with_name(f".{target.name}.{_owned()}{suffix}")


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A new folder among temporary files that is gone afterwards, after a sweep.

    Raises:
        OSError: temporary files cannot be written.
    """
    base = Path(tempfile.gettempdir())
    sweep_named(base, WORK)
    folder = working_name(base)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there; a signal that can be caught waits for it."""
    with held():
        shutil.rmtree(folder, ignore_errors=True)


def working_name(base: Path) -> Path:
    """A free name for a working folder, of this process."""
    return base / owned_name(WORK)


def leftovers(target: Path, suffix: str = PART) -> list[Path]:
    """What owners that are gone left beside ``target``."""
    return _abandoned(target.parent, re.escape(f".{target.name}."), re.escape(suffix))


def sweep(target: Path) -> None:
    """Remove what owners that are gone left beside ``target``."""
    _remove(leftovers(target))


def sweep_folder(folder: Path) -> None:
    """Remove what owners that are gone left in ``folder``, whatever its target."""
    _remove(_abandoned(folder, r"\..+\.", re.escape(PART)))


def owned_name(begin: str) -> str:
    """A free name for something else of this process, such as a semaphore; :func:`sweep_named` knows it."""
    return begin + _owned()


def sweep_named(folder: Path, begin: str) -> None:
    """Remove what is named so in ``folder`` and whose owners are gone."""
    _remove(_abandoned(folder, re.escape(begin), ""))


def machine() -> str:
    """Machine and space of process numbers: containers may share their files, and do not see each other's processes."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}"


def _owned() -> str:
    return f"{_short(machine())}-{os.getpid()}-{_short(started_at(os.getpid()))}.{secrets.token_hex(4)}"


def _short(what: str | None) -> str:
    return hashlib.sha256(str(what).encode()).hexdigest()[:8]


def _abandoned(folder: Path, begin: str, end: str) -> list[Path]:
    pattern, here = re.compile(begin + _OWNER + end), _short(machine())
    try:
        names = [(entry.name, pattern.fullmatch(entry.name)) for entry in os.scandir(folder)]
    except OSError:
        return []
    ours = [(folder / name, found) for name, found in names if found and found[1] == here]
    return [path for path, found in ours if not _lives(int(found[2]), found[3])]


def _lives(process: int, start: str) -> bool:
    if Path("/proc/self/stat").exists():
        now = started_at(process)
        return now is not None and _short(now) == start
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
