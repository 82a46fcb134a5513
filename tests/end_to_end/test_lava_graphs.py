"""Graph programs on Lava's CPU backend: delays, feedback, late populations, several inputs, initial states; every spike
and every state at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware import Convolution, Dense, Input, Population, Program, Projection, Sparse
from hardware.emulator import emulate
from hardware.lava import runtime
from hardware.lava.assignment import assign
from hardware.lava.job import Task
from hardware.lava.runtime import run, run_many
from hardware.lava.synapses import fits_dense
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_state
from hardware.start_steps import NoSchedule, start_steps
from hardware.trace import NetworkState, Trace
from tests.count_graphs import random_count_program
from tests.end_to_end.lava_support import assert_same, runtime_python
from tests.end_to_end.test_lava_failures import in_runtime
from tests.graph_cases import GraphCase, load_cases
from tests.loihi_traces import load_trace
from tests.paths import golden_folder

SEED = 22


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


def kind(program: Program, number: int) -> str:
    """Lava's own Dense, one sample after another, in every other program that it can hold."""
    return "dense" if number % 2 and fits_dense(program) else "batched"


def golden() -> list[GraphCase]:
    return [case for case in load_cases(golden_folder("graphs")) if case.path.parent.name == "graphs"]


def compare_with_golden(cases: list[GraphCase], kinds: list[str]) -> None:
    tasks = [
        Task(case.program(), case.inputs(), "all", connections) for case, connections in zip(cases, kinds, strict=True)
    ]
    for case, result in zip(cases, run_many(tasks), strict=True):
        found = result.trace.arrays()
        for key, value in case.expected().items():
            assert np.array_equal(found[key], value), (case.name, key, result.trace.engine)


def test_graphs_with_traces_of_independent_emulators_are_equal_in_every_state_and_spike():
    cases = sorted(golden(), key=lambda case: (max(start_steps(case.program()).values()), case.name))
    chosen = cases[-14:] + [case for case in cases if case.name.startswith("extreme")][:10]
    kinds = [kind(case.program(), number) for number, case in enumerate(chosen)]
    assert len(chosen) >= 20 and kinds.count("dense") >= 5
    compare_with_golden(chosen, kinds)


@pytest.mark.slow
@pytest.mark.parametrize("connections", ["dense", "batched"])
def test_all_graphs_with_traces_of_independent_emulators_are_equal(connections):
    cases = [case for case in golden() if connections == "batched" or fits_dense(case.program())]
    assert len(cases) >= 40
    compare_with_golden(cases, [connections] * len(cases))


def test_traces_of_an_emulator_of_the_loihi_chip_are_equal_in_every_spike_and_membrane():
    folder = golden_folder("loihi1")
    compare_with_loihi1(sorted(folder.glob("graph*.npz"))[:10] + sorted(folder.glob("chain*.npz"))[:2])


@pytest.mark.slow
def test_all_traces_of_an_emulator_of_the_loihi_chip_are_equal():
    compare_with_loihi1(sorted(golden_folder("loihi1").glob("*.npz")))


def compare_with_loihi1(paths: list[Path]) -> None:
    cases = [load_trace(path) for path in paths]
    results = run_many([Task(program, inputs, "v", "dense") for program, inputs, _ in cases])
    for path, (_, _, expected), result in zip(paths, cases, results, strict=True):
        for key, value in expected.items():
            assert np.array_equal(result.trace.arrays()[key], value), (path.stem, key)


def random_tasks(rng: np.random.Generator, count: int, **choice: Any) -> Iterator[Task]:
    while count:
        program = random_graph(rng, delays=(0, 12), **choice)
        try:
            start_steps(program)
        except NoSchedule:
            continue
        yield Task(program, random_inputs(rng, program, T=int(rng.integers(8, 30)), B=2), "all", kind(program, count))
        count -= 1


def compare_with_emulator(tasks: list[Task], seed: object) -> None:
    for number, (task, result) in enumerate(zip(tasks, run_many(tasks), strict=True)):
        expected = emulate(task.program, task.inputs, "all", task.initial_state, backend="numpy")
        where = f"seed {seed}, program {number} ({result.trace.engine})"
        assert_same(result.trace, expected, where)
        assert_same_state(result.trace, expected, where)


