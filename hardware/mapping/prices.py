"""A stronger bound on cores: a price for each neuron, such that what one core can hold is never worth more than 1.

All neurons together are then worth no more than the cores that hold them. Any prices give a bound once they are divided
by the worth of the best core; better ones are found by lowering the price of what that core holds (the multiplicative
weights of Plotkin, Shmoys and Tardos, 1995, for fractional covering). What a core can hold is judged by the least that
slices need (:mod:`hardware.mapping.slices`) and by one or two limits at a time, which lets it hold more than it could:
so the bound stays one.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import combinations

import numpy as np

from hardware.mapping.demand import Needs
from hardware.mapping.knapsack import most_valuable
from hardware.mapping.slices import least_needs, most_neurons

_CELLS, _COARSE = 512, 32  # of a limit and of a second one, in which what slices need is counted, rounded down
_ROUNDS, _PATIENCE = 24, 8  # of new prices; as many without a better bound end the search
_PAIRS_OF = 4  # scarcest limits that are looked at in pairs, too
_POPULATIONS = 24  # above this many the simple bounds must do


def price_bound(needs: Needs, names: Collection[str] | None, enough: int) -> tuple[int, dict[str, int]]:
    """Cores at least, and slices of each population at least.

    Args:
        names: populations that count; None: all. enough: a bound as high ends the search.
    """
    chosen = [item for item in needs.program.populations if names is None or item.name in names]
    if not chosen or len(chosen) > _POPULATIONS:
        return 1, {item.name: 1 for item in chosen}
    shares, widest = [], []
    for item in chosen:
        least = least_needs(needs, item)
        share = {name: amount / needs.target.number(name) for name, amount in least.items()}
        fits = np.all([amount <= 1.0 for amount in share.values()], axis=0) if share else np.ones(item.size + 1, bool)
        most = min(max(int(np.flatnonzero(fits)[-1]), 1), most_neurons(needs, item))
        shares.append({name: amount[: most + 1] for name, amount in share.items()})
        widest.append(most)
    slices = {item.name: -(-item.size // most) for item, most in zip(chosen, widest, strict=True)}
    sizes = np.array([item.size for item in chosen], np.float64)
    best = float(max(slices.values()))
    for cost in _costs(shares, sizes / np.array(widest)):
        prices, since = 1.0 / np.array(widest, np.float64), 0
        for turn in range(_ROUNDS):
            if math.ceil(best - 1e-6) >= enough or since >= _PATIENCE:
                break
            worth, held = most_valuable(cost, [np.arange(len(cells)) for cells in cost], prices, (_CELLS, _COARSE))
            found = float(prices @ sizes) / worth
            best, since = (found, 0) if found > best else (best, since + 1)
            prices = prices * np.exp(-held / np.array(widest) / (1.0 + 0.5 * turn))
    return math.ceil(best - 1e-6), slices


def _costs(shares: list[dict[str, np.ndarray]], slices: np.ndarray) -> list[list[np.ndarray]]:
    """Of single limits and pairs of them the cells of each population, int64 (n + 1, 2); without limits that all
    together take up once.
    """

    def taken(name: str) -> float:
        return float(np.array([share[name][-1] for share in shares]) @ slices)

    limits = sorted(shares[0], key=taken, reverse=True)
    scarce = [name for name in limits if taken(name) > 1.0]
    found = []
    for first, second in [(name, None) for name in scarce] + list(combinations(limits[:_PAIRS_OF], 2)):
        if first in scarce:
            found.append([_cells(share, first, second) for share in shares])
    return found


def _cells(share: dict[str, np.ndarray], first: str, second: str | None) -> np.ndarray:
    """int64 (n + 1, 2): cells of two limits that n neurons take, rounded down."""
    rest = np.zeros_like(share[first]) if second is None else share[second]
    result: np.ndarray = np.floor(np.stack([share[first] * _CELLS, rest * _COARSE], axis=1) + 1e-9).astype(np.int64)
    return result
