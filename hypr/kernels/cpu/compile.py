"""The decorator of every compiled CPU function: its options, and a cache that never serves stale machine code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config as numba_config
from numba import extending, njit

from hardware.machine_code import usable_folder

config: Any = numba_config  # numba sets its attributes when it is imported
if config.DISABLE_JIT:  # for debugging; these functions are no Python: callers go on without them
    raise ImportError("NUMBA_DISABLE_JIT is set")
intrinsic: Any = extending.intrinsic  # its type would have callers pass the typing context

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nsz"},  # no signed zeros; everything else rounds as it is written
}
INLINED: Any = OPTIONS | {"forceinline": True}
"""For what is called once a number or once a row: a call costs as much as some hundred numbers of a row, for every
array goes over as seven arguments."""

_FOLDER = usable_folder(Path(__file__).parent, Path(config.CACHE_DIR) if config.CACHE_DIR else None)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`OPTIONS`, cached between processes where a folder is writable."""
    if _FOLDER is None:
        return njit(**OPTIONS)(function)
    chosen, config.CACHE_DIR = config.CACHE_DIR, str(_FOLDER)
    try:
        return njit(**OPTIONS, cache=True)(function)
    finally:
        config.CACHE_DIR = chosen


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`INLINED`."""
    return njit(**INLINED)(function)