def assert_same_state(found: Trace, expected: Trace, where: str) -> None:
    one, other = found.final_state, expected.final_state
    assert one is not None and other is not None
    for part in ("states", "spikes", "history"):
        mine, theirs = getattr(one, part), getattr(other, part)
        assert mine.keys() == theirs.keys(), where
        for key, value in theirs.items():
            assert np.array_equal(mine[key], value), (where, part, key)


def test_forty_random_graphs_equal_the_emulator():
    compare_with_emulator(list(random_tasks(np.random.default_rng(SEED), 40)), SEED)


def test_random_graphs_with_every_reset_equal_the_emulator_from_any_state():
    rng = np.random.default_rng([SEED, 7])
    tasks = list(random_tasks(rng, 30, models=("lif", "cuba_lif"), resets=True))
    tasks[::2] = [replace(t, initial_state=random_state(rng, t.program, 2)) for t in tasks[::2]]
    drawn = [(p.model, p.options["reset"], p.options["reset_at"]) for t in tasks for p in t.program.populations]
    assert len(set(drawn)) == 14
    compare_with_emulator(tasks, [SEED, 7])


def test_random_programs_that_send_counts_equal_the_emulator():
    tasks = []
    for seed in range(60):
        rng = np.random.default_rng([SEED, 9, seed])
        program = random_count_program(rng, chain=seed % 3 == 0)
        try:
            start_steps(program)
        except NoSchedule:
            continue
        tasks.append(Task(program, random_inputs(rng, program, 8, 2), "all", kind(program, seed)))
    compare_with_emulator(tasks[:30], [SEED, 9])
    assert max(int(emulate(t.program, t.inputs).output.max()) for t in tasks[:30]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(5))
def test_two_hundred_random_graphs_equal_the_emulator(chunk):
    compare_with_emulator(list(random_tasks(np.random.default_rng([SEED, chunk]), 40)), [SEED, chunk])


def test_a_run_goes_on_from_any_state_also_in_several_rounds():
    rng, tasks = np.random.default_rng([SEED, 1]), []
    for task in random_tasks(rng, 12):
        state = random_state(rng, task.program, 2)
        for key, value in state.states.items():
            if key.startswith("q/"):
                value[:] = np.abs(value)
        tasks.append(replace(task, initial_state=state))
    compare_with_emulator(tasks, [SEED, 1])


def test_a_sequence_in_two_parts_equals_the_whole():
    rng = np.random.default_rng([SEED, 2])
    task = next(random_tasks(rng, 1))
    inputs = random_inputs(rng, task.program, T=20, B=3)
    named = inputs if isinstance(inputs, dict) else {task.program.inputs[0].name: inputs}
    whole = emulate(task.program, inputs, "all", backend="numpy")
    state: NetworkState | None = None
    parts = []
    for steps in (slice(0, 7), slice(7, 20)):
        some = {name: array[steps] for name, array in named.items()}
        parts.append(run(task.program, some, "all", initial_state=state))
        state = parts[-1].final_state
    for key, value in whole.arrays().items():
        assert np.array_equal(np.concatenate([part.arrays()[key] for part in parts]), value), key


def test_a_graph_without_a_schedule_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(runtime, "python_path", lambda: pytest.fail("something was started"))
    rng = np.random.default_rng(SEED)
    refused = 0
    while refused < 5:
        program = random_graph(rng)
        try:
            start_steps(program)
        except NoSchedule as error:
            refused += 1
            with pytest.raises(NoSchedule) as caught:
                run(program, random_inputs(rng, program, T=3, B=1))
            assert str(caught.value) == str(error) and "\n" not in str(error)
            assert all(f"'{projection.name}'" in str(error) for projection in error.cycle)
            assert f"it lacks {error.lacking}" in str(error)


def test_parts_that_nothing_joins_and_inputs_that_nobody_hears_run_too():
    one = np.ones(2, np.int32)
    populations = tuple(
        Population(f"p{i}", 2, "lif", 5 * one, {"A": 4000 * one, "TH": 60 * one}, {"K": 12}) for i in range(3)
    )
    weight = Dense(np.full((2, 2), 9, np.int8))
    projections = (Projection("a", "in0", "p0", weight), Projection("b", "in1", "p1", weight))
    program = Program((Input("in0", 2), Input("in1", 2), Input("unheard", 2)), populations, projections, ("p2", "p0"))
    rng = np.random.default_rng(SEED)
    tasks = [Task(program, random_inputs(rng, program, T=20, B=2), "all", c) for c in ("dense", "batched")]
    compare_with_emulator(tasks, SEED)


