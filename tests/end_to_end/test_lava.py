"""Lava's CPU backend computes what the scalar oracle computes: every spike and every state at every step."""

from __future__ import annotations

import numpy as np
import pytest

from hardware import emulate, reference
from hardware.lava.job import Task
from hardware.lava.runtime import run, run_many
from hardware.lava.synapses import fits_dense
from hardware.models import MODELS
from hardware.program import Program
from hardware.random_programs import random_inputs, random_program
from tests.end_to_end.lava_support import assert_same, runtime_python

SEED = 20


@pytest.fixture(scope="module", autouse=True)
def runtime():
    runtime_python()


def program_that_fits_dense(rng: np.random.Generator, **arguments) -> Program:
    """Lava's Dense needs one more bit of room than the contract promises; few random programs use that bit."""
    while True:
        program = random_program(rng, **arguments)
        if fits_dense(program):
            return program


def compare_with_oracle(tasks: list[Task], seed: object) -> None:
    for number, (task, result) in enumerate(zip(tasks, run_many(tasks), strict=True)):
        expected = reference.run(task.program, task.inputs, "all")
        models = "+".join(layer.model for layer in task.program.layers)
        assert_same(result.trace, expected, f"seed {seed}, program {number} ({models}, {result.trace.engine})")
        assert result.trace.engine == f"lava[{task.connections}]"


@pytest.mark.parametrize("connections", ["dense", "batched"])
def test_brf_and_li_equal_the_oracle_in_every_state_at_every_step(connections):
    rng = np.random.default_rng(SEED)
    tasks = []
    for _ in range(6):
        program = program_that_fits_dense(rng, layers=2, models=("brf", "li"), sizes=(1, 10), recurrent=1.0)
        tasks.append(Task(program, random_inputs(rng, program, T=40, B=3), "all", connections))
    compare_with_oracle(tasks, SEED)


@pytest.mark.parametrize("model", [name for name, spec in MODELS.items()])
def test_every_model_equals_the_oracle_with_lavas_own_dense_and_with_ours(model):
    rng = np.random.default_rng([SEED, list(MODELS).index(model)])
    tasks = []
    for _ in range(3):
        program = program_that_fits_dense(rng, layers=(1, 3), models=(model,), sizes=(1, 8))
        inputs = random_inputs(rng, program, T=40, B=2)
        tasks += [Task(program, inputs, "all", connections) for connections in ("dense", "batched")]
    compare_with_oracle(tasks, SEED)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_of_every_width_and_sign_reach_lavas_dense_unchanged(bits):
    rng = np.random.default_rng([SEED, bits])
    tasks = []
    for sign in (1, -1):
        program = program_that_fits_dense(rng, layers=2, models=("lif", "li"), sizes=6, weight_bits=bits, recurrent=1.0)
        program = with_weights_of_one_sign(program, sign)
        tasks.append(Task(program, random_inputs(rng, program, T=30, B=2), "all", "dense"))
    compare_with_oracle(tasks, [SEED, bits])


def with_weights_of_one_sign(program: Program, sign: int) -> Program:
    from dataclasses import replace

    def of_sign(synapses):
        return None if synapses is None else replace(synapses, weight=sign * np.abs(synapses.weight))

    layers = tuple(replace(la, input=of_sign(la.input), recurrent=of_sign(la.recurrent)) for la in program.layers)
    return Program.chain(layers, program.input, program.decision)


def test_samples_split_between_both_kinds_of_connections_are_put_together_again():
    rng = np.random.default_rng(SEED)
    program = program_that_fits_dense(rng, layers=2, models=("brf", "li"), sizes=5)
    inputs = random_inputs(rng, program, T=50, B=5)
    seen: list[tuple[int, int, int]] = []
    trace = run(program, inputs, ("u/readout",), connections=2, progress=lambda *at: seen.append(at))
    assert trace.engine == "lava[dense 2, batched 3]"
    assert_same(trace, reference.run(program, inputs, ("u/readout",)), f"seed {SEED}")
    steps = [step for _, step, _ in seen]
    assert steps == sorted(steps) and seen[-1][1] == seen[-1][2]


def test_more_samples_than_a_group_run_in_rounds_and_equal_the_oracle():
    rng = np.random.default_rng(SEED)
    program = random_program(rng, layers=1, models=("alif",), sizes=3, recurrent=1.0)
    inputs = random_inputs(rng, program, T=6, B=70)  # one full group of 64, and a part of one
    compare_with_oracle([Task(program, inputs, "all", "batched")], SEED)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(8))
def test_two_hundred_random_programs_equal_the_oracle(chunk):
    rng = np.random.default_rng([SEED, chunk])
    tasks = []
    for index in range(26):
        program = random_program(rng, layers=(1, 4), sizes=(1, 12))
        connections = "dense" if index % 2 and fits_dense(program) else "batched"
        tasks.append(Task(program, random_inputs(rng, program, T=60, B=2), "all", connections))
    compare_with_oracle(tasks, [SEED, chunk])


@pytest.mark.slow
def test_sixteen_sequences_of_the_size_of_the_ecg_task_equal_the_emulator_through_lavas_own_dense():
    rng = np.random.default_rng(SEED)
    while True:  # a network that is neither silent nor always firing
        program = program_that_fits_dense(
            rng, layers=2, models=("brf", "li"), sizes=36, inputs=4, recurrent=1.0, border=False, coefficient_bits=12
        )
        inputs = random_inputs(rng, program, T=1300, B=16)
        expected = emulate(program, inputs, "all")
        if program.layers[1].model == "li" and 0.01 < expected.spikes["hidden0"].mean() < 0.5:
            break
    result = run_many([Task(program, inputs, "all")])[0]
    assert result.trace.engine == "lava[dense]"
    assert_same(result.trace, expected, f"seed {SEED}")
    seconds = sum(timing["run_s"] for timing in result.timings)
    print(f"{1e3 * seconds / inputs.shape[0] / inputs.shape[1]:.2f} ms per step and sample")
