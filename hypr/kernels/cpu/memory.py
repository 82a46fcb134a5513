"""Memory of recorded windows: used again by the next window instead of going back to the system, which would hand it
out page by page, zeroed, at every update. That took up to a quarter of the time of an update.
"""

from __future__ import annotations

import math
import weakref

import numpy as np

_SMALLEST = 2**20  # bytes; the C library itself keeps smaller pieces
_KEPT = 2**29  # bytes that wait for use at most
_free: dict[int, list[np.ndarray]] = {}


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """``np.empty``, in memory that comes back here once neither the array nor a view of it (NumPy, torch) exists."""
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALLEST:
        return np.empty(shape, dtype)
    try:
        memory = _free[size].pop()
    except (KeyError, IndexError):
        memory = np.empty(size, np.uint8)
    # Views refer to this array, as it lies over a memoryview; over an array they would refer to that one.
    array = np.frombuffer(memory.data, dtype)
    weakref.finalize(array, _keep, memory).atexit = False
    return array.reshape(shape)


def release() -> None:
    """Give what waits for use back to the system."""
    _free.clear()


def _keep(memory: np.ndarray) -> None:
    waiting = sum(size * len(pieces) for size, pieces in list(_free.items()))
    if waiting + memory.nbytes > _KEPT:
        release()  # what waits is of sizes that nobody asks for any more, or there is too much of it
    if memory.nbytes <= _KEPT:
        _free.setdefault(memory.nbytes, []).append(memory)