def lif_for_lava(rng: np.random.Generator) -> Program:
    """Two populations of lif within the limits of Lava's own LIF, at their border: the drive can reach 2^23 - 1."""
    size = int(rng.integers(1, 6))

    def lif(name: str) -> Population:
        parameters = {"A": rng.integers(0, 4097, size), "TH": 64 * rng.integers(0, 2**11, size)}
        parameters = {key: value.astype(np.int32) for key, value in parameters.items()}
        initial = {"u": rng.integers(-(2**23) + 1, 2**23, size).astype(np.int32)}
        bias = rng.integers(-(2**15), 2**15, size).astype(np.int32)
        return Population(name, size, "lif", bias, parameters, {"K": 12}, initial=initial)

    def joined(source: str, target: str, delay: int, exponent: int) -> Projection:
        weight = Dense(rng.integers(-127, 128, (size, size)).astype(np.int8))
        return Projection(f"{source}{target}{delay}", source, target, weight, exponent, delay)

    ends = (("in", "a", 0), ("a", "a", 1), ("a", "b", 0), ("in", "b", 3), ("b", "a", 2))
    for highest in range(16, 5, -1):
        projections = tuple(joined(*end, exponent=int(rng.integers(6, highest + 1))) for end in ends)
        program = Program((Input("in", size),), (lif("a"), lif("b")), projections, ("b",))
        if all(item.lavas_own for item in assign(program)):
            break
    return program


def test_lif_on_lavas_own_process_equals_the_emulator_in_every_state_and_spike():
    rng, tasks = np.random.default_rng([SEED, 3]), []
    for number in range(8):
        program = lif_for_lava(rng)
        assert all(item.lavas_own for item in assign(program))
        tasks.append(Task(program, random_inputs(rng, program, T=25, B=3), "all", kind(program, number)))
    compare_with_emulator(tasks, [SEED, 3])


def test_wrong_rests_holds_and_lines_are_noticed(python):
    """Batched connections run the three samples in one round, which no rest precedes."""
    lines = dict(line.rsplit(": ", 1) for line in in_runtime(python, "mutants").splitlines())
    for connections in ("dense", "batched"):
        assert int(lines[f"nothing, {connections}"]) == 0
        assert int(lines[f"a held population decays, {connections}"]) > 0
        assert int(lines[f"a line is a step longer, {connections}"]) > 0
    assert int(lines["one step fewer of rest, dense"]) > 0
    assert int(lines["spikes survive the rest, dense"]) > 0


def test_a_large_sparse_and_a_large_convolutional_projection_are_never_made_dense():
    """As float64 the sparse matrix alone would have 28 GB, the convolution's 5 GB."""
    rng, n = np.random.default_rng(SEED), 60_000
    target, source = rng.integers(0, n, 200_000), rng.integers(0, n, 200_000)
    sparse = Sparse.from_coo(target, source, rng.integers(-9, 10, 200_000), (n, n))
    picture = Convolution.of(rng.integers(-9, 10, (2, 1, 3, 3)).astype(np.int8), (1, 100, 120), padding=(1, 1))
    one, many = np.ones(n, np.int32), np.ones(24_000, np.int32)
    populations = (
        Population("many", n, "lif", 2 * one, {"A": 4000 * one, "TH": 9 * one}, {"K": 12}),
        Population("picture", (2, 100, 120), "lif", 0 * many, {"A": 4000 * many, "TH": 9 * many}, {"K": 12}),  # type: ignore[arg-type]
    )
    projections = (Projection("own", "many", "many", sparse, 0, 1), Projection("seen", "in", "picture", picture))
    program = Program((Input("in", (1, 100, 120)),), populations, projections, ("many",))  # type: ignore[arg-type]
    task = Task(program, random_inputs(rng, program, T=12, B=2), "all", "batched")
    compare_with_emulator([task], SEED)
