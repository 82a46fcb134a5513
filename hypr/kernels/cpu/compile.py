"""The decorator of every compiled CPU function: its options, and a cache that never serves stale machine code."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config as numba_config
from numba import extending, njit

config: Any = numba_config  # numba sets its attributes when it is imported
intrinsic: Any = extending.intrinsic  # its type would have callers pass the typing context

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nsz"},  # no signed zeros; everything else rounds as it is written
}
INLINED: Any = OPTIONS | {"forceinline": True}
"""For what is called once a number or once a row: a call costs as much as some hundred numbers of a row, for every
array goes over as seven arguments."""

UNUSED_S = 3600.0
"""Machine code of other sources goes when nothing has started with it for this long: another checkout or branch that
runs now, and may still compile, keeps its own."""


def cache_folder(sources: Path, base: Path | None = None) -> Path:
    """A folder named after the sources of all kernels.

    Numba looks only at the file of the function itself, so a change in a function that it calls from another file would
    go unnoticed: after an update, old and new code would be mixed.

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


def prepare(folder: Path) -> None:
    """Mark a cache folder as used now; where it is new, remove those beside it that nothing has used for a while.

    Only machine code is lost, which numba makes again. A process that still runs on a removed folder goes on: numba
    takes a missing file for one that was never there, and makes the folder again before it writes.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unused(folder)
        os.utime(folder)  # the time of the last start, which numba's own files below it do not give
    except OSError:  # read-only: numba looks for a place of its own
        return


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


_FOLDER = cache_folder(Path(__file__).parent, Path(config.CACHE_DIR) if config.CACHE_DIR else None)
prepare(_FOLDER)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`OPTIONS`, cached between processes where a folder is writable."""
    chosen, config.CACHE_DIR = config.CACHE_DIR, str(_FOLDER)
    try:
        return njit(**OPTIONS, cache=True)(function)
    finally:
        config.CACHE_DIR = chosen


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`INLINED`."""
    return njit(**INLINED)(function)
