"""The one folder of a run: everything that main side, worker and Lava write lies in it, and what a killed run left is
swept by the next.

``owner.json`` says which process the folder belongs to (number and start) and ``segments.json`` which shared memory
its worker had mapped. Only a folder with such a file, of this user, whose process is gone is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hardware import aside
from hardware.lava.endings import held, started_at
from hardware.lava.request import LavaError

PREFIX = "hypr-lava-"
OWNER, SEGMENTS = "owner.json", "segments.json"
MOST_BYTES = 50
TEMPORARY = "tmp"
"""Folder inside for what the worker and Lava make (``TMPDIR``)."""

_SEGMENT = re.compile(r"/dev/shm/psm_[0-9A-Za-z_]+")


@contextlib.contextmanager
def job_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards, after a sweep.

    Raises:
        LavaError: temporary files cannot be written; names the folder.
    """
    sweep()
    base = Path(_base())
    folder, making = base / f"{PREFIX}{secrets.token_hex(4)}", aside.working_name(base)
    try:
        with held():
            making.mkdir(mode=0o700)
            (making / TEMPORARY).mkdir()
            owner = {"pid": os.getpid(), "started": started_at(os.getpid()), "where": aside.machine()}
            (making / OWNER).write_text(json.dumps(owner))
            making.rename(folder)  # it never has its name without its owner's
    except OSError as error:
        aside.remove(making)
        place = error.filename or os.environ.get("TMPDIR", "/tmp")
        raise LavaError(
            f"cannot write temporary files in {place} ({error.strerror or error}); set TMPDIR to a folder with room"
        ) from None
    except BaseException:  # a signal that had waited, or one that nobody makes wait
        aside.remove(making)
        _remove(folder)
        raise
    try:
        yield folder
    finally:
        _remove(folder)


def note_segments(folder: Path, segments: Iterable[Path]) -> None:
    """Write down the shared memory of the run, for the case that nobody is left to remove it."""
    with contextlib.suppress(OSError):
        (folder / SEGMENTS).write_text(json.dumps(sorted(map(str, segments))))


def sweep() -> list[Path]:
    """Remove what killed runs of this user left; returns their folders."""
    swept = []
    aside.sweep_named(Path(_base()), aside.WORK)
    try:
        found = [Path(entry.path) for entry in os.scandir(_base()) if entry.name.startswith(PREFIX)]
    except OSError:
        return []
    for folder in found:
        if folder.is_symlink() or not _abandoned(folder):
            continue
        for segment in _noted(folder):
            with contextlib.suppress(OSError):
                segment.unlink(missing_ok=True)
        _remove(folder)
        swept.append(folder)
    return swept


def _base() -> str:
    """Where temporary files go. Python's managers make sockets there, whose path may have 107 bytes: where TMPDIR is
    too long for that, ``/tmp``.
    """
    base = tempfile.gettempdir()
    return "/tmp" if len(os.fsencode(base)) > MOST_BYTES and os.access("/tmp", os.W_OK) else base


def _abandoned(folder: Path) -> bool:
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        owner = json.loads((folder / OWNER).read_text())
        pid, started = int(owner["pid"]), str(owner["started"])
        if owner["where"] != aside.machine():  # whether it lives cannot be seen from here
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return owner["started"] is not None and started_at(pid) != started


def _remove(folder: Path) -> None:
    """Remove it under another name, which says who does: what this leaves, killed or hindered by a worker that still
    writes, is known to belong to nobody later."""
    going = aside.working_name(folder.parent)
    with held():
        try:
            folder.rename(going)
        except OSError:
            going = folder
        aside.remove(going)


def _noted(folder: Path) -> list[Path]:
    try:
        names = json.loads((folder / SEGMENTS).read_text())
    except (OSError, ValueError):
        return []
    return [Path(name) for name in names if isinstance(name, str) and _SEGMENT.fullmatch(name)]
