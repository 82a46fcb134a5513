"""Random recurrent programs: scalar oracle, NumPy emulator, compiled emulator, torch and ONNX Runtime agree in every
integer of every step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from export.onnx.runtime import OnnxNetwork
from hardware import Program, Trace, compare, emulate, reference
from hardware.inputs import state_limit
from hardware.models import MODELS
from hardware.random_programs import random_inputs, random_program, random_state
from hardware.trace import NetworkState
from hypr.integer import run as run_in_torch

SEED = 20_261_123
QUICK, LONG = 150, 10_000


@dataclass
class Tally:
    """What a sweep covered.

    Attributes:
        compared: integers compared with the oracle's. spikes: of them, spikes of the oracle that were 1.
        models: neuron model -> layers of it. layers: layers of a program -> programs. bits: weight widths.
        started: programs that began from random states.
    """

    compared: int = 0
    spikes: int = 0
    started: int = 0
    models: Counter[str] = field(default_factory=Counter)
    layers: Counter[int] = field(default_factory=Counter)
    bits: Counter[int] = field(default_factory=Counter)


def border_state(rng: np.random.Generator, program: Program, batch: int) -> NetworkState:
    """Random states in which one value in eight is at an end of its range (FP-1.1; 32 bits for CubaLIF's u, FP-3.5)."""
    state = random_state(rng, program, batch)
    states = {}
    for key, value in state.states.items():
        low, high = state_limit(program, key)
        border = rng.choice([low, high], size=value.shape)
        states[key] = np.where(rng.random(value.shape) < 0.125, border, value).astype(np.int32)
    return NetworkState(states, state.spikes)


def onnx_from(program: Program, inputs: np.ndarray, start: NetworkState) -> Trace:
    """ONNX Runtime from given states, in its step form; the scan form always begins from zero states."""
    network = OnnxNetwork.open(program, "step", threads=1)
    now = {**start.states, **{f"spikes/{name}": value for name, value in start.spikes.items()}}
    steps = []
    for pre in inputs:
        now = network.step(pre, now)
        steps.append(now)
    whole = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
    spikes = {name.removeprefix("spikes/"): value for name, value in whole.items() if name.startswith("spikes/")}
    states = {name: value for name, value in whole.items() if "/" in name and not name.startswith("spikes/")}
    return Trace("onnx-step", whole["output"], spikes, states)


def agree(seed: int, tally: Tally) -> None:
    """All engines on one random program; an assertion names the seed, the engine and the first differing integer."""
    rng = np.random.default_rng([SEED, seed])
    program = random_program(rng, border=bool(rng.integers(4)), sizes=(1, 8), inputs=(1, 6))
    batch = int(rng.integers(1, 4))
    inputs = random_inputs(rng, program, int(rng.integers(1, 12)), batch)
    start = border_state(rng, program, batch) if rng.random() < 0.5 else None
    expected = reference.run(program, inputs, "all", start)
    traces = [
        emulate(program, inputs, "all", start, backend="numpy"),
        emulate(program, inputs, "all", start, backend="numba"),
        run_in_torch(program, inputs, "all", start),
        OnnxNetwork.open(program, threads=1).run(inputs, "all") if start is None else onnx_from(program, inputs, start),
    ]
    for trace in traces:
        found = compare(expected, trace, program)
        assert found.equal, f"seed {seed}, {trace.engine}: {found.first_divergence}"
        assert not found.not_compared, f"seed {seed}, {trace.engine}: {found.not_compared} missing"
        tally.compared += found.compared
    for trace in traces[:3]:
        assert_same_end(expected, trace, seed)
    tally.spikes += sum(int(value.sum()) for value in expected.spikes.values())
    tally.started += start is not None
    tally.layers[len(program.layers)] += 1
    tally.models.update(layer.model for layer in program.layers)
    tally.bits.update(layer.input.weight_bits for layer in program.layers)


def assert_same_end(expected: Trace, trace: Trace, seed: int) -> None:
    """What the next chunk starts from is the same too."""
    assert expected.final_state is not None and trace.final_state is not None, f"seed {seed}, {trace.engine}"
    for kind in ("states", "spikes"):
        a, b = getattr(expected.final_state, kind), getattr(trace.final_state, kind)
        assert a.keys() == b.keys(), f"seed {seed}, {trace.engine}"
        for name, value in a.items():
            assert np.array_equal(value, b[name]), f"seed {seed}, {trace.engine}: final {name}"


def sweep(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        agree(seed, tally)
    print(f"{len(seeds)} programs, seeds {seeds.start} to {seeds.stop - 1} of {SEED}: {tally}")
    return tally


def test_five_engines_agree_on_150_random_programs() -> None:
    tally = sweep(range(QUICK))
    assert set(tally.models) == set(MODELS)
    assert set(tally.layers) == {1, 2, 3}
    assert set(tally.bits) == set(range(2, 9))
    assert QUICK / 3 < tally.started < 2 * QUICK / 3
    assert tally.compared > 100_000 and tally.spikes > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, LONG, 1000))
def test_five_engines_agree_on_ten_thousand_random_programs(first: int) -> None:
    sweep(range(first, first + 1000))


@pytest.mark.parametrize("seed", range(12))
def test_torch_chunk_by_chunk_equals_the_oracle_in_one_run(seed: int) -> None:
    rng = np.random.default_rng([SEED, 1, seed])
    program = random_program(rng)
    inputs = random_inputs(rng, program, 12, 2)
    whole = reference.run(program, inputs, "all").arrays()
    cut = int(rng.integers(1, 12))
    first = run_in_torch(program, inputs[:cut], "all")
    second = run_in_torch(program, inputs[cut:], "all", first.final_state)
    for name, value in whole.items():
        joined = np.concatenate([first.arrays()[name], second.arrays()[name]])
        assert np.array_equal(value, joined), f"seed {seed}, cut at {cut}: {name}"
