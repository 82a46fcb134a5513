"""Which neurons send to which cores, and how much goes from core to core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hardware.mapping.activity import Activity
from hardware.mapping.demand import Needs
from hardware.mapping.partition import Core


def fan_out(needs: Needs, core: Core) -> dict[str, dict[str, np.ndarray]]:
    """Source -> kind of synapses -> int64 (N_source,): synapses of each of its neurons on the core."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for piece in core.slices:
        for wiring in needs.into[piece.population]:
            counts, kinds = wiring.counts(piece.neurons), found.setdefault(wiring.projection.source, {})
            kinds[wiring.kind] = kinds[wiring.kind] + counts if wiring.kind in kinds else counts
    return found


def reached(kinds: dict[str, np.ndarray]) -> np.ndarray:
    """bool (N_source,): sources with a synapse among those of :func:`fan_out`."""
    result: np.ndarray = np.logical_or.reduce([counts > 0 for counts in kinds.values()])
    return result


def homes(needs: Needs, cores: Sequence[Core]) -> dict[str, np.ndarray]:
    """Population -> int64 (N,): core of each neuron, -1 where it has none."""
    found = {item.name: np.full(item.size, -1, np.int64) for item in needs.program.populations}
    for index, core in enumerate(cores):
        for piece in core.slices:
            found[piece.population][piece.neurons] = index
    return found


def destinations(needs: Needs, cores: Sequence[Core]) -> dict[str, np.ndarray]:
    """Input or population -> int64 (N,): cores that each neuron sends to, its own included."""
    found = {name: np.zeros(size, np.int64) for name, size in needs.program.sizes.items()}
    for core in cores:
        for source, kinds in fan_out(needs, core).items():
            found[source] += reached(kinds)
    return found


def output_axons(cores: Sequence[Core], sent: Mapping[str, np.ndarray]) -> np.ndarray:
    """int64 (cores,): pairs of neuron and destination core that start at each core.

    Args:
        sent: of :func:`destinations`.
    """
    return np.array([sum(int(sent[p.population][p.neurons].sum()) for p in core.slices) for core in cores], np.int64)


def traffic(needs: Needs, cores: Sequence[Core], activity: Activity) -> tuple[np.ndarray, np.ndarray]:
    """Messages per step, a message is a spike that goes to a core.

    Returns:
        float64 (cores, cores) from row to column, and float64 (cores,) from inputs to each core.
    """
    count, at = len(cores), homes(needs, cores)
    between, entering = np.zeros((count, count)), np.zeros(count)
    rates = {name: activity.rate(name, size) for name, size in needs.program.sizes.items()}
    for index, core in enumerate(cores):
        for source, kinds in fan_out(needs, core).items():
            messages = rates[source] * reached(kinds)
            if source not in at:
                entering[index] += messages.sum()
                continue
            known = at[source] >= 0
            between[:, index] += np.bincount(at[source][known], messages[known], count)
    return between, entering
