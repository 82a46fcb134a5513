"""Fewest cores that a network can need: what no plan beats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hardware.mapping.demand import Needs
from hardware.mapping.prices import price_bound
from hardware.populations import Population


def core_bound(
    needs: Needs, names: Collection[str] | None = None, known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Limit -> cores that it asks for at least; the largest is the bound.

    Args:
        names: populations that count; None: all. What cannot be placed at all has no number of cores.
        known: slices that a population has at least, where more is known than :func:`population_bound` finds.

    Slices of one population share nothing but parameter sets, so its own bound says how many slices it has, and each
    slice needs all of the axons that no slicing avoids.
    """
    target = needs.target
    chosen = [item for item in needs.program.populations if names is None or item.name in names]
    if not chosen:
        return {"one": 0}
    bits = {item.name: population_bits(needs, item) for item in chosen}
    slices = {item.name: population_bound(needs, item, bits[item.name]) for item in chosen}
    slices = {name: max(number, (known or {}).get(name, 1)) for name, number in slices.items()}
    axons = [one for item in chosen for one in [_everywhere(needs, item)] * slices[item.name]]
    loose = sum(sum(_reached(needs, item)) - _everywhere(needs, item) for item in chosen)
    neurons = sum(item.size for item in chosen)
    memory = sum(bits.values()) + neurons * target.number("neuron_bits")
    memory += target.number("axon_bits") * (sum(axons) + loose)
    amounts = {
        "neurons_per_core": neurons,
        "synapse_bits_per_core": sum(bits.values()),
        "memory_bits_per_core": memory,
        "delay_slots_per_core": sum(item.size * needs.delay_slots(item) for item in chosen),
        "parameter_sets_per_core": _different(needs, slices, 0),
        "thresholds_per_core": _different(needs, slices, 1),
        "synapse_formats_per_core": len(set().union(*(needs.formats(item) for item in chosen))),
        "output_axons_per_core": _output_axons(needs, slices),
    }
    found = {"one": 1, "a population's slices": max(slices.values())}
    for name, amount in amounts.items():
        most = target.most(name)
        if most:
            found[name] = -(-amount // most)
    most = target.most("input_axons_per_core")
    if most:
        found["input_axons_per_core"] = max(bins_bound(axons, most), -(-(sum(axons) + loose) // most))
    return found


def stronger_bound(needs: Needs, names: Collection[str], found: Mapping[str, int], cores: int) -> dict[str, int]:
    """The same, with prices (:mod:`hardware.mapping.prices`): seconds for a large network, so for a plan only that has
    more cores than ``found`` asks for.

    Args:
        found: by :func:`core_bound`. cores: of the best plan.
    """
    if not names or cores <= max(found.values()):
        return dict(found)
    most, slices = price_bound(needs, names, cores)
    return {**core_bound(needs, names, slices), "all populations together": most}


def population_bits(needs: Needs, population: Population) -> int:
    """Bits that a population's synapses take at least."""
    return sum(wiring.fewest_bits() for wiring in needs.into[population.name])


def population_bound(needs: Needs, population: Population, bits: int) -> int:
    """Slices that a population has at least, all other populations left out."""
    target, size = needs.target, population.size
    amounts = {
        "neurons_per_core": size,
        "synapse_bits_per_core": bits,
        "delay_slots_per_core": size * needs.delay_slots(population),
        "memory_bits_per_core": bits + size * target.number("neuron_bits"),
        "parameter_sets_per_core": len(np.unique(needs.sets[population.name][0])),
        "thresholds_per_core": len(np.unique(needs.sets[population.name][1])),
        "input_axons_per_core": sum(_reached(needs, population)),
    }
    found = 1
    for name, amount in amounts.items():
        most = target.most(name)
        if most:
            found = max(found, -(-amount // most))
    fixed = _everywhere(needs, population) * target.number("axon_bits")
    memory = target.most("memory_bits_per_core")
    if memory and memory > fixed:  # every slice pays for the axons that each of its neurons needs
        found = max(found, -(-amounts["memory_bits_per_core"] // (memory - fixed)))
    return max(found, -(-size // _widest(needs, population)))


def _widest(needs: Needs, population: Population) -> int:
    """Most neurons of any slice, where all synapses are dense: only their number counts, parameters apart."""
    if any(wiring.projection.synapses.kind != "dense" for wiring in needs.into[population.name]):
        return population.size
    plain = ("parameter_sets_per_core", "thresholds_per_core", "output_axons_per_core")
    low, high = 1, population.size
    while low < high:
        middle = (low + high + 1) // 2
        broken = {name for name, _ in needs.of(population, np.arange(middle)).exceeds(needs.target)}
        low, high = (middle, high) if broken <= set(plain) else (low, middle - 1)
    return low


def bins_bound(items: Sequence[int], capacity: int) -> int:
    """Bins that items need at least (Martello and Toth's bound L2).

    Args:
        items: sizes; one above the capacity counts as a bin. capacity: of a bin.
    """
    sizes = np.sort(np.minimum(np.asarray(items, np.int64), capacity))
    sums = np.concatenate([[0], np.cumsum(sizes)])
    best = -(-int(sums[-1]) // capacity) if len(sizes) else 0
    middle = int(np.searchsorted(sizes, capacity // 2, side="right"))
    for least in {0, *sizes[:middle].tolist()}:
        large = int(np.searchsorted(sizes, capacity - least, side="right"))
        first = int(np.searchsorted(sizes, least, side="left"))
        between = max(0, large - max(middle, 0))
        free = between * capacity - int(sums[large] - sums[middle]) if between else 0
        small = int(sums[middle] - sums[first])
        best = max(best, len(sizes) - large + between + max(0, -(-(small - free) // capacity)))
    return best


def message_bound(needs: Needs, rates: Mapping[str, float], names: Collection[str] | None = None) -> float:
    """Messages per step that every plan sends at least: a spike goes to each slice of the target with most of them.

    Args:
        rates: spikes per step of each input and population, all neurons together.
        names: populations that are placed; None: all.
    """
    slices = {
        item.name: population_bound(needs, item, population_bits(needs, item))
        for item in needs.program.populations
        if names is None or item.name in names
    }
    found = 0.0
    for source, wirings in needs.out_of.items():
        if source in needs.into and source not in slices:
            continue  # a population that lies nowhere sends nothing
        dense = [slices.get(w.projection.target, 0) for w in wirings if w.projection.synapses.kind == "dense"]
        found += rates.get(source, 0.0) * max(dense, default=0)
    return found


def _different(needs: Needs, names: Collection[str], which: int) -> int:
    return len(np.unique(np.concatenate([needs.sets[name][which] for name in names])))


def _reached(needs: Needs, population: Population, everywhere: bool = False) -> list[int]:
    """Sources of each projection that reach the population, or all of its neurons (dense synapses alone say)."""
    found = []
    for wiring in needs.into[population.name]:
        if wiring.projection.synapses.kind == "dense":
            found.append(wiring.sources)
        elif not everywhere:
            found.append(int(np.count_nonzero(wiring.counts(np.arange(wiring.targets)))))
    return found


def _everywhere(needs: Needs, population: Population) -> int:
    """Input axons that each slice needs; what else the population needs may be spread over its slices as one likes."""
    return sum(_reached(needs, population, everywhere=True))


def _output_axons(needs: Needs, slices: Mapping[str, int]) -> int:
    """Pairs of neuron and core at least; of the targets of one source each has slices on that many cores."""
    found = 0
    for source, wirings in needs.out_of.items():
        dense = [slices.get(w.projection.target, 0) for w in wirings if w.projection.synapses.kind == "dense"]
        if source in slices and dense:
            found += needs.program.sizes[source] * max(dense)
    return found
