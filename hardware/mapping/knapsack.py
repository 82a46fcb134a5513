"""The most valuable core: neurons by their prices, what they take counted in cells of two limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def most_valuable(
    cells: Sequence[np.ndarray], counts: Sequence[np.ndarray], prices: np.ndarray, room: tuple[int, int]
) -> tuple[float, np.ndarray]:
    """Dynamic programming over both limits.

    Args:
        cells: of each kind of neurons, int64 (m, 2), never falling: of the two limits, what ``counts`` neurons take.
        counts: of each kind, int64 (m,), rising. prices: of a neuron of each kind. room: cells of a core.

    Returns:
        The worth of the core, and its neurons of each kind, int64 (kinds,).
    """
    values = [np.zeros((room[0] + 1, room[1] + 1))]
    options = []
    for cost, number, price in zip(cells, counts, prices, strict=True):
        last = np.append(np.diff(cost, axis=0).any(axis=1), True)  # most neurons in as many cells
        here = np.flatnonzero(last & (cost <= room).all(axis=1) & (number > 0))
        taken = [(*cost[at].tolist(), int(number[at]), float(price * number[at])) for at in here]
        before, value = values[-1], values[-1].copy()
        for fine, coarse, _, worth in taken:
            place = value[fine:, coarse:]
            np.maximum(place, before[: room[0] + 1 - fine, : room[1] + 1 - coarse] + worth, out=place)
        options.append(taken)
        values.append(value)
    held, left = np.zeros(len(options), np.int64), list(room)
    for kind in range(len(options) - 1, -1, -1):
        before, best = values[kind], values[kind + 1][left[0], left[1]]
        if best == before[left[0], left[1]]:
            continue
        for fine, coarse, number, worth in options[kind]:
            there = fine <= left[0] and coarse <= left[1]
            if there and before[left[0] - fine, left[1] - coarse] + worth == best:
                held[kind], left = number, [left[0] - fine, left[1] - coarse]
                break
    return float(values[-1][-1, -1]), held
