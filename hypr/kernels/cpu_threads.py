"""How the CPU kernels use threads and floating-point modes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch

_ROW = 4096  # flat elements per call at most, so that the rows of one step stay in the level-1 and level-2 caches
_WORTH_A_THREAD = 50_000  # neuron updates per thread below which handing work over costs more than it saves
_SUBNORMAL, _ONE = np.float32(1e-45), np.float32(1.0)  # their product is zero where subnormal numbers are


def each_range(steps: int, batch: int, n: int, call: Callable[[int, int], Any]) -> None:
    """``call(first, last)`` for ranges of samples that cover the batch, over threads where the work is worth it.

    Args:
        steps, batch, n: updates of the work, which decide on threads and on the size of a range.
        call: must touch nothing outside its samples, and release the interpreter's lock.
    """
    threads = max(1, min(torch.get_num_threads(), batch, steps * batch * n // _WORTH_A_THREAD))
    size = max(1, min(-(-batch // threads), _ROW // n))
    if size == batch:
        call(0, batch)
        return
    ranges = [(low, min(low + size, batch)) for low in range(0, batch, size)]
    if threads == 1:
        for low, high in ranges:
            call(low, high)
        return
    for future in [_pool(threads).submit(call, low, high) for low, high in ranges]:
        future.result()


class flushed:  # used like a function; a generator would cost as much as a small kernel
    """Numbers below the normal range count as zero in this thread inside a ``with`` block; traces that decay in silence
    would run at a tenth of the speed. What the caller chose is restored.
    """

    __slots__ = ("_changed",)

    def __enter__(self) -> None:
        self._changed = bool(_SUBNORMAL * _ONE)
        if self._changed:
            torch.set_flush_denormal(True)

    def __exit__(self, *_: object) -> None:
        if self._changed:
            torch.set_flush_denormal(False)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        threads, thread_name_prefix="hypr-kernels", initializer=torch.set_flush_denormal, initargs=(True,)
    )
