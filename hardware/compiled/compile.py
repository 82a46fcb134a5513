"""The decorators of the emulator's compiled functions: their options, and a cache that never serves stale code."""

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

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
INLINED: Any = OPTIONS | {"forceinline": True}

_FOLDER = usable_folder(Path(__file__).parent, Path(config.CACHE_DIR) if config.CACHE_DIR else None)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`OPTIONS`, cached between processes where a folder is writable."""
    if _FOLDER is None:
        plain: Callable[..., Any] = njit(**OPTIONS)(function)
        return plain
    chosen, config.CACHE_DIR = config.CACHE_DIR, str(_FOLDER)
    try:
        cached: Callable[..., Any] = njit(**OPTIONS, cache=True)(function)
    finally:
        config.CACHE_DIR = chosen
    return cached


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """``numba.njit`` with :data:`INLINED`, for what is called once an event or once a step: an array goes over as seven
    arguments."""
    result: Callable[..., Any] = njit(**INLINED)(function)
    return result
