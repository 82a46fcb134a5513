"""The lower bound on cores against the true optimum: every way to put the neurons of tiny networks onto cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hardware import ProgramBuilder, Sparse
from hardware.mapping import make_plan
from hardware.mapping.bounds import core_bound
from hardware.mapping.demand import Needs, total
from hypr.mapping import load_target
from tests.mapping_networks import PARAMETERS, ones

NEURONS = 7


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """All set partitions."""
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for index in range(len(rest)):
            yield [*rest[:index], [items[0], *rest[index]], *rest[index + 1 :]]


def tiny(rng: np.random.Generator):
    """Two or three populations of seven neurons in all, dense and sparse synapses, own parameters in some."""
    graph = ProgramBuilder()
    cuts = np.sort(rng.choice(np.arange(1, NEURONS), int(rng.integers(1, 3)), replace=False))
    sources = [(graph.input("in", channels := int(rng.integers(1, 9))), channels)]
    for index, size in enumerate(np.diff([0, *cuts, NEURONS]).tolist()):
        parameters: dict[str, object] = dict(PARAMETERS["cuba_lif"])
        for name in ("du", "vth"):
            if rng.random() < 0.5:
                parameters[name] = rng.integers(1, 4, size)
        name = graph.population(f"p{index}", size, "cuba_lif", parameters)  # type: ignore[arg-type]
        sources.append((name, size))
        picked = {len(sources) - 2, int(rng.integers(len(sources)))}
        for number, (below, width) in enumerate(sources[one] for one in sorted(picked)):
            dense = rng.random() < 0.5
            matrix = (rng.random((size, width)) < 0.4).astype(np.int8)
            synapses = ones(size, width) if dense else Sparse.from_matrix(matrix, 8)
            graph.project(below, name, synapses, name=f"{name}from{number}", delay=int(below == name))
    return graph.build()


def limits(rng: np.random.Generator) -> list[str]:
    """A chip so small that several cores are needed."""
    choices = {
        "neurons_per_core": rng.integers(2, 6),
        "input_axons_per_core": rng.integers(6, 20),
        "output_axons_per_core": rng.integers(4, 16),
        "synapse_bits_per_core": 64 * rng.integers(6, 20),
        "parameter_sets_per_core": rng.integers(1, 4),
        "thresholds_per_core": rng.integers(1, 4),
    }
    chosen = rng.choice(list(choices), int(rng.integers(1, 5)), replace=False)
    return [f"{name}={int(choices[name])}" for name in chosen]


def optimum(needs: Needs) -> int | None:
    """Fewest cores that any partition of the neurons needs; None where none keeps the limits."""
    owner = [(item, index) for item in needs.program.populations for index in range(item.size)]
    best = None
    for blocks in partitions(list(range(len(owner)))):
        if best is not None and len(blocks) >= best:
            continue
        if all(fits(needs, block, blocks, owner) for block in blocks):
            best = len(blocks)
    return best


def fits(needs: Needs, block: list[int], blocks: list[list[int]], owner: list) -> bool:
    """Whether a core can hold these neurons, what they send to all cores included."""
    groups = {
        item: np.array([index for one, index in map(owner.__getitem__, block) if one is item], np.int64)
        for item in needs.program.populations
    }
    demand = total(needs.of(item, mine) for item, mine in groups.items() if len(mine))
    broken = {name for name, _ in demand.exceeds(needs.target)} - {"output_axons_per_core"}
    most = needs.target.most("output_axons_per_core")
    if broken or most is None:
        return not broken
    sent = 0
    for item, mine in groups.items():
        for neuron in mine:
            sent += sum(any(joined(needs, item.name, neuron, *owner[other]) for other in there) for there in blocks)
    return sent <= most


def joined(needs: Needs, source: str, neuron: int, target, index: int) -> bool:
    """Whether a neuron has a synapse onto another."""
    return any(
        w.projection.source == source and w.counts(np.array([index]))[neuron] > 0 for w in needs.into[target.name]
    )


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
def test_no_partition_of_a_tiny_network_needs_fewer_cores_than_the_bound(target):
    reached = planned = found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        program, chip = tiny(rng), load_target(target, limits(rng))
        needs = Needs(program, chip)
        best = optimum(needs)
        if best is None:
            continue
        bound = max(core_bound(needs).values())
        assert bound <= best, f"seed {seed}: bound {bound}, but {best} cores are enough"
        found, reached = found + 1, reached + (bound == best)
        plan = make_plan(program, chip)
        if plan.fits:
            assert len(plan.cores) >= best, f"seed {seed}"
            planned += len(plan.cores) <= best + 1
    assert found >= 15 and reached >= found // 2 and planned >= found // 2, (found, reached, planned)
