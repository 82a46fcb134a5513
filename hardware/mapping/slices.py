"""What a slice of n neurons of a population needs at least on a core, whichever neurons they are."""

from __future__ import annotations

import numpy as np

from hardware.mapping.demand import PARAMETER_LIMITS, Needs
from hardware.mapping.wiring import Wiring
from hardware.populations import Population
from hardware.synapses import Convolution, Sparse

_LARGEST = 2500  # neurons of a population up to which overlaps of their sources are looked at
_SLACK = 1 + 1e-9  # rounding of an eigenvalue


def least_needs(needs: Needs, population: Population) -> dict[str, np.ndarray]:
    """Limit -> float64 (N + 1,), of it what n neurons on one core take at least, n = 0 ... N; never falling in n.

    Parameter sets and thresholds that other populations have, too, are not counted.
    """
    size, number = population.size, needs.target.number
    n = np.arange(size + 1, dtype=np.float64)
    bits, axons = np.zeros(size + 1), np.zeros(size + 1)
    for wiring in needs.into[population.name]:
        reached = _reached(wiring)
        axons += reached
        bits += _bits(wiring, reached)
    found = {
        "neurons_per_core": n,
        "synapse_bits_per_core": bits,
        "input_axons_per_core": axons,
        "memory_bits_per_core": bits + axons * number("axon_bits") + n * number("neuron_bits"),
        "delay_slots_per_core": n * needs.delay_slots(population),
        "parameter_sets_per_core": _names(needs, population, 0),
        "thresholds_per_core": _names(needs, population, 1),
    }
    return {name: np.maximum.accumulate(amount) for name, amount in found.items() if needs.target.most(name)}


def most_neurons(needs: Needs, population: Population) -> int:
    """Neurons on a core at most, by its number of parameter sets and of thresholds."""
    sets, thresholds = needs.sets[population.name]
    most = [needs.target.most(name) for name in PARAMETER_LIMITS]
    found = population.size
    for numbers, limit in zip((sets, thresholds), most, strict=True):
        if limit:
            found = min(found, int(np.sort(np.unique(numbers, return_counts=True)[1])[::-1][:limit].sum()))
    return max(found, 1)


def _names(needs: Needs, population: Population, which: int) -> np.ndarray:
    """Fewest different ones, of those that no other population has."""
    own = needs.sets[population.name][which]
    others = [needs.sets[item.name][which] for item in needs.program.populations if item.name != population.name]
    shared = np.isin(own, np.concatenate(others)) if others else np.zeros(own.size, np.bool_)
    counts = np.sort(np.unique(own[~shared], return_counts=True)[1])[::-1]
    ends = np.concatenate([[0], np.cumsum(counts)])
    n = np.maximum(np.arange(own.size + 1) - int(shared.sum()), 0)
    result: np.ndarray = np.searchsorted(ends, n, side="left").astype(np.float64)
    return result


