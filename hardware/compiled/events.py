"""Synapses, compiled: what the spikes of a source add to the currents of a block of samples.

Common arguments: ``drive`` int32, samples * size elements and at least WIDTH more; ``values`` uint8 or int32, flat,
what the source had; sample b is ``values[offset + b * count : offset + (b + 1) * count]``, and behind uint8 values
:data:`WORD` bytes can be read. Weights are int32, shifted by their exponent; every sum is modulo 2^32, which is right
as long as the whole current is valid (FP-2.1).

Up to 64 sources become the bits of one mask without a branch, and only set bits cost anything after that. Samples are a
loop in here, and offsets stand for slices, because a call or a slice costs as much as several events (reference
counts). Inputs of one (spikes) are added, larger payloads multiplied first.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from hardware.compiled.compile import compiled, inlined
from hardware.compiled.vectors import (
    HALF,
    WIDTH,
    WORD,
    add_at,
    add_half,
    add_vector,
    at,
    bits_above,
    first_bits,
    sum1,
    sum2,
    sum3,
    sum4,
    trailing_zeros,
)


@compiled
def sum_groups(drive, add, samples, size, values, offset, count, second, second_offset, second_count, table):
    """``drive = W x + V y`` (``add``: is added) for small populations and 0 or 1 at most 64 sources of each kind,
    without a branch that depends on data.

    Four sources at a time select one of 16 sums of their weights, so that the cost does not depend on the spikes.

    Args:
        second: the same for y; ``second_count`` 0 leaves it out.
        table: 16 rows for every four x, then for every four y; columns padded, at most 4 * WIDTH.
    """
    vectors, groups, more = table.shape[1] // WIDTH, (count + 3) // 4, (second_count + 3) // 4
    some, others = first_bits(count), first_bits(second_count)
    for b in range(samples):
        x = bits_above(values, offset + b * count, 0) & some
        y = np.uint64(0)
        if second_count > 0:
            y = bits_above(second, second_offset + b * second_count, 0) & others
        if vectors == 1:
            sum1(drive, b * size, add, table, x, groups, y, more)
        elif vectors == 2:
            sum2(drive, b * size, add, table, x, groups, y, more)
        elif vectors == 3:
            sum3(drive, b * size, add, table, x, groups, y, more)
        else:
            sum4(drive, b * size, add, table, x, groups, y, more)


@inlined
def _multiplied(drive, start, size, x, weight, first):
    for j in range(size):
        add_at(drive, start + j, np.int32(x * at(weight, first + j)))


@compiled
def add_dense(drive, samples, size, values, offset, count, weight, columns):
    """``drive += W x``; weight flat, (count, columns): transposed, rows filled up with zeros to whole vectors, so that
    what lies behind a sample is left as it was."""
    start = 0
    for _ in range(samples):
        if values.itemsize == 1:
            for first in range(0, count, WORD):
                mask = bits_above(values, offset + first, 0) & first_bits(count - first)
                larger = bits_above(values, offset + first, 1) & mask
                mask &= ~larger
                while larger != 0:
                    i = first + np.intp(trailing_zeros(larger))
                    larger &= larger - np.uint64(1)
                    x = np.int32(at(values, offset + i))
                    _multiplied(drive, start, size, x, weight, i * columns)
                while mask != 0:
                    i = first + np.intp(trailing_zeros(mask))
                    mask &= mask - np.uint64(1)
                    for block in range(0, columns, WIDTH):
                        add_vector(drive, start + block, weight, i * columns + block)
        else:
            for i in range(count):
                x = np.int32(at(values, offset + i))
                if x != 0:
                    _multiplied(drive, start, size, x, weight, i * columns)
        start += size
        offset += count


@inlined
def _scattered(drive, start, x, weight, lanes, begin, end):
    for k in range(begin, end):
        add_at(drive, start + at(lanes, k), np.int32(x * at(weight, k)))


@compiled
def add_sparse(drive, samples, size, values, offset, count, starts, lanes, weight):
    """``drive += W x``; compressed by source: synapses ``starts[i]`` to ``starts[i + 1] - 1`` of source i."""
    start = 0
    for _ in range(samples):
        if values.itemsize == 1:
            for first in range(0, count, WORD):
                mask = bits_above(values, offset + first, 0) & first_bits(count - first)
                larger = bits_above(values, offset + first, 1) & mask
                mask &= ~larger
                while larger != 0:
                    i = first + np.intp(trailing_zeros(larger))
                    larger &= larger - np.uint64(1)
                    x = np.int32(at(values, offset + i))
                    _scattered(drive, start, x, weight, lanes, at(starts, i), at(starts, i + 1))
                while mask != 0:
                    i = first + np.intp(trailing_zeros(mask))
                    mask &= mask - np.uint64(1)
                    for k in range(at(starts, i), at(starts, i + 1)):
                        add_at(drive, start + at(lanes, k), at(weight, k))
        else:
            for i in range(count):
                x = np.int32(at(values, offset + i))
                if x != 0:
                    _scattered(drive, start, x, weight, lanes, at(starts, i), at(starts, i + 1))
        start += size
        offset += count


@inlined
def _stamp(drive, start, x, kernel, first, stamps, entry):
    """The kernel of one source channel, x times, at the targets of one place of the picture."""
    for k in range(entry + 1, entry + 1 + 3 * at(stamps, entry), 3):
        to, tap, length = start + at(stamps, k), first + at(stamps, k + 1), np.intp(at(stamps, k + 2))
        if x == 1:
            whole = length & -WIDTH
            for j in range(0, whole, WIDTH):
                add_vector(drive, to + j, kernel, tap + j)
            if length - whole >= HALF:
                add_half(drive, to + whole, kernel, tap + whole)
                whole += HALF
            for j in range(whole, length):
                add_at(drive, to + j, at(kernel, tap + j))
        else:
            _multiplied(drive, to, length, x, kernel, tap)


@compiled
def add_convolution(
    drive, samples, size, values, offset, planes, area, stamps, columns, kernel, taps, group_inputs, channels
):
    """``drive += W x`` for a convolution: every spike stamps the kernel of its channel onto its targets (FP-2.5).

    Lanes are in the order (place, channel), so that the weights of one tap to all channels are neighbours, in the
    drive and in the kernel.

    Args:
        planes, area: channels of the source, places of each.
        stamps: flat, (area, columns): for each place of the source the number of runs of neighbours among its targets,
            and for each run where its lanes begin, where its weights begin, and its length. It knows stride, padding
            and dilation.
        kernel: flat, (planes, taps, channels).
        group_inputs, channels: source and target channels of a group.
    """
    start = 0
    for _ in range(samples):
        for plane in range(planes):
            target = start + plane // group_inputs * channels
            weights = plane * taps * channels
            for first in range(0, area, WORD):
                mask = first_bits(area - first)
                if values.itemsize == 1:
                    mask &= bits_above(values, offset + first, 0)
                while mask != 0:
                    place = first + np.intp(trailing_zeros(mask))
                    mask &= mask - np.uint64(1)
                    x = np.int32(at(values, offset + place))
                    if values.itemsize == 1 or x != 0:
                        _stamp(drive, target, x, kernel, weights, stamps, place * columns)
            offset += area
        start += size
