"""Cores filled by patterns: the linear program against scipy's, plans against what must hold of every plan."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy.optimize import linprog

from hardware import ProgramBuilder
from hardware.mapping import make_plan, partition
from hardware.mapping.demand import Needs, total
from hardware.mapping.knapsack import most_valuable
from hardware.mapping.orders import best_orders
from hardware.mapping.parts import blocks, groups, whole
from hardware.mapping.patterns import Packing, solved
from hypr.mapping import load_target
from tests.mapping_networks import PARAMETERS, ones, random_network


@pytest.mark.parametrize("seed", range(20))
def test_the_linear_program_is_solved_as_by_scipy(seed):
    rng = np.random.default_rng(seed)
    parts = int(rng.integers(1, 7))
    mixed = rng.integers(0, 30, (int(rng.integers(0, 40)), parts))
    patterns = np.unique(np.concatenate([np.diag(rng.integers(1, 60, parts)), mixed[mixed.any(axis=1)]]), axis=0)
    sizes = rng.integers(1, 2000, parts)
    times, prices = solved(patterns, sizes)
    theirs = linprog(np.ones(len(patterns)), A_ub=-patterns.T, b_ub=-sizes, method="highs")
    assert times.sum() == pytest.approx(theirs.fun, rel=1e-9)
    assert (times >= 0).all() and (times @ patterns >= sizes * (1 - 1e-9)).all()
    assert (patterns @ prices <= 1 + 1e-9).all() and prices @ sizes == pytest.approx(theirs.fun, rel=1e-9)


def parts_of(needs: Needs, kind: str):
    orders = best_orders(needs, [item.name for item in needs.program.populations])
    return whole(needs, orders) if kind == "whole" else blocks(needs, orders, even=kind == "even")


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
@pytest.mark.parametrize("kind", ["whole", "full", "even"])
def test_every_neuron_is_placed_once_and_no_core_is_over_a_limit(target, kind):
    many = 0
    for seed in range(12):
        program = random_network(np.random.default_rng(seed), largest=900)
        needs = Needs(program, load_target(target))
        parts = parts_of(needs, kind)
        for item in program.populations:
            mine = [part.order for part in parts if part.population is item]
            assert np.array_equal(np.sort(np.concatenate(mine)), np.arange(item.size))
        cores = Packing(needs, parts).plan()
        for item in program.populations:
            homes = [piece.neurons for core in cores for piece in core.slices if piece.population == item.name]
            assert np.array_equal(np.sort(np.concatenate(homes)), np.arange(item.size)), seed
        for core in cores:
            assert len({piece.population for piece in core.slices}) == len(core.slices)
            again = [needs.of(program.population(piece.population), piece.neurons) for piece in core.slices]
            assert core.demand == total(again) and needs.fits(core.demand), seed
        many += len(cores) > 2
    assert many >= 3


def test_blocks_fit_a_core_together_and_groups_hold_all_that_may_meet():
    chip = load_target("loihi1")
    for seed in (12, 38, 44):
        program = random_network(np.random.default_rng(seed), largest=1500)
        needs = Needs(program, chip)
        orders = {item.name: np.arange(item.size) for item in program.populations}
        parts = blocks(needs, orders, even=seed % 2 == 0)
        assert len(parts) > len(program.populations)
        found = groups(parts)
        for a, b in combinations(range(len(parts)), 2):
            pairs = zip(parts[a].block, parts[b].block, strict=True)
            meet = all(one is None or other is None or one == other for one, other in pairs)
            assert any(a in group and b in group for group in found) == meet
        for group in found:
            for which, most in ((0, 32), (1, 8)):
                names = [needs.sets[parts[k].population.name][which][parts[k].order] for k in group]
                assert len(np.unique(np.concatenate(names))) <= most


def test_a_core_takes_what_costs_memory_next_to_what_costs_output_axons():
    """One population fills the memory, another one sends to many cores: each alone leaves half of a core empty."""
    graph = ProgramBuilder()
    graph.input("in", 8)
    graph.population("loud", 600, "cuba_lif", PARAMETERS["cuba_lif"])
    graph.population("large", 1500, "cuba_lif", PARAMETERS["cuba_lif"])
    graph.project("in", "loud", ones(600, 8))
    graph.project("loud", "large", ones(1500, 600))
    graph.project("large", "large", ones(1500, 1500), delay=1)
    chip = load_target("loihi2", ["output_axons_per_core=2400"])
    plan = make_plan(graph.build(), chip)
    names = [{piece.population for piece in core.slices} for core in plan.cores]
    assert plan.fits and len(plan.cores) <= plan.bound + 1
    assert sum(len(found) == 2 for found in names) >= len(names) // 2


@pytest.mark.parametrize(("target", "seed", "most"), [("loihi1", 14, 8), ("loihi1", 142, 16), ("loihi2", 6, 29)])
def test_patterns_need_fewer_cores_than_one_population_after_the_other(target, seed, most):
    program = random_network(np.random.default_rng(seed), largest=1500)
    plan = make_plan(program, load_target(target))
    assert plan.fits and len(plan.cores) <= most
    needs = Needs(program, load_target(target))
    orders = best_orders(needs, [item.name for item in program.populations])
    assert plan.bound <= len(plan.cores) < len(partition.layer_by_layer(needs, orders))


@pytest.mark.parametrize("seed", range(30))
def test_the_most_valuable_core_is_found_as_by_trying_all(seed):
    rng = np.random.default_rng(seed)
    kinds, room = int(rng.integers(1, 4)), (int(rng.integers(3, 20)), int(rng.integers(0, 6)))
    counts = [np.unique(rng.integers(0, 12, int(rng.integers(1, 7)))) for _ in range(kinds)]
    cells = [np.cumsum(rng.integers(0, 4, (len(number), 2)), axis=0) for number in counts]
    prices = rng.random(kinds)
    worth, held = most_valuable(cells, counts, prices, room)
    best = 0.0
    for choice in product(*(range(-1, len(number)) for number in counts)):  # -1: none of a kind
        taken = [(cells[kind][at], prices[kind] * counts[kind][at]) for kind, at in enumerate(choice) if at >= 0]
        if (sum((cost for cost, _ in taken), np.zeros(2)) <= room).all():
            best = max(best, sum(value for _, value in taken))
    assert worth == pytest.approx(best, rel=1e-12)
    assert held @ prices == pytest.approx(best, rel=1e-12)
    used = sum((cells[kind][list(counts[kind]).index(n)] for kind, n in enumerate(held) if n), np.zeros(2))
    assert (used <= room).all()
