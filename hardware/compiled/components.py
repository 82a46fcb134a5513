"""What must run together: populations that hear each other around some cycle, in an order in which every other source
comes first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware.populations import Population, Projection


def components(
    populations: Sequence[Population], projections: Sequence[Projection]
) -> tuple[tuple[Population, ...], ...]:
    """Strongly connected components over projections of any delay.

    Each can run over many steps once those before it have: what comes from outside is then known, at every delay.

    Returns:
        components in an order that respects all projections between them; populations of one in the program's order,
        which is the order within a step (FP-2.3).
    """
    number = {population.name: index for index, population in enumerate(populations)}
    reaches = np.eye(len(populations), dtype=bool)
    for projection in projections:
        if projection.source in number:
            reaches[number[projection.source], number[projection.target]] = True
    while True:
        further = (reaches.astype(np.float32) @ reaches.astype(np.float32)) > 0
        if np.array_equal(further, reaches):
            break
        reaches = further
    together = reaches & reaches.T
    before = reaches.sum(axis=0)  # strictly more where one component comes after another
    first = together.argmax(axis=1)
    order = sorted(set(first.tolist()), key=lambda index: (before[index], index))
    return tuple(tuple(populations[i] for i in np.flatnonzero(together[index]).tolist()) for index in order)
