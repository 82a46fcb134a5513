"""ONNX Runtime computes the integers of the NumPy emulator on random graph programs, in both forms, at every step, from
the program's initial states and from random ones."""

from __future__ import annotations

import numpy as np
import pytest

from export.onnx.runtime import OnnxNetwork
from hardware import NetworkState
from hardware.emulator import Emulator
from hardware.inputs import state_limit
from hardware.program import Program
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_state
from tests.same_trace import assert_same_trace

SEED = 20_261_126
QUICK, LONG = 500, 3_000
PART = 50


def start_of(rng: np.random.Generator, program: Program) -> NetworkState | None:
    """Random states within what a state can hold, for every third program."""
    if rng.random() > 1 / 3:
        return None
    state = random_state(rng, program, 2)
    held = {key: np.clip(value, *state_limit(program, key)) for key, value in state.states.items()}
    return NetworkState(held, state.spikes, state.history)


def check(seed: int) -> None:
    rng = np.random.default_rng([SEED, seed])
    program = random_graph(rng)
    steps = int(rng.integers(1, 12)) if rng.random() < 0.7 else 70  # longer than the longest delay
    inputs, start = random_inputs(rng, program, steps, 2), start_of(rng, program)
    expected = Emulator(program).run(inputs, "all", start)
    for form in ("scan", "step"):
        found = OnnxNetwork.open(program, form, threads=1).run(inputs, "all", start)
        assert_same_trace(expected, found, f"seed {seed}, {form}")


@pytest.mark.parametrize("first", range(0, QUICK, PART))
def test_both_forms_equal_the_emulator_on_random_graphs(first: int) -> None:
    for seed in range(first, first + PART):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + LONG, PART))
def test_both_forms_equal_the_emulator_on_three_thousand_random_graphs(first: int) -> None:
    for seed in range(first, first + PART):
        check(seed)
