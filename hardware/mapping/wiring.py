"""Structure of a projection as a chip stores it: who reaches whom, and how many bits that takes on a core."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from hardware.mapping.limits import Target
from hardware.mapping.lists import Packing
from hardware.populations import Projection
from hardware.synapses import Convolution, Sparse


class Wiring:
    """A projection, and the format that a chip stores it in: the cheaper of dense and sparse lists for the whole
    projection; a convolution as the target says.

    Args:
        projection: of a program. target: the chip. delay: steps that the chip's delay field holds.

    Attributes:
        kind: ``dense``, ``sparse`` or ``convolution``, as stored.
        synapse_bits: of one synapse in a list.
    """

    def __init__(self, projection: Projection, target: Target, delay: int) -> None:
        self.projection, self.delay, self.packing = projection, delay, Packing.of(target)
        self.synapses = projection.synapses
        self.targets, self.sources = self.synapses.shape
        self.kernel_once = target.convolution == "kernel"
        plain = self.synapses.weight_bits + delay.bit_length() + self.packing.tag
        widest = min(self.targets, target.number("neurons_per_core"))
        indexed = plain + self.packing.index(widest)
        self.kind = self.synapses.kind
        if isinstance(self.synapses, Sparse):
            dense = self.targets * self.sources * plain
            self.kind = "sparse" if len(self.synapses.indices) * indexed < dense else "dense"
        self.synapse_bits = plain if self.kind == "dense" else indexed
        if isinstance(self.synapses, Convolution) and self.kernel_once:
            self.synapse_bits = plain

    @property
    def format(self) -> tuple[object, ...]:
        """What tells one synapse format of a core from another."""
        return self.synapses.weight_bits, self.projection.exponent, self.delay.bit_length(), self.kind

    def counts(self, neurons: np.ndarray) -> np.ndarray:
        """int64 (N_source,): synapses of each source onto these neurons, those of weight 0 that are stored included."""
        if isinstance(self.synapses, Convolution):
            return self._of_picture(self._mask(neurons)).ravel()
        if isinstance(self.synapses, Sparse):
            return np.bincount(self._columns(neurons), minlength=self.sources)
        return np.broadcast_to(np.int64(len(neurons)), (self.sources,))

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Target and source of every synapse that :meth:`counts` counts, int64 each: a kernel's stored zeros too."""
        synapses = self.synapses
        if isinstance(synapses, Convolution):
            synapses = dataclasses.replace(synapses, kernel=np.ones_like(synapses.kernel))
        elif not isinstance(synapses, Sparse):
            target, source = np.indices(synapses.shape)
            return target.ravel(), source.ravel()
        return synapses.coo()[:2]

    @functools.cached_property
    def fan_in(self) -> np.ndarray:
        """int64 (N_target,): synapses onto each neuron."""
        if isinstance(self.synapses, Sparse):
            return np.diff(self.synapses.indptr).astype(np.int64)
        if isinstance(self.synapses, Convolution):
            found = np.zeros(self.synapses.out_shape, np.int64)
            for _, place in self._taps:
                found[:, place[0], place[1]] += self.synapses.kernel.shape[1]
            return found.ravel()
        return np.full(self.targets, self.sources, np.int64)

    @functools.cached_property
    def _taps(self) -> list[tuple[int, tuple[slice, slice, slice, slice]]]:
        """Elements of a kernel by number, each with the places of targets and of sources that it connects."""
        conv = self.synapses
        assert isinstance(conv, Convolution)
        height, width = conv.kernel.shape[2:]
        places = [(a * width + b, conv.tap(a, b)) for a in range(height) for b in range(width)]
        return [(element, place) for element, place in places if place is not None]

    @functools.cached_property
    def total(self) -> int:
        """Synapses in all."""
        return int(self.fan_in.sum())

    def cost(self, neurons: np.ndarray) -> tuple[int, int]:
        """Bits for synapses and input axons of a slice of the target."""
        if self.projection.synapses.kind == "dense":
            size = int(self.packing.bits(np.array(len(neurons)), self.synapse_bits))
            return self.sources * size, self.sources
        if isinstance(self.synapses, Convolution):
            return self._cost_of_convolution(neurons)
        counts = self.counts(neurons)
        reached = int(np.count_nonzero(counts))
        if self.kind == "dense":
            return reached * int(self.packing.bits(np.array(len(neurons)), self.synapse_bits)), reached
        return int(self.packing.bits(counts, self.synapse_bits).sum()), reached

    def fewest_bits(self) -> int:
        """Bits that the projection takes at least, however the target is sliced."""
        if isinstance(self.synapses, Convolution):
            return int(self.synapses.kernel.size) * self.synapse_bits if self.kernel_once else 0
        # A list is at least as long as its source has synapses there, in a dense one as well.
        counts = self.counts(np.arange(self.targets))
        return int(self.packing.fewest(int(counts.max()), self.synapse_bits)[counts].sum())

    def _columns(self, neurons: np.ndarray) -> np.ndarray:
        assert isinstance(self.synapses, Sparse)
        begin = self.synapses.indptr[neurons].astype(np.int64)
        lengths = self.synapses.indptr[neurons + 1] - begin
        offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        result: np.ndarray = self.synapses.indices[np.repeat(begin, lengths) + offsets]
        return result

    def _mask(self, neurons: np.ndarray) -> np.ndarray:
        assert isinstance(self.synapses, Convolution)
        mask = np.zeros(self.targets, np.int64)
        mask[neurons] = 1
        return mask.reshape(self.synapses.out_shape)

    def _of_picture(self, mask: np.ndarray) -> np.ndarray:
        """int64 (C_in, H, W): synapses of each source onto the neurons of a mask (C_out, H, W)."""
        conv = self.synapses
        assert isinstance(conv, Convolution)
        sums = mask.reshape(conv.groups, -1, *mask.shape[1:]).sum(axis=1)
        found = np.zeros((conv.groups, *conv.in_shape[1:]), np.int64)
        for _, place in self._taps:
            found[:, place[2], place[3]] += sums[:, place[0], place[1]]
        return np.repeat(found, conv.kernel.shape[1], axis=0)

    def _cost_of_convolution(self, neurons: np.ndarray) -> tuple[int, int]:
        conv, mask = self.synapses, self._mask(neurons)
        assert isinstance(conv, Convolution)
        reached = int(np.count_nonzero(self._of_picture(mask)))
        if self.kernel_once:
            channels = int(np.count_nonzero(mask.any(axis=(1, 2))))
            return channels * int(conv.kernel[0].size) * self.synapse_bits, reached
        bits = 0
        for part in mask.reshape(conv.groups, -1, *mask.shape[1:]):
            lengths = self._distinct_lists(part)
            bits += int(self.packing.bits(lengths, self.synapse_bits).sum()) * conv.kernel.shape[1]
        return bits, reached

    def _distinct_lists(self, mask: np.ndarray) -> np.ndarray:
        """Lengths of the different lists that sources of one channel need; equal lists are stored once per core.

        Two sources share a list where each element of the kernel leads to the same channels of the slice.

        Args:
            mask: int64 (channels of a group, H, W), 1 for neurons of the slice.
        """
        conv = self.synapses
        assert isinstance(conv, Convolution)
        names = np.random.default_rng(0).integers(1, 2**63, size=(len(mask) + conv.kernel[0, 0].size), dtype=np.uint64)
        channels, places = names[: len(mask)], names[len(mask) :]
        which = (mask.astype(np.uint64) * channels[:, None, None]).sum(axis=0)  # a name for each set of channels
        count = mask.sum(axis=0)
        pattern = np.zeros(conv.in_shape[1:], np.uint64)
        length = np.zeros(conv.in_shape[1:], np.int64)
        for element, (rows, columns, from_rows, from_columns) in self._taps:
            pattern[from_rows, from_columns] += which[rows, columns] * places[element]
            length[from_rows, from_columns] += count[rows, columns]
        _, first = np.unique(pattern.ravel(), return_index=True)
        lengths = length.ravel()[first]
        return lengths[lengths > 0]
