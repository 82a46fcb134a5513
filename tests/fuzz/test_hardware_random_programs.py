"""Random recurrent programs: oracle, NumPy emulator and compiled emulator agree in every integer of every step."""

from __future__ import annotations

import numpy as np
import pytest

from hardware import compare, emulate, reference
from hardware.models import MODELS
from hardware.random_programs import random_inputs, random_program, random_state
from hardware.ranges import analyse

ALL = tuple(MODELS)


def agree(seed: int) -> int:
    """Number of integers compared between three engines on one random program."""
    rng = np.random.default_rng([7, seed])
    program = random_program(rng, border=bool(rng.integers(4)))
    batch = int(rng.integers(1, 4))
    inputs = random_inputs(rng, program, int(rng.integers(1, 12)), batch)
    state = random_state(rng, program, batch) if rng.random() < 0.5 else None
    expected = reference.run(program, inputs, "all", state)
    compared = 0
    for backend in ("numpy", "numba"):
        found = compare(expected, emulate(program, inputs, "all", state, backend=backend), program)
        assert found.equal, f"seed {seed}, {backend}: {found.first_divergence}"
        compared += found.compared
    return compared


def test_three_engines_agree_on_300_random_programs() -> None:
    assert sum(agree(seed) for seed in range(300)) > 100_000


@pytest.mark.slow
def test_three_engines_agree_on_10000_random_programs() -> None:
    assert sum(agree(seed) for seed in range(10_000)) > 10**6


def test_random_programs_reach_what_they_are_meant_to_reach() -> None:
    """Every model, every option, spikes and silence, saturation at both ends, all weight widths."""
    models, options, bits, rates, ends = set(), set(), set(), [], [0, 0]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        program = random_program(rng)
        trace = emulate(program, random_inputs(rng, program, 10, 2), "all", backend="numpy")
        rates += [float(spikes.mean()) for spikes in trace.spikes.values()]
        for key, value in trace.states.items():
            if not (program.layer(key.split("/")[1]).model == "cuba_lif" and key.startswith("u")):
                ends[0] += int((value == -(2**23) + 1).sum())
                ends[1] += int((value == 2**23 - 1).sum())
        for layer in program.layers:
            models.add(layer.model)
            options |= set(layer.options.items())
            bits.add(layer.input.weight_bits)
    assert models == set(ALL)
    assert options == {
        ("adaptation_spike", "current"),
        ("adaptation_spike", "previous"),
        ("reset", "subtract"),
        ("reset", "zero"),
        ("fires", "above"),  # what came with 2.2: tests/fuzz/test_counts.py
        ("spikes", "one"),
        ("reset_at", "same"),  # the other places of a reset: random graphs and the exhaustive test of resets
    }
    assert bits == set(range(2, 9))
    assert min(ends) > 100
    assert sum(0.02 < rate < 0.9 for rate in rates) > len(rates) // 3


def test_what_ranges_prove_is_never_exceeded() -> None:
    proved = 0
    for seed in range(150):
        rng = np.random.default_rng([8, seed])
        program = random_program(rng, border=bool(seed % 2))
        trace = emulate(program, random_inputs(rng, program, 60, 4), "all")
        for item in analyse(program, trace).states:
            values = trace.states[f"{item.state}/{item.layer}"].reshape(-1, item.low.size)
            sure = item.proved
            proved += int(sure.sum())
            assert (values.min(axis=0) >= item.low)[sure].all(), f"seed {seed}, {item.state}/{item.layer}"
            assert (values.max(axis=0) <= item.high)[sure].all(), f"seed {seed}, {item.state}/{item.layer}"
            assert item.observed == (int(values.min()), int(values.max()))
    assert proved > 500
