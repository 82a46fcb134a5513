"""ONNX Runtime and the scalar oracle compute the same integers on random programs, at every step."""

from __future__ import annotations

import numpy as np
import pytest

from export.onnx.runtime import OnnxNetwork, model
from hardware import Program, Trace, reference
from hardware.random_programs import random_inputs, random_program, random_state

SEED = 20_240_611


def program_of(seed: int) -> tuple[Program, np.random.Generator]:
    rng = np.random.default_rng([SEED, seed])
    return random_program(rng, layers=(1, 3), sizes=(1, 6), inputs=(1, 5)), rng


def assert_same(expected: Trace, actual: Trace, seed: int) -> None:
    a, b = expected.arrays(), actual.arrays()
    assert a.keys() == b.keys(), f"seed {seed}"
    for name, value in a.items():
        assert value.dtype == b[name].dtype, f"seed {seed}: {name}"
        different = np.argwhere(value != b[name])
        assert not len(different), f"seed {seed}: {name} differs first at (step, sample, neuron) {different[0]}"


def check_scan(seed: int) -> None:
    program, rng = program_of(seed)
    inputs = random_inputs(rng, program, T=8, B=2)
    expected = reference.run(program, inputs, "all")
    assert_same(expected, OnnxNetwork.open(model(program), threads=1).run(inputs, "all"), seed)


def check_step(seed: int) -> None:
    """One step from random states, border values included."""
    program, rng = program_of(seed)
    inputs = random_inputs(rng, program, T=1, B=8)
    state = random_state(rng, program, 8)
    expected = reference.run(program, inputs, "all", state).arrays()
    previous = {**state.states, **{f"spikes/{name}": value for name, value in state.spikes.items()}}
    found = OnnxNetwork.open(program, "step", threads=1).step(inputs[0], previous)
    for name, value in expected.items():
        assert np.array_equal(value[0], found[name]), f"seed {seed}: {name}"


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_scan_form_equals_the_oracle_on_random_programs(first: int) -> None:
    for seed in range(first, first + 50):
        check_scan(seed)


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_step_form_equals_the_oracle_from_random_states(first: int) -> None:
    for seed in range(first, first + 50):
        check_step(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_both_forms_equal_the_oracle_on_ten_thousand_random_programs(first: int) -> None:
    for seed in range(first, first + 500):
        check_scan(seed)
        check_step(seed)
