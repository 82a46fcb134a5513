"""The torch engine on graphs: every integer, and what the next chunk starts from, are those of the NumPy emulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from hardware import Trace, compare, emulate
from hardware.models import MODELS
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_state
from hypr.integer import run
from tests.graph_cases import load_cases
from tests.loihi_traces import load_trace
from tests.paths import golden_folder
from tests.trace_engines import differences

SEED = 20_270_115
QUICK, LONG = 200, 1_000


@dataclass
class Covered:
    """What a sweep had in it; the sets say that no kind was missing."""

    compared: int = 0
    spikes: int = 0
    started: int = 0
    models: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    delays: set[int] = field(default_factory=set)
    inputs: set[int] = field(default_factory=set)
    back: int = 0


def assert_same(expected: Trace, trace: Trace, seed: int) -> None:
    """Arrays, dtypes and the final state, histories included."""
    a, b = expected.arrays(), trace.arrays()
    assert a.keys() == b.keys(), f"seed {seed}"
    for name, value in a.items():
        assert np.array_equal(value, b[name]) and value.dtype == b[name].dtype, f"seed {seed}: {name}"
    assert expected.final_state is not None and trace.final_state is not None
    for kind in ("states", "spikes", "history"):
        a, b = getattr(expected.final_state, kind), getattr(trace.final_state, kind)
        assert a.keys() == b.keys(), f"seed {seed}: final {kind}"
        for name, value in a.items():
            assert np.array_equal(value, b[name]) and value.dtype == b[name].dtype, f"seed {seed}: final {kind}/{name}"


def agree(seed: int, covered: Covered) -> None:
    rng = np.random.default_rng([SEED, seed])
    program = random_graph(rng, border=bool(rng.integers(4)))
    batch = int(rng.integers(1, 4))
    inputs = random_inputs(rng, program, int(rng.integers(1, 80)), batch)
    start = random_state(rng, program, batch) if rng.random() < 0.5 else None
    expected = emulate(program, inputs, "all", start, backend="numpy")
    trace = run(program, inputs, "all", start)
    found = compare(expected, trace, program)
    assert found.equal, f"seed {seed}: {found.first_divergence}"
    assert_same(expected, trace, seed)
    covered.compared += found.compared
    covered.spikes += sum(int(value.sum()) for value in expected.spikes.values())
    covered.started += start is not None
    covered.models |= {item.model for item in program.populations}
    covered.kinds |= {item.synapses.kind for item in program.projections}
    covered.delays |= {item.delay for item in program.projections}
    covered.inputs.add(len(program.inputs))
    order = {item.name: index for index, item in enumerate(program.populations)}
    covered.back += any(order.get(item.source, -1) > order[item.target] for item in program.projections)


def sweep(seeds: range) -> Covered:
    covered = Covered()
    for seed in seeds:
        agree(seed, covered)
    print(f"graphs {seeds.start} to {seeds.stop - 1} of {SEED}: {covered.compared} integers, {covered.spikes} spikes")
    return covered


def test_torch_equals_the_emulator_on_200_random_graphs() -> None:
    covered = sweep(range(QUICK))
    assert covered.models == set(MODELS)
    assert covered.kinds == {"dense", "sparse", "convolution"}
    assert covered.inputs == {1, 2}
    assert {0, 1, 2, 62} <= covered.delays and len(covered.delays) > 30
    assert covered.back > QUICK / 20
    assert QUICK / 3 < covered.started < 2 * QUICK / 3
    assert covered.compared > 500_000 and covered.spikes > 50_000


@pytest.mark.slow
def test_torch_equals_the_emulator_on_1000_random_graphs() -> None:
    sweep(range(QUICK, QUICK + LONG))


@pytest.mark.parametrize("seed", range(20))
def test_torch_chunk_by_chunk_equals_one_run(seed: int) -> None:
    """Cuts shorter than the longest delay too."""
    rng = np.random.default_rng([SEED, 1, seed])
    program = random_graph(rng)
    inputs = random_inputs(rng, program, 70, 2)
    whole = run(program, inputs, "all")
    cuts = [0, *sorted(int(cut) for cut in rng.choice(np.arange(1, 70), size=5, replace=False)), 70]
    state, parts = None, []
    for first, last in pairwise(cuts):
        piece = {n: x[first:last] for n, x in inputs.items()} if isinstance(inputs, dict) else inputs[first:last]
        parts.append(run(program, piece, "all", state))
        state = parts[-1].final_state
    for name, value in whole.arrays().items():
        joined = np.concatenate([part.arrays()[name] for part in parts])
        assert np.array_equal(value, joined), f"seed {seed}, cuts {cuts}: {name}"
    assert_same(whole, Trace("", whole.output, whole.spikes, whole.states, state), seed)


def test_torch_equals_every_stored_trace_of_two_independent_emulators() -> None:
    compared = 0
    for case in load_cases(golden_folder("graphs")):
        if case.refused is not None:
            continue
        expected = case.expected()
        wrong = list(differences(run(case.program(), case.inputs(), "all"), expected))
        assert not wrong, f"{case.name}: {wrong[0]}"
        compared += sum(value.size for value in expected.values())
    assert compared > 3_000_000


def test_torch_equals_every_trace_of_the_loihi_emulator() -> None:
    paths = sorted(golden_folder("loihi1").glob("*.npz"))
    assert len(paths) == 36
    for path in paths:
        program, inputs, expected = load_trace(path)
        wrong = list(differences(run(program, inputs, "all"), expected))
        assert not wrong, f"{path.stem}: {wrong[0]}"
