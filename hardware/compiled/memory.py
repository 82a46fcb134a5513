"""Arrays whose addresses the compiled loop is given: aligned tables, and the steps that a source has sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.compiled.vectors import WORD

LINE = 64
"""Bytes."""


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins where a line of the cache begins, so that no whole vector lies across two."""
    memory = np.empty(array.nbytes + LINE, np.uint8)
    skipped = -memory.ctypes.data % LINE
    copy = memory[skipped : skipped + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@dataclass
class Line:
    """What a source sends: its last steps of the chunk before, then those of this chunk, or of the whole run.

    Attributes:
        values: (front + steps, B, N), uint8 or int32; behind uint8 a word can be read.
        front: steps before the first one that are kept.
        whole: the buffer holds the whole run, because the caller keeps it.
    """

    values: np.ndarray
    front: int
    whole: bool

    @classmethod
    def empty(cls, front: int, steps: int, batch: int, size: int, wide: bool, whole: bool) -> Line:
        shape = (front + steps, batch, size)
        number = math.prod(shape)
        values = np.empty(number, np.int32) if wide else np.empty(number + WORD, np.uint8)[:number]
        return cls(values.reshape(shape), front, whole)

    def row(self, begin: int) -> int:
        """Of the first step of the chunk that begins there."""
        return self.front + (begin if self.whole else 0)

    def finish(self, steps: int) -> None:
        """The chunk is over: its last steps become those before the next."""
        if not self.whole and self.front:
            self.values[: self.front] = self.values[steps : steps + self.front].copy()

    def last(self, count: int, total: int) -> np.ndarray:
        """The last ``count`` steps of a run of ``total``, all chunks finished."""
        end = self.row(total)
        return self.values[end - count : end].copy()
