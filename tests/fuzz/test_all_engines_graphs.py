"""Random graph programs: scalar oracle, NumPy emulator, compiled emulator, torch and ONNX Runtime agree in every
integer of every step, and in what the next chunk starts from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from export.onnx.runtime import OnnxNetwork
from hardware import Trace, compare, emulate, reference
from hardware.models import MODELS
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_state
from hypr.integer import run as run_in_torch

SEED = 20_261_126
QUICK, LONG = 100, 10_000


@dataclass
class Tally:
    """What a sweep covered: integers compared with the oracle's, spikes among the oracle's that were 1, and counts of
    models, resets of populations that spiked, kinds of synapses, delays and populations."""

    compared: int = 0
    spikes: int = 0
    started: int = 0
    models: Counter[str] = field(default_factory=Counter)
    resets: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    delays: Counter[int] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    inputs: Counter[int] = field(default_factory=Counter)
    outputs: Counter[int] = field(default_factory=Counter)


def agree(seed: int, tally: Tally, **choice: Any) -> None:
    """All engines on one random graph; an assertion names the seed, the engine and the first differing integer."""
    rng = np.random.default_rng([SEED, seed])
    program = random_graph(rng, border=bool(rng.integers(4)), sizes=(1, 8), **choice)
    batch = int(rng.integers(1, 4))
    inputs = random_inputs(rng, program, int(rng.integers(1, 12)), batch)
    start = random_state(rng, program, batch) if rng.random() < 0.4 else None
    expected = reference.run(program, inputs, "all", start)
    form = "step" if rng.random() < 0.2 else "scan"
    traces = [
        emulate(program, inputs, "all", start, backend="numpy"),
        emulate(program, inputs, "all", start, backend="numba"),
        run_in_torch(program, inputs, "all", start),
        OnnxNetwork.open(program, form, threads=1).run(inputs, "all", start),
    ]
    for trace in traces:
        found = compare(expected, trace, program)
        assert found.equal, f"seed {seed}, {trace.engine}: {found.first_divergence}"
        assert not found.not_compared, f"seed {seed}, {trace.engine}: {found.not_compared} missing"
        tally.compared += found.compared
        assert_same_end(expected, trace, seed)
    tally.spikes += sum(int(value.sum()) for value in expected.spikes.values())
    tally.started += start is not None
    tally.models.update(item.model for item in program.populations)
    tally.resets.update(
        (item.model, item.options["reset"], item.options["reset_at"])
        for item in program.populations
        if "reset_at" in item.options and expected.spikes[item.name].any()
    )
    tally.kinds.update(item.synapses.kind for item in program.projections)
    tally.delays.update(item.delay for item in program.projections)
    tally.sizes[len(program.populations)] += 1
    tally.inputs[len(program.inputs)] += 1
    tally.outputs[len(program.outputs)] += 1


def assert_same_end(expected: Trace, trace: Trace, seed: int) -> None:
    assert expected.final_state is not None and trace.final_state is not None, f"seed {seed}, {trace.engine}"
    for kind in ("states", "spikes", "history"):
        a, b = getattr(expected.final_state, kind), getattr(trace.final_state, kind)
        assert a.keys() == b.keys(), f"seed {seed}, {trace.engine}: {kind}"
        for name, value in a.items():
            assert np.array_equal(value, b[name]), f"seed {seed}, {trace.engine}: final {kind} of {name}"


def sweep(seeds: range, **choice: Any) -> Tally:
    tally = Tally()
    for seed in seeds:
        agree(seed, tally, **choice)
    print(f"{len(seeds)} graphs, seeds {seeds.start} to {seeds.stop - 1} of {SEED}: {tally}")
    return tally


def test_five_engines_agree_on_random_graphs() -> None:
    tally = sweep(range(QUICK))
    assert set(tally.models) == set(MODELS)
    assert set(tally.kinds) == {"dense", "sparse", "convolution"}
    assert set(tally.sizes) == set(range(1, 7))
    assert set(tally.inputs) == {1, 2} and set(tally.outputs) >= {1, 2, 3}
    assert min(tally.delays) == 0 and max(tally.delays) == 62
    assert tally.compared > 100_000 and tally.spikes > 3_000


RESETS = {
    (model, how, at)
    for model in ("lif", "cuba_lif")
    for at in ("same", "next", "carried")
    for how in (("zero", "subtract", "none") if at == "same" else ("zero", "subtract"))
}


def test_five_engines_agree_on_random_graphs_with_every_reset() -> None:
    tally = sweep(range(QUICK), models=("lif", "cuba_lif"), resets=True)
    assert set(tally.resets) == RESETS and min(tally.resets.values()) >= 3
    assert tally.compared > 100_000 and tally.spikes > 3_000


@pytest.mark.slow
@pytest.mark.parametrize("first", range(LONG, 2 * LONG, 1000))
def test_five_engines_agree_on_ten_thousand_random_graphs_with_every_reset(first: int) -> None:
    assert set(sweep(range(first, first + 1000), resets=True).resets) == RESETS


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, LONG, 1000))
def test_five_engines_agree_on_ten_thousand_random_graphs(first: int) -> None:
    sweep(range(first, first + 1000))
