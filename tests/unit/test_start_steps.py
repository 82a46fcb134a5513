"""Start steps: least, right for every projection, and refused exactly where a cycle has too few steps of delay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hardware import Dense, Input, Population, Program, Projection
from hardware.random_graphs import random_graph
from hardware.start_steps import NoSchedule, line_steps, rest_steps, start_steps


def graph(edges: list[tuple[str, str, int]], count: int) -> Program:
    """``count`` neurons p0, p1, ... after one input, joined by (source, target, delay)."""
    one = np.ones(1, np.int32)
    populations = tuple(Population(f"p{i}", 1, "lif", 0 * one, {"A": one, "TH": one}, {"K": 12}) for i in range(count))
    weight = Dense(np.ones((1, 1), np.int8))
    projections = tuple(
        Projection(f"e{index}", source, target, weight, 0, delay) for index, (source, target, delay) in enumerate(edges)
    )
    return Program((Input("in", 1),), populations, projections, (f"p{count - 1}",))


def random_edges(rng: np.random.Generator, count: int) -> list[tuple[str, str, int]]:
    names = [f"p{i}" for i in range(count)]
    edges = []
    for _ in range(int(rng.integers(1, 2 * count + 2))):
        source, target = int(rng.integers(-1, count)), int(rng.integers(0, count))
        least = 0 if source < target else 1
        edges.append(("in" if source < 0 else names[source], names[target], least + int(rng.integers(0, 3))))
    return edges


def paths_by_brute_force(program: Program, longest: int) -> dict[str, int]:
    """Largest sum of ``1 - delay`` over all walks of at most ``longest`` projections that end in a population."""
    best = dict.fromkeys(program.sizes, 0)
    walks = [(projection, 1 - projection.delay) for projection in program.projections]
    for _ in range(longest):
        for projection, length in walks:
            best[projection.target] = max(best[projection.target], length)
        walks = [
            (following, length + 1 - following.delay)
            for projection, length in walks
            for following in program.projections
            if following.source == projection.target
        ]
    return best


@pytest.mark.parametrize("seed", range(60))
def test_start_steps_are_the_least_that_leave_every_projection_a_step(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 4))
    program = graph(random_edges(rng, count), count)
    brute = paths_by_brute_force(program, count + 1)
    try:
        starts = start_steps(program)
    except NoSchedule as refused:
        cycle = refused.cycle
        assert [p.target for p in cycle] == [p.source for p in (*cycle[1:], cycle[0])]
        assert refused.lacking == sum(1 - p.delay for p in cycle) > 0
        assert brute != paths_by_brute_force(program, 2 * (count + 1))  # walks round the cycle grow for ever
        return
    assert starts == brute == paths_by_brute_force(program, count + 3)
    assert min(line_steps(program, starts).values()) >= 1
    for values in itertools.product(*(range(starts[p.name] + 1) for p in program.populations)):
        found = {"in": 0, **{p.name: value for p, value in zip(program.populations, values, strict=True)}}
        if found != starts:  # nothing smaller will do
            assert min(line_steps(program, found).values()) < 1


def test_a_chain_starts_one_step_later_at_every_layer():
    program = graph([("in", "p0", 0), ("p0", "p1", 0), ("p1", "p2", 0), ("p2", "p2", 1)], 3)
    assert start_steps(program) == {"in": 0, "p0": 1, "p1": 2, "p2": 3}
    assert line_steps(program, start_steps(program)) == {"e0": 1, "e1": 1, "e2": 1, "e3": 1}


def test_a_projection_past_late_populations_gets_a_longer_line_than_any_delay_of_a_program():
    edges = [("in", "p0", 0)] + [(f"p{i}", f"p{i + 1}", 0) for i in range(4)] + [("in", "p4", 62)]
    program = graph(edges, 5)
    assert line_steps(program, start_steps(program))["e5"] == 67
    assert rest_steps(program) == 62


def test_populations_behind_delays_start_at_once():
    program = graph([("in", "p0", 5), ("p0", "p1", 1), ("p1", "p0", 1)], 2)
    assert start_steps(program) == {"in": 0, "p0": 0, "p1": 0}


def test_a_cycle_without_time_is_refused_in_one_line_that_names_it():
    edges = [("in", "p0", 0), ("p0", "p1", 0), ("p1", "p2", 0), ("p2", "p0", 1), ("p2", "p2", 1)]
    with pytest.raises(NoSchedule) as caught:
        start_steps(graph(edges, 3))
    message = str(caught.value)
    assert "\n" not in message and caught.value.lacking == 2
    assert {p.name for p in caught.value.cycle} == {"e1", "e2", "e3"}
    for words in ("'e1'", "'e2'", "'e3'", "3 projections", "a delay of 1 in all", "it lacks 2"):
        assert words in message
    assert start_steps(graph([(a, b, 3 if b == "p0" and a != "in" else d) for a, b, d in edges], 3))


def test_most_random_graphs_have_a_schedule():
    rng = np.random.default_rng(22)
    refused = 0
    for _ in range(300):
        try:
            starts = start_steps(program := random_graph(rng))
        except NoSchedule:
            refused += 1
            continue
        assert min(line_steps(program, starts).values(), default=1) >= 1
    assert 0 < refused < 60
