"""Where compiled machine code is kept: a folder named after its sources, so that code of other sources never runs.

Numba looks only at the file of a function itself, so a change in a function that it calls from another file would go
unnoticed: after an update, old and new code would be mixed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

log = logging.getLogger("hardware")

UNUSED_S = 3600.0
"""Machine code of other sources goes when nothing has started with it for this long: another checkout or branch that
runs now, and may still compile, keeps its own."""


def cache_folder(sources: Path, base: Path | None = None) -> Path:
    """A folder named after all Python files of a folder.

    Args:
        sources: the folder whose Python files, every one of them, make the name.
        base: where the folder lies; ``__pycache__`` of the sources if None.

    Raises:
        RuntimeError: no Python file there, so nothing would change the name.
    """
    found = sorted(sources.glob("*.py"))
    if not found:
        raise RuntimeError(f"{sources}: holds no .py file, so compiled kernels cannot be told from stale ones")
    digest = hashlib.sha256()
    for source in found:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return (base or sources / "__pycache__") / f"kernels-{digest.hexdigest()[:16]}"


def usable_folder(sources: Path, base: Path | None = None) -> Path | None:
    """The cache folder in the first place that can be written, ready for use: base, or ``__pycache__`` of the sources;
    of a read-only installation this user's own folder among temporary files, with a line in the log. None where nothing
    can be written.
    """
    first = base or sources / "__pycache__"
    if prepare(cache_folder(sources, first)):
        return cache_folder(sources, first)
    second = _temporary()
    if second is not None and prepare(cache_folder(sources, second)):
        log.warning("machine code is kept in the temporary folder %s: %s cannot be written", second, first)
        return cache_folder(sources, second)
    log.warning("machine code is made again at every start: neither %s nor a temporary folder can be written", first)
    return None


def prepare(folder: Path) -> bool:
    """Mark a cache folder as used now; where it is new, remove those beside it that nothing has used for a while.

    Only machine code is lost, which numba makes again. A process that still runs on a removed folder goes on: numba
    takes a missing file for one that was never there, and makes the folder again before it writes.

    Returns:
        whether files can be written there.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unused(folder)
        os.utime(folder)  # the time of the last start, which numba's own files below it do not give
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _remove_unused(current: Path) -> None:
    for other in current.parent.iterdir():
        if other == current or not re.fullmatch(r"kernels-[0-9a-f]{16}", other.name):
            continue
        try:
            unused = time.time() - other.stat().st_mtime
        except OSError:  # another process was faster
            continue
        if unused > UNUSED_S:
            shutil.rmtree(other, ignore_errors=True)


def _temporary() -> Path | None:
    """A folder that only this user can write, for loading machine code is running it; None where there is none."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"hypr-kernels-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    owned = stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == user)
    return folder if owned and (os.name == "nt" or not found.st_mode & 0o022) else None