def _bits(wiring: Wiring, reached: np.ndarray) -> np.ndarray:
    """Fewest bits of the lists of n neurons' synapses, by the sources that they have at least."""
    n, synapse, packing = np.arange(len(reached)), wiring.synapse_bits, wiring.packing
    if isinstance(wiring.synapses, Convolution):
        kernel, places = wiring.synapses.kernel, int(np.prod(wiring.synapses.out_shape[1:]))
        if wiring.kernel_once:
            channels = -(-n // places)
            return (channels * int(kernel[0].size) * synapse).astype(np.float64)
        return np.where(n > 0, int(packing.bits(np.array(1), synapse)) * kernel.shape[1], 0).astype(np.float64)
    if wiring.kind == "dense":
        lists: np.ndarray = reached * packing.bits(n, synapse)
        return lists
    fewest = np.concatenate([[0], np.cumsum(np.sort(wiring.fan_in))]).astype(np.float64)
    longest = np.arange(1, int(wiring.counts(np.arange(wiring.targets)).max(initial=1)) + 1)
    sizes = packing.bits(longest, synapse).astype(np.float64)
    best = fewest * float((sizes / longest).min())
    # A list of c synapses takes at least a + b c, a line below all sizes: so many lists, so many synapses.
    for slope in np.unique((sizes[-1] - sizes[:-1]) / np.maximum(longest[-1] - longest[:-1], 1))[:64]:
        base = float((sizes - slope * longest).min())
        if base > 0:
            best = np.maximum(best, base * reached + slope * fewest)
    return best


def _reached(wiring: Wiring) -> np.ndarray:
    """Sources that n neurons have at least, float64 (N + 1,)."""
    size = wiring.targets
    if wiring.projection.synapses.kind == "dense":
        return np.where(np.arange(size + 1) > 0, float(wiring.sources), 0.0)
    inward = np.sort(wiring.fan_in).astype(np.float64)
    fewest = np.concatenate([[0.0], np.cumsum(inward)])
    best = np.concatenate([[0.0], inward])  # one of n neurons has as many as the n-th smallest
    best = np.maximum(best, _by_counting(wiring, fewest))
    if isinstance(wiring.synapses, Sparse) and size <= _LARGEST:
        best = np.maximum(best, _by_overlap(wiring, fewest))
    return np.maximum.accumulate(np.ceil(best - 1e-6))


def _by_counting(wiring: Wiring, fewest: np.ndarray) -> np.ndarray:
    """A source gives n neurons no more synapses than n, nor than it has."""
    degrees = np.sort(wiring.counts(np.arange(wiring.targets)))[::-1].astype(np.int64)
    degrees = degrees[degrees > 0]
    found = np.zeros(len(fewest))
    if isinstance(wiring.synapses, Convolution):
        most = np.cumsum(degrees)
        return np.minimum(np.searchsorted(most, fewest - 0.5) + 1, len(most)) * (fewest > 0)
    for n in np.unique(np.linspace(1, len(fewest) - 1, 200).astype(np.int64)):
        sums = np.cumsum(np.minimum(degrees, n))
        found[n] = np.searchsorted(sums, fewest[n] - 0.5) + 1 if fewest[n] > 0 else 0
    return np.maximum.accumulate(found)


def _by_overlap(wiring: Wiring, fewest: np.ndarray) -> np.ndarray:
    """Neurons whose sources overlap little have many together.

    Of n neurons let c_j be the synapses of source j. ``sum c_j^2`` is the sum of all overlaps of two of them, at most
    ``mean n^2 + lambda n`` by the largest eigenvalue of the overlaps less their mean; ``(sum c)^2 / sum c^2`` sources
    are reached then (Cauchy and Schwarz). And ``c_j = n p_j + d_j`` with ``sum d_j^2 <= sigma^2 n``, sigma the norm of
    the matrix less its column means p: ``sum p_j^2`` over those not reached is at most ``sigma^2 / n``.
    """
    synapses = wiring.synapses
    assert isinstance(synapses, Sparse)
    target, source, _ = synapses.coo()
    matrix = np.zeros(synapses.shape)
    matrix[target, source] = 1.0
    n = np.arange(1, len(fewest), dtype=np.float64)
    overlaps = matrix @ matrix.T
    mean = float(overlaps.mean())
    squares = mean * n**2 + _largest(overlaps - mean) * n
    found = fewest[1:] ** 2 / np.maximum(squares, fewest[1:])
    means = matrix.mean(axis=0)
    centred = matrix - means
    gram = centred @ centred.T if len(centred) <= centred.shape[1] else centred.T @ centred
    sums = np.concatenate([[0.0], np.cumsum(np.sort(means[means > 0]) ** 2)])
    unreached = np.searchsorted(sums, _largest(gram) / n, side="right") - 1
    return np.concatenate([[0.0], np.maximum(found, len(sums) - 1 - unreached)])


def _largest(matrix: np.ndarray) -> float:
    """Largest eigenvalue, rounded up; 0 where all are negative."""
    return max(float(np.linalg.eigvalsh(matrix)[-1]), 0.0) * _SLACK + 1e-9
