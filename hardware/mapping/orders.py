"""Orders in which a population's neurons are cut into slices; neurons that share sources should be neighbours."""

from __future__ import annotations

import numpy as np

from hardware.mapping.bounds import population_bits, population_bound
from hardware.mapping.demand import PARAMETER_LIMITS, Needs
from hardware.mapping.partition import cuts, extend
from hardware.mapping.scattered import covering_blocks
from hardware.populations import Population
from hardware.synapses import Convolution, Sparse


def best_orders(needs: Needs, names: list[str]) -> dict[str, np.ndarray]:
    """For each of these populations the order with the fewest slices, the program's own where it is as good."""
    return {name: best_order(needs, needs.program.population(name)) for name in names}


def best_order(needs: Needs, population: Population, neurons: np.ndarray | None = None) -> np.ndarray:
    """The order of a population, or of some of its neurons (int64 (n,)), with the fewest slices."""
    own = np.arange(population.size, dtype=np.int64) if neurons is None else neurons
    if extend(needs, population, own, 0) == len(own):
        return own
    best, fewest = own, _key(needs, population, own)
    bound = population_bound(needs, population, population_bits(needs, population)) if neurons is None else 1
    for order in _candidates(needs, population):
        if fewest[0] <= bound and not _has_places(needs, population):
            break
        order = order if neurons is None else order[np.isin(order, neurons)]
        found = _key(needs, population, order)
        if found < fewest:
            best, fewest = order, found
    return best


def _has_places(needs: Needs, population: Population) -> bool:
    """Whether neurons have sources of their own, so that another order may need fewer axons."""
    return any(wiring.synapses.kind != "dense" for wiring in needs.into[population.name])


def _key(needs: Needs, population: Population, order: np.ndarray) -> tuple[int, int]:
    """Slices, and their input axons."""
    ends = cuts(needs, population, order)
    starts = [0, *ends[:-1]]
    axons = sum(needs.of(population, order[a:b]).input_axons for a, b in zip(starts, ends, strict=True))
    return len(ends), axons


def _candidates(needs: Needs, population: Population) -> list[np.ndarray]:
    found = []
    shape = next(
        (
            wiring.projection.synapses.out_shape
            for wiring in needs.into[population.name]
            if isinstance(wiring.projection.synapses, Convolution)
        ),
        None,
    )
    if shape is not None:
        found += _by_place(shape)
    if any(isinstance(wiring.projection.synapses, Sparse) for wiring in needs.into[population.name]):
        found.append(_by_sources(needs, population))
    found += _by_parameters(needs, population)
    return [order.astype(np.int64) for order in found]


def _by_parameters(needs: Needs, population: Population) -> list[np.ndarray]:
    """Neurons of equal parameters together; where both sets and thresholds are too many for a core, blocks of one and
    within them the other."""
    limits = [needs.target.most(name) for name in PARAMETER_LIMITS]
    ranks = [np.unique(numbers, return_inverse=True)[1].reshape(-1) for numbers in needs.sets[population.name]]
    many = [most is not None and int(rank.max()) >= most for most, rank in zip(limits, ranks, strict=True)]
    if not any(many):
        return []
    sets, thresholds = ranks
    if not all(many):
        return [np.argsort(sets if many[0] else thresholds, kind="stable")]
    blocks = [rank // max(most or 1, 1) for rank, most in zip(ranks, limits, strict=True)]
    covering = covering_blocks(sets, thresholds, *(most or 1 for most in limits))
    return [np.lexsort((sets, blocks[1])), np.lexsort((thresholds, blocks[0])), np.concatenate(covering)]


def _by_place(shape: tuple[int, int, int]) -> list[np.ndarray]:
    """All channels of a place together: along rows, along columns, and in square tiles of several sizes."""
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    rows, columns = np.indices(shape[1:])
    found = [numbers.transpose(1, 2, 0).ravel(), numbers.transpose(2, 1, 0).ravel()]
    for side in (2, 4, 8, 16, 32):
        if side < max(shape[1:]):
            places = np.lexsort((columns.ravel(), rows.ravel(), columns.ravel() // side, rows.ravel() // side))
            found.append(numbers.reshape(shape[0], -1)[:, places].T.ravel())
    return found


def _by_sources(needs: Needs, population: Population) -> np.ndarray:
    """By the mean number of a neuron's sources: bands and blocks of a sparse matrix come together."""
    centre, count = np.zeros(population.size), np.zeros(population.size)
    for wiring in needs.into[population.name]:
        synapses = wiring.projection.synapses
        if isinstance(synapses, Sparse):
            target, source, _ = synapses.coo()
            centre += np.bincount(target, source / wiring.sources, population.size)
            count += np.bincount(target, minlength=population.size)
    return np.argsort(centre / np.maximum(count, 1), kind="stable")
