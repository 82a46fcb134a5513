"""Neurons that may share a core: whole populations, or blocks of parameters where a core holds few different ones.

Parameter sets are cut into as many blocks as cores hold, the same blocks for all populations, thresholds likewise; a
core takes neurons of one block of each. Populations of few parameters belong to every block, which leave room for them;
those of many sets and many thresholds are cut into blocks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from hardware.mapping.demand import PARAMETER_LIMITS, Needs
from hardware.mapping.orders import best_order
from hardware.mapping.partition import Orders
from hardware.mapping.scattered import covering_blocks
from hardware.populations import Population


@dataclass(frozen=True, eq=False)
class Part:
    """Neurons of a population that may share a core with each other.

    Attributes:
        population: theirs. order: their numbers, int64 (n,), neighbours first. block: of parameter sets, of thresholds;
            None: any.
    """

    population: Population
    order: np.ndarray
    block: tuple[int | None, int | None] = (None, None)


def whole(needs: Needs, orders: Orders) -> list[Part]:
    """Every population as one part."""
    return [Part(item, orders[item.name]) for item in needs.program.populations if item.name in orders]


def blocks(needs: Needs, orders: Orders, *, even: bool) -> list[Part]:
    """Parts by blocks of parameters; whole populations where all sets and all thresholds fit onto every core.

    Args:
        even: blocks of equal sizes instead of one small rest.
    """
    populations = [item for item in needs.program.populations if item.name in orders]
    cut = [_cut(needs, populations, which, even) for which in range(2)]
    found: list[Part] = []
    for item in populations:
        keys = np.stack([block[needs.sets[item.name][which]] for which, (block, _) in enumerate(cut)])
        if all(len(np.unique(key)) > 1 for key in keys):  # pairs of many: blocks of their own
            covering = covering_blocks(*needs.sets[item.name], cut[0][1], cut[1][1])
            own = [-2 - len(found) - number for number in range(len(covering))]
            found += [
                Part(item, best_order(needs, item, here), (key, key)) for key, here in zip(own, covering, strict=True)
            ]
            continue
        for key in np.unique(keys, axis=1).T:
            here = np.flatnonzero((keys == key[:, None]).all(axis=0))
            order = orders[item.name] if len(here) == item.size else best_order(needs, item, here)
            sets, thresholds = (int(number) if number >= 0 else None for number in key)
            found.append(Part(item, order, (sets, thresholds)))
    return found


def _cut(needs: Needs, populations: list[Population], which: int, even: bool) -> tuple[np.ndarray, int]:
    """Number of each set -> its block, -1 for those that every block has room for; and how many a block has room for
    beside these.
    """
    each = [np.unique(needs.sets[item.name][which]) for item in populations]
    names, shared = np.unique(np.concatenate(each), return_counts=True)
    result = np.full(int(names.max()) + 1, -1, np.int64)
    most = needs.target.most(PARAMETER_LIMITS[which])
    if not most or len(names) <= most:
        return result, len(names)
    everywhere: set[int] = set()
    for few in sorted(each, key=len):
        if len(few) <= most // 4 and len(everywhere.union(few.tolist())) <= most // 2:
            everywhere.update(few.tolist())
    free = np.isin(names, list(everywhere))
    cut = names[~free][np.argsort(-shared[~free], kind="stable")]
    room = most - len(everywhere)
    each_has = -(-len(cut) // -(-len(cut) // room)) if even else room
    result[cut] = np.arange(len(cut)) // each_has
    return result, room


def groups(parts: list[Part]) -> list[list[int]]:
    """Numbers of parts that may all lie on one core; every such set of parts lies within one of them."""
    found: list[list[int]] = []
    for a, b in product(*({part.block[which]: None for part in parts} for which in range(2))):
        here = [k for k, part in enumerate(parts) if part.block[0] in (None, a) and part.block[1] in (None, b)]
        if here and here not in found:
            found.append(here)
    return found
