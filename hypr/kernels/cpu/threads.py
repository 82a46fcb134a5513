"""How the CPU kernels use threads and floating-point modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch

Range = tuple[int, int]
"""First sample, and the one behind the last."""

_ROW = 4096  # flat elements per call at most, so that the rows of one step stay in the level-1 and level-2 caches
_SHORTEST_ROW = 256  # flat elements per share of samples at least, below which loops spend their time on their ends
_SHARES = 16  # at most
_SUMS = 2**23  # numbers of all shares together, at most, but for one share
_WORTH_A_THREAD = 50_000  # neuron updates per thread below which handing work over costs more than it saves
_SUBNORMAL, _ONE = np.float32(1e-45), np.float32(1.0)  # their product is zero where subnormal numbers are


def ranges(steps: int, batch: int, n: int) -> list[Range]:
    """The batch in parts for independent work of ``steps`` rows of ``n`` numbers a sample, by the number of threads."""
    threads = max(1, min(torch.get_num_threads(), batch, steps * batch * n // _WORTH_A_THREAD))
    return _split(0, batch, max(1, min(-(-batch // threads), _ROW // n)))


def shares(batch: int, n: int, rows: int) -> list[Range]:
    """The batch in parts that each have sums (rows, n) of their own; by the shapes alone, so that sums of the parts are
    the same bits for any number of threads.
    """
    most = max(1, min(_SHARES, _SUMS // (rows * n)))
    return _split(0, batch, max(-(-batch // most), min(-(-_SHORTEST_ROW // n), batch)))


def short(first: int, last: int, n: int) -> list[Range]:
    """Samples of a share in parts whose rows stay in the caches."""
    return _split(first, last, max(1, _ROW // n))


def each(parts: Sequence[Range], work: int, call: Callable[[int, int, int], Any]) -> None:
    """``call(index, first, last)`` for every part, over threads where the work is worth it.

    Args:
        parts: ranges of samples.
        work: neuron updates per sample.
        call: must change nothing but what belongs to its index and samples, and release the interpreter's lock.
    """
    threads = min(torch.get_num_threads(), len(parts), parts[-1][1] * work // _WORTH_A_THREAD)
    if threads <= 1:
        for index, (low, high) in enumerate(parts):
            call(index, low, high)
        return
    for future in [_pool(threads).submit(call, index, low, high) for index, (low, high) in enumerate(parts)]:
        future.result()


def _split(first: int, last: int, size: int) -> list[Range]:
    return [(low, min(low + size, last)) for low in range(first, last, size)]


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
