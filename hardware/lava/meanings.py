"""What an exit code or an error of the operating system means for a run, in words that name the place."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHARED = Path("/dev/shm")

_LITTLE = 2**20

MEANINGS = {
    -7: " (SIGBUS: most likely /dev/shm is full; give it more room, for example docker --shm-size 256m)",
    -9: " (SIGKILL: somebody ended it, or memory ran out)",
    -11: " (SIGSEGV)",
    -15: " (SIGTERM: somebody ended it)",
}
"""Return codes of a process that was ended from outside."""


def no_space(place: Path) -> str:
    """Which place is full, and how full."""
    free = _free(place)
    if free is None:
        return f"no space left for {place}"
    more = "docker --shm-size 256m gives it more" if place == SHARED else "set TMPDIR to a folder with room"
    return f"no space left for {place} ({free / 2**20:.1f} MiB free); {more}"


def _free(place: Path) -> int | None:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def why(error: OSError, place: Path) -> str:
    """One line for an error of the operating system in the middle of a run: names the file, and full places."""
    name = error.filename if isinstance(error.filename, str | os.PathLike) else None
    if error.errno in FULL:
        shared = str(name).startswith(("/psm_", str(SHARED))) if name is not None else _is_tight(SHARED, place)
        where = SHARED if shared else place
        return f"{name}: {no_space(where)}" if name else no_space(where)
    return f"{name or place}: {error.strerror or error}"


def _is_tight(one: Path, other: Path) -> bool:
    """Whether ``one`` has no room, and ``other`` has."""
    free, there = _free(one), _free(other)
    return free is not None and free < _LITTLE and (there is None or there >= _LITTLE)
