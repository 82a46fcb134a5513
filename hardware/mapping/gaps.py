"""Neurons into what is free on cores in use, and cores whose neurons all find a place elsewhere given up."""

from __future__ import annotations

import numpy as np

from hardware.mapping.demand import Demand, Needs
from hardware.mapping.partition import Core, placed
from hardware.populations import Population

_GIVEN_UP = 12  # emptiest cores that are tried
_FEW = 40  # cores of a plan up to which one core less is worth the time


def put(needs: Needs, population: Population, neurons: np.ndarray, core: Core) -> np.ndarray:
    """Put as many neurons onto a core as fit, next to those of the same population that are there.

    Args:
        neurons: int64 (n,), of them the first ones, those with parameters that the core holds already before others.

    Returns:
        Those that found no place, in their order.
    """
    if not len(neurons):
        return neurons
    mine = [piece.neurons for piece in core.slices if piece.population == population.name]
    others = [piece for piece in core.slices if piece.population != population.name]
    base = sum((piece.demand for piece in others), Demand())
    names = zip(needs.sets[population.name], (core.demand.parameter_sets, core.demand.thresholds), strict=True)
    known = np.all([np.isin(numbers[neurons], list(here)) for numbers, here in names if here], axis=0)
    order = neurons[np.argsort(~known, kind="stable")] if np.ndim(known) else neurons
    before = np.concatenate([*mine, np.empty(0, np.int64)])

    def fits(count: int) -> bool:
        return needs.fits(base + needs.of(population, np.concatenate([before, order[:count]])))

    if not fits(1):
        return neurons
    low, high = (len(order), len(order)) if fits(len(order)) else (1, len(order) - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    core.slices, core.demand = [], Demand()
    for piece in [*others, placed(needs, population, np.concatenate([before, order[:low]]))]:
        core.add(piece)
    return neurons[np.isin(neurons, order[low:])]


def given_up(needs: Needs, cores: list[Core], enough: int) -> list[Core]:
    """The same without cores whose neurons find a place on the others, as far as that is seen.

    Args:
        enough: cores that no plan beats.
    """
    if len(cores) > _FEW:
        return cores
    for core in sorted(cores, key=lambda one: sum(len(piece.neurons) for piece in one.slices))[:_GIVEN_UP]:
        if len(cores) <= enough:
            break
        others = [Core(list(one.slices), one.demand) for one in cores if one is not core]
        for piece in core.slices:
            population, rest = needs.program.population(piece.population), piece.neurons
            for other in others:
                rest = put(needs, population, rest, other)
            if len(rest):
                break
        else:
            return given_up(needs, others, enough)
    return cores
