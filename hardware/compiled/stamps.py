"""The kernel of a convolution by source channel, and where its weights go from each place of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware.compiled.memory import aligned
from hardware.compiled.records import CONVOLUTION
from hardware.synapses import Convolution

Run = tuple[int, int, int]
"""First lane, first weight, length: neighbours among the targets whose weights are neighbours too."""


def stamp_tables(synapses: Convolution, exponent: int) -> tuple[dict[str, int], tuple[np.ndarray, ...]]:
    """What :func:`hardware.compiled.events.add_convolution` reads."""
    outputs, per_group, height, width = synapses.kernel.shape
    channels = outputs // synapses.groups
    columns = sorted(range(width), key=lambda tap: (tap * synapses.dilation[1] % synapses.stride[1], -tap))
    kernel = synapses.kernel[..., columns].reshape(synapses.groups, channels, per_group, height * width)
    shifted = aligned(np.ascontiguousarray(kernel.transpose(0, 2, 3, 1), dtype=np.int32) << exponent)
    lane, weight = synapses.out_shape[2] * outputs, width * channels
    down = [[(y * lane, tap * weight, 0) for y, tap in seen] for seen in _seen(synapses, 0, range(height))]
    stamps = _stamp_table(down, [_runs(seen, outputs, channels) for seen in _seen(synapses, 1, columns)])
    record = {
        "kind": CONVOLUTION,
        "weight": shifted.ctypes.data,
        "stamps": stamps.ctypes.data,
        "columns": stamps.shape[1],
        "area": stamps.shape[0],
        "taps": height * width,
        "group_inputs": per_group,
        "channels": channels,
    }
    return record, (shifted, stamps)


def _seen(synapses: Convolution, axis: int, taps: Sequence[int]) -> list[list[tuple[int, int]]]:
    """For each place of one axis of the source the targets that see it, rising, each with the position in ``taps`` of
    the tap through which it does."""
    length, stride = synapses.in_shape[1 + axis], synapses.stride[axis]
    found: list[list[tuple[int, int]]] = [[] for _ in range(length)]
    for target in range(synapses.out_shape[1 + axis]):
        for position, tap in enumerate(taps):
            place = target * stride - synapses.padding[axis] + tap * synapses.dilation[axis]
            if 0 <= place < length:
                found[place].append((target, position))
    return found


def _runs(seen: list[tuple[int, int]], outputs: int, channels: int) -> list[Run]:
    """(first lane, first weight, length) of targets that are neighbours as their weights are: columns of the kernel
    stand in the order in which this is so for any stride, as long as there is one group and no dilation."""
    runs: list[Run] = []
    for target, position in seen:
        lane, weight = target * outputs, position * channels
        if runs and (lane, weight) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + channels)
        else:
            runs.append((lane, weight, channels))
    return runs


def _stamp_table(down: Sequence[Sequence[Run]], across: Sequence[Sequence[Run]]) -> np.ndarray:
    """int32 (places, 1 + 3 * most runs of a place), see :func:`hardware.compiled.events.add_convolution`: every run of
    a row of the source (where its lanes and weights begin) with every run of a column."""
    rows, columns = (np.array([len(runs) for runs in axis]) for axis in (down, across))
    table = np.zeros((len(down), len(across), 1 + 3 * int(rows.max() * columns.max())), np.int32)
    table[:, :, 0] = np.outer(rows, columns)
    for a in range(rows.max()):
        for b in range(columns.max()):
            y, x = np.nonzero(np.outer(rows > a, columns > b))
            begin = 1 + 3 * (a * columns[x] + b)
            for part in range(3):
                first, second = (
                    np.array([runs[k][part] if k < len(runs) else 0 for runs in axis])
                    for axis, k in ((down, a), (across, b))
                )
                table[y, x, begin + part] = first[y] + second[x]
    return table.reshape(len(down) * len(across), -1)
