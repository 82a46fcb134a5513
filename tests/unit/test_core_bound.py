"""The lower bound on cores against the true optimum: every way to put the neurons of tiny networks onto cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hardware import Convolution, ProgramBuilder, Sparse
from hardware.mapping import make_plan
from hardware.mapping.bounds import core_bound, stronger_bound
from hardware.mapping.demand import Needs, total
from hardware.mapping.prices import price_bound
from hardware.mapping.slices import least_needs, most_neurons
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
        names = [item.name for item in program.populations]
        stronger = max(stronger_bound(needs, names, core_bound(needs), best + 1).values())
        bound = max(bound, stronger, price_bound(needs, names, 99)[0])
        assert bound <= best, f"seed {seed}: bound {bound}, but {best} cores are enough"
        found, reached = found + 1, reached + (bound == best)
        plan = make_plan(program, chip)
        if plan.fits:
            assert len(plan.cores) >= best, f"seed {seed}"
            planned += len(plan.cores) <= best + 1
    assert found >= 15 and reached >= found // 2 and planned >= found // 2, (found, reached, planned)


def kinds(rng: np.random.Generator):
    """A population of twelve neurons by dense, by sparse or by convolutional synapses, another one beside it."""
    graph, kind = ProgramBuilder(), ("dense", "sparse", "convolution")[int(rng.integers(3))]
    picture = (int(rng.integers(1, 3)), 3, 4)
    channels = int(np.prod(picture)) if kind == "convolution" else int(rng.integers(2, 200))
    graph.input("in", picture if kind == "convolution" else (channels,))
    parameters: dict[str, object] = dict(PARAMETERS["cuba_lif"])
    parameters["du"], parameters["vth"] = rng.integers(0, 7, 12), rng.integers(1, 4, 12)
    synapses: object = ones(12, channels)
    if kind == "convolution":
        synapses = Convolution.of(rng.integers(-3, 4, (1, picture[0], 3, 3)).astype(np.int8), picture, (1, 1), (1, 1))
    elif kind == "sparse":
        density = np.where(np.arange(channels) % 3 == 0, rng.uniform(0, 1), rng.uniform(0, 0.5))
        synapses = Sparse.from_matrix((rng.random((12, channels)) < density).astype(np.int8), int(rng.integers(2, 9)))
    graph.population("mine", (1, 3, 4) if kind == "convolution" else 12, "cuba_lif", parameters)  # type: ignore[arg-type]
    graph.project("in", "mine", synapses, weight_bits=int(rng.integers(2, 9)))  # type: ignore[arg-type]
    graph.project("mine", "mine", Sparse.from_matrix((rng.random((12, 12)) < 0.3).astype(np.int8), 8), delay=1)
    graph.population("other", 3, "cuba_lif", dict(PARAMETERS["cuba_lif"], du=rng.integers(0, 4, 3)))
    graph.project("mine", "other", ones(3, 12))
    return graph.build()


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
def test_no_slice_of_n_neurons_needs_less_than_the_least(target):
    """All 4,095 slices of twelve neurons, of 12 networks."""
    chip = load_target(target, ["parameter_sets_per_core=3", "thresholds_per_core=2"])
    reached = 0
    for seed in range(12):
        program = kinds(np.random.default_rng(seed))
        needs, mine = Needs(program, chip), program.population("mine")
        least, most = least_needs(needs, mine), most_neurons(needs, mine)
        others = [needs.sets["other"][which] for which in range(2)]
        for number in range(1, 4096):
            neurons = np.flatnonzero(number >> np.arange(12) & 1)
            demand = needs.of(mine, neurons)
            amounts = demand.amounts()
            amounts["parameter_sets_per_core"] = len(demand.parameter_sets - set(others[0].tolist()))
            amounts["thresholds_per_core"] = len(demand.thresholds - set(others[1].tolist()))
            for name, amount in least.items():
                assert amount[len(neurons)] <= amounts[name] + 1e-9, (seed, name, neurons)
                reached += amount[len(neurons)] == amounts[name]
            assert needs.fits(demand) <= (len(neurons) <= most)
    assert reached > 12 * 4095


def test_overlaps_say_more_than_the_number_of_synapses():
    """Sources that 60 of 400 random neurons reach: nearly all; the synapses of one source could lie on the 60."""
    rng = np.random.default_rng(0)
    graph = ProgramBuilder()
    graph.input("in", 500)
    graph.population("mine", 400, "cuba_lif", dict(PARAMETERS["cuba_lif"]))
    matrix = (rng.random((400, 500)) < 0.3).astype(np.int8)
    graph.project("in", "mine", Sparse.from_matrix(matrix, 8))
    needs = Needs(graph.build(), load_target("loihi1"))
    least = least_needs(needs, needs.program.populations[0])["input_axons_per_core"]
    alike = np.argsort(matrix @ matrix[0].astype(np.int64))[-60:]  # those that share most sources with the first
    for chosen in (alike, *(rng.choice(400, 60, replace=False) for _ in range(50))):
        assert 400 < least[60] <= int(matrix[chosen].any(axis=0).sum())
