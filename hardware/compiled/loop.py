"""The compiled loop: blocks of samples, steps, populations of one component, what arrives at each, its neurons."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from hardware.compiled.compile import compiled, inlined
from hardware.compiled.events import add_convolution, add_dense, add_sparse, sum_groups
from hardware.compiled.neurons import step_lanes
from hardware.compiled.records import CONVOLUTION, DENSE, GROUPS, SPARSE
from hardware.compiled.vectors import (
    WIDTH,
    WORD,
    at,
    bits_above,
    bytes_at,
    first_bits,
    integers_at,
    numbers_at,
    rows_at,
    trailing_zeros,
)

LANE_PADDING = 32
"""Blocks are padded to a multiple of this many lanes, so that no lane is left to the scalar rest of a vector loop."""


@inlined
def _padded(lanes):
    return -(-lanes // LANE_PADDING) * LANE_PADDING


@inlined
def _arrive(visit, drive, add, step, batch, sample, samples, size):
    """One visit; ``add``: the drive holds something already."""
    count = visit.fan_in
    offset = ((visit.row + step) * batch + sample) * count
    if visit.kind == GROUPS:
        values = bytes_at(visit.source, offset + samples * count)
        other = ((visit.row2 + step) * batch + sample) * visit.fan_in2
        second = bytes_at(visit.source2, other + samples * visit.fan_in2)
        table = rows_at(visit.weight, visit.table_rows, visit.columns)
        sum_groups(drive, add, samples, size, values, offset, count, second, other, visit.fan_in2, table)
        return
    if not add:
        drive[: samples * size] = 0
    end = offset + samples * count
    narrow, wide = bytes_at(visit.source, end), integers_at(visit.source, end)
    if visit.kind == DENSE:
        weight = integers_at(visit.weight, count * visit.columns)
        if visit.wide:
            add_dense(drive, samples, size, wide, offset, count, weight, visit.columns)
        else:
            add_dense(drive, samples, size, narrow, offset, count, weight, visit.columns)
    elif visit.kind == SPARSE:
        starts = integers_at(visit.starts, count + 1)
        lanes, weight = integers_at(visit.lanes, starts[count]), integers_at(visit.weight, starts[count])
        if visit.wide:
            add_sparse(drive, samples, size, wide, offset, count, starts, lanes, weight)
        else:
            add_sparse(drive, samples, size, narrow, offset, count, starts, lanes, weight)
    elif visit.kind == CONVOLUTION:
        planes = count // visit.area
        stamps = integers_at(visit.stamps, visit.area * visit.columns)
        kernel = integers_at(visit.weight, planes * visit.taps * visit.channels)
        parts = (planes, visit.area, stamps, visit.columns, kernel, visit.taps, visit.group_inputs, visit.channels)
        if visit.wide:
            add_convolution(drive, samples, size, wide, offset, *parts)
        else:
            add_convolution(drive, samples, size, narrow, offset, *parts)


@inlined
def _send(item, after, address, samples):
    """Spikes of a block into their place among the neurons."""
    size = item.size
    row = bytes_at(address, samples * size)
    if item.order == 0:
        for i in range(row.size):
            row[i] = after[i]
        return
    order = integers_at(item.order, size)
    row[:] = 0
    for b in range(samples):
        for first in range(0, size, WORD):
            mask = bits_above(after, b * size + first, 0) & first_bits(size - first)
            while mask != 0:
                lane = first + np.intp(trailing_zeros(mask))
                mask &= mask - np.uint64(1)
                row[b * size + at(order, lane)] = after[b * size + lane]


@inlined
def _receive(item, last, address, samples):
    """The opposite: spikes of the step before, in the order of lanes."""
    size = item.size
    row = bytes_at(address, samples * size)
    if item.order == 0:
        for i in range(row.size):
            last[i] = row[i]
        return
    order = integers_at(item.order, size)
    for b in range(samples):
        for lane in range(size):
            last[b * size + lane] = row[b * size + order[lane]]


@inlined
def _record(item, address, state, samples):
    """A state, int32."""
    size = item.size
    kept = integers_at(address, samples * size)
    if item.order == 0:
        for i in range(kept.size):
            kept[i] = np.int32(state[i])
        return
    order = integers_at(item.order, size)
    for b in range(samples):
        for lane in range(size):
            kept[b * size + at(order, lane)] = np.int32(state[b * size + lane])


@inlined
def _step(item, visits, drive, states, last, after, step, begin, batch, sample, samples):
    """One step of one population for a block of samples."""
    size = item.size
    lanes = samples * size
    add = False
    if item.current != 0:
        current = integers_at(item.current + 4 * (step * batch + sample) * size, lanes)
        for i in range(lanes):
            drive[i] = current[i]
        add = True
    for j in range(item.first, item.last):
        if visits[j].kind != 0:
            _arrive(visits[j], drive, add, step, batch, sample, samples, size)
            add = True
    drive[0 if not add else lanes : states.shape[1]] = 0
    parameters = numbers_at(item.parameters, item.rows, item.width)
    step_lanes(item.model, item.option != 0, parameters, states, drive, last, after)
    if item.spikes != 0:
        _send(item, after, item.spikes + ((item.row + step) * batch + sample) * size, samples)
    place = 4 * ((begin + step) * batch + sample) * size
    if item.kept0 != 0:
        _record(item, item.kept0 + place, states[0], samples)
    if item.kept1 != 0:
        _record(item, item.kept1 + place, states[1], samples)
    if item.kept2 != 0:
        _record(item, item.kept2 + place, states[2], samples)


@compiled
def run_blocks(populations, visits, steps, begin, batch, block_samples, first, last):
    """Blocks ``first`` to ``last - 1`` of one component over a chunk of steps.

    Args:
        populations, visits: see :mod:`hardware.compiled.records`.
        steps, begin: length of the chunk, its first step in the run.
        batch, block_samples: samples of the whole batch, and of a block (the last one may have fewer).
    """
    number = populations.size
    places = np.zeros(number + 1, np.int64)
    widest = 0
    for p in range(number):
        width = _padded(block_samples * populations[p].size)
        places[p + 1] = places[p] + width + WORD
        widest = max(widest, width)
    memory = np.zeros(widest + 3 * WIDTH, np.int32)
    skipped = -memory.ctypes.data % (4 * WIDTH) // 4
    drive = memory[skipped:]  # whole vectors do not lie across two lines of the cache
    spikes = np.zeros((2, places[number]), np.uint8)  # of the step before and of this one, by turns
    for block in range(first, last):
        sample = block * block_samples
        samples = min(block_samples, batch - sample)
        for p in range(number):
            item = populations[p]
            if item.spikes != 0:
                address = item.spikes + ((item.row - 1) * batch + sample) * item.size
                _receive(item, spikes[0, places[p] :], address, samples)
        for step in range(steps):
            for p in range(number):
                item = populations[p]
                states = numbers_at(
                    item.states + 8 * block * item.count * item.width, item.count, _padded(samples * item.size)
                )
                before = spikes[step & 1, places[p] : places[p + 1]]
                after = spikes[1 - (step & 1), places[p] : places[p + 1]]
                _step(item, visits, drive, states, before, after, step, begin, batch, sample, samples)
