"""Random programs with thresholds that fire themselves and several spikes per step (FP-3.8, FP-3.9): scalar oracle,
NumPy emulator, compiled emulator, torch and ONNX Runtime agree in every integer, in one piece and in two."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from export.onnx.runtime import OnnxNetwork
from hardware import Program, Trace, compare, emulate, reference
from hardware.models import MOST_SPIKES
from hardware.random_programs import random_inputs, random_state
from hypr.integer import run as run_in_torch
from tests.count_graphs import random_count_program
from tests.fuzz.test_all_engines_graphs import assert_same_end

SEED = 20_261_127
QUICK, LONG = 100, 5_000


def agree(seed: int, tally: Counter[object]) -> None:
    """All engines on one program; an assertion names the seed, the engine and the first differing integer."""
    rng = np.random.default_rng([SEED, seed])
    program = random_count_program(rng, chain=seed % 4 == 0)
    batch = int(rng.integers(1, 4))
    inputs = random_inputs(rng, program, int(rng.integers(2, 12)), batch)
    start = random_state(rng, program, batch) if rng.random() < 0.3 else None
    expected = reference.run(program, inputs, "all", start)
    for trace in (
        emulate(program, inputs, "all", start, backend="numpy"),
        emulate(program, inputs, "all", start, backend="numba"),
        run_in_torch(program, inputs, "all", start),
        OnnxNetwork.open(program, "step" if seed % 5 == 0 else "scan", threads=1).run(inputs, "all", start),
    ):
        found = compare(expected, trace, program)
        assert found.equal, f"seed {seed}, {trace.engine}: {found.first_divergence}"
        assert not found.not_compared, f"seed {seed}, {trace.engine}: {found.not_compared} missing"
        assert_same_end(expected, trace, seed)
        tally["compared"] += found.compared
    in_two_pieces(program, inputs, expected, start, seed)
    for item in program.populations:
        if item.spec.spiking:
            largest = int(expected.spikes[item.name].max())
            tally[item.model, item.options.get("fires", ""), item.most_spikes] += largest > 0
            tally["several"] += largest > 1
            tally["at the limit", item.most_spikes] += largest == item.most_spikes
    for projection in program.projections:
        tally[projection.synapses.kind] += 1


def in_two_pieces(program: Program, inputs: object, expected: Trace, start: object, seed: int) -> None:
    parts = []
    state = start
    for window in (slice(0, 1), slice(1, None)):
        given = {k: v[window] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[window]  # type: ignore[index]
        parts.append(emulate(program, given, "all", state))  # type: ignore[arg-type]
        state = parts[-1].final_state
    for key, value in expected.arrays().items():
        whole = np.concatenate([part.arrays()[key] for part in parts])
        assert np.array_equal(whole, value), f"seed {seed}, two pieces: {key}"


def test_five_engines_agree_on_random_programs_that_send_counts() -> None:
    tally: Counter[object] = Counter()
    for seed in range(QUICK):
        agree(seed, tally)
    for model in ("lif", "cuba_lif"):
        assert all(tally[model, "at", most] >= 3 for most in MOST_SPIKES.values()), tally
    assert all(tally["at the limit", most] >= 3 for most in MOST_SPIKES.values()), tally
    assert all(tally[kind] > 10 for kind in ("dense", "sparse", "convolution")), tally
    assert tally["several"] > 50 and tally["compared"] > 50_000, tally


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + LONG, 1000))
def test_five_engines_agree_on_five_thousand_random_programs_that_send_counts(first: int) -> None:
    tally: Counter[object] = Counter()
    for seed in range(first, first + 1000):
        agree(seed, tally)
    assert tally["several"] > 500, tally
