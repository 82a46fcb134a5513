"""The decorator of every compiled CPU function: its options, and a cache that never serves stale machine code."""

from __future__ import annotations

import hashlib
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


def _cache_folder() -> str:
    """A folder named after the sources of all kernels.

    Numba looks only at the file of the function itself, so a change in a function that it calls from another file would
    go unnoticed: after an update, old and new code would be mixed.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.glob("cpu*.py")):
        digest.update(source.read_bytes())
    base = Path(config.CACHE_DIR) if config.CACHE_DIR else here / "__pycache__"
    return str(base / f"kernels-{digest.hexdigest()[:16]}")


_FOLDER = _cache_folder()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`OPTIONS`, cached between processes where a folder is writable."""
    chosen, config.CACHE_DIR = config.CACHE_DIR, _FOLDER
    try:
        return njit(**OPTIONS, cache=True)(function)
    finally:
        config.CACHE_DIR = chosen


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`INLINED`."""
    return njit(**INLINED)(function)
