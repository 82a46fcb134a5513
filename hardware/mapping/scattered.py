"""Neurons with many parameter sets and many thresholds, cut so that few cores hold all pairs.

A core holds few different ones of both, so that a slice is a block of the table of pairs. One block after the other is
taken that holds the most neurons which are left, rows that it completes counting twice: a greedy cover.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

_CHOICES = 5000  # of thresholds that are compared; all there are, up to so many


def covering_blocks(sets: np.ndarray, thresholds: np.ndarray, most_sets: int, most_thresholds: int) -> list[np.ndarray]:
    """int64 (n,) each: positions of neurons that lie in one block, every position in one of them.

    Args:
        sets, thresholds: int64 (N,), numbers of each neuron's. most_sets, most_thresholds: of a block.
    """
    rows, columns = (np.unique(numbers, return_inverse=True)[1].reshape(-1) for numbers in (sets, thresholds))
    table = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1))
    np.add.at(table, (rows, columns), 1.0)
    choices = _choices(table.shape[1], min(most_thresholds, table.shape[1]))
    found = []
    while table.any():
        held = table @ choices
        liking = np.where(held == table.sum(axis=1, keepdims=True), 2.0 * held, held)
        kept = min(most_sets, len(table))
        best = int(np.partition(liking, len(table) - kept, axis=0)[-kept:].sum(axis=0).argmax())
        block = np.argsort(-liking[:, best], kind="stable")[:kept]
        inside = np.isin(rows, block) & (choices[columns, best] > 0) & (table[rows, columns] > 0)
        found.append(np.flatnonzero(inside))
        table[np.ix_(block, np.flatnonzero(choices[:, best]))] = 0.0
    return found


def _choices(count: int, most: int) -> np.ndarray:
    """float64 (count, choices): 1 for the thresholds of a choice."""
    if comb(count, most) <= _CHOICES:
        chosen = np.array(list(combinations(range(count), most)))
    else:
        chosen = np.argsort(np.random.default_rng(0).random((_CHOICES, count)), axis=1)[:, :most]
    result = np.zeros((count, len(chosen)))
    result[chosen.T, np.arange(len(chosen))] = 1.0
    return result
