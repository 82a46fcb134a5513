"""Memory of synapses: bits of lists by a chip's packing rule, and the fewest bits that any slicing can reach."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from hardware.mapping.limits import Target


@dataclass(frozen=True)
class Packing:
    """Lists of synapses, one for each input axon: blocks of at most ``block`` synapses, each of
    ``n * bits + header`` bits, rounded up to words.

    ``bits`` of a synapse are weight, delay, tag and, in a sparse list, index.
    """

    word: int
    header: int
    block: int
    tag: int
    index_low: int
    index_high: int

    @classmethod
    def of(cls, target: Target) -> Packing:
        names = ("word_bits", "header_bits", "synapses_per_block", "tag_bits", "index_bits_low", "index_bits_high")
        return cls(*(target.number(name) for name in names))

    def bits(self, lengths: np.ndarray, synapse: int) -> np.ndarray:
        """Bits of lists, int64.

        Args:
            lengths: synapses of each list, int64; an empty list takes nothing. synapse: bits of one synapse.
        """
        full, rest = np.divmod(np.asarray(lengths, np.int64), self.block)
        result: np.ndarray = full * self._block(self.block, synapse) + np.where(rest > 0, self._block(rest, synapse), 0)
        return result

    def _block(self, count: int | np.ndarray, synapse: int) -> np.ndarray:
        return -(-(np.asarray(count, np.int64) * synapse + self.header) // self.word) * self.word

    def index(self, neurons: int) -> int:
        """Bits that name one of so many targets."""
        return int(np.clip(max(neurons - 1, 1).bit_length(), self.index_low, self.index_high))

    def fewest(self, length: int, synapse: int) -> np.ndarray:
        """int64 (length + 1,): fewest bits of n synapses of one source, over all ways to cut them into lists."""
        size = 64
        while size < length:
            size *= 4
        return _fewest(self, size, synapse)[: length + 1]


@functools.lru_cache(maxsize=256)
def _fewest(packing: Packing, length: int, synapse: int) -> np.ndarray:
    if packing.word == 1 and packing.header == 0:
        return np.arange(length + 1, dtype=np.int64) * synapse
    parts = np.arange(1, min(packing.block, length) + 1)
    sizes = packing.bits(parts, synapse)
    last = np.append(np.diff(sizes) > 0, True)  # the longest block of each size is enough, but for a short rest
    parts, sizes = parts[last], sizes[last]
    best = np.zeros(length + 1, np.int64)
    for n in range(1, length + 1):
        best[n] = (best[np.maximum(n - parts, 0)] + sizes).min()
    return best
