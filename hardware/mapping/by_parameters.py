"""Cores filled by what their neurons share: parameter sets and thresholds, across populations.

Where a core holds few different ones, population after population meets the same time constants again and again, on
other cores each time. Here the sets are cut into as many blocks as cores hold, the thresholds likewise, and a core
takes neurons of all populations from one block of each.
"""

from __future__ import annotations

import numpy as np

from hardware.mapping.demand import Needs
from hardware.mapping.partition import Core, Orders, extend, into_cores, placed
from hardware.populations import Population

LIMITS = ("parameter_sets_per_core", "thresholds_per_core")


def by_parameters(needs: Needs, orders: Orders) -> list[Core] | None:
    """A plan, or None where all sets and all thresholds fit onto every core."""
    populations = [item for item in needs.program.populations if item.name in orders]
    blocks = [_blocks(needs, populations, which) for which in range(2)]
    if not populations or all(block is None for block in blocks):
        return None
    keys = {}
    for item in populations:
        key = np.zeros(item.size, np.int64)
        for which, block in enumerate(blocks):
            if block is not None:
                key = key * (int(block.max()) + 1) + block[needs.sets[item.name][which]]
        keys[item.name] = key
    cores: list[Core] = []
    for key in np.unique(np.concatenate(list(keys.values()))):
        parts = [(item, orders[item.name][keys[item.name][orders[item.name]] == key]) for item in populations]
        here: list[Core] = []
        for item, part in sorted(parts, key=lambda pair: len(pair[1]), reverse=True):
            start = into_cores(needs, item, part, 0, [*here, *cores])
            while start < len(part):
                stop = extend(needs, item, part, start)
                here.append(Core())
                here[-1].add(placed(needs, item, part[start:stop]))
                start = stop
        cores += here
    return cores


def _blocks(needs: Needs, populations: list[Population], which: int) -> np.ndarray | None:
    """Number of each set -> its block, sets of many populations together; None where a core holds all of them."""
    most = needs.target.most(LIMITS[which])
    each = [np.unique(needs.sets[item.name][which]) for item in populations]
    names, shared = np.unique(np.concatenate(each), return_counts=True) if each else (np.empty(0, np.int64),) * 2
    if not most or len(names) <= most:
        return None
    blocks = np.zeros(int(names.max()) + 1, np.int64)
    blocks[names[np.argsort(-shared, kind="stable")]] = np.arange(len(names)) // most
    return blocks
