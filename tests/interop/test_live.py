"""Round trips with the tools themselves: random networks that they make come in, random networks of ours go out, and
both run where they came from and here. Long; each tool lives in an environment of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import discretise, nir_for
from export.interchange import float_engine
from export.interchange.steps import StepNetwork
from tests.interop.environments import interpreter, run_worker
from tests.interop.outgoing_networks import random_network
from tests.tool_networks import judge, load_cases

pytestmark = pytest.mark.slow

COMING = {"snntorch": 200, "norse": 200, "sinabs": 100, "spikingjelly": 100}
GOING = {"snntorch": 200, "norse": 200, "sinabs": 100, "spikingjelly": 100, "spyx": 12, "rockpool": 60}

NEAR = 2e-5
"""Of the threshold: closer than this, float32 (the tools) and float64 (here) may decide a spike differently."""

ROUNDED = "rounded"


@pytest.mark.parametrize("tool", COMING)
def test_networks_that_a_tool_makes_come_in_exactly(tool, tmp_path):
    run_worker(tool, "make", tmp_path, str(COMING[tool]), "1")
    lines = [(case.name, *judge(case)[:2]) for case in load_cases(tmp_path)]
    wrong = [item for item in lines if item[1] != "exact"]
    assert len(lines) == COMING[tool] and not wrong, wrong[:5]


@pytest.mark.parametrize("tool", GOING)
def test_networks_of_ours_go_out_exactly(tool, tmp_path):
    interpreter(tool)
    expected = _write(tool, tmp_path)
    run_worker(tool, "run", tmp_path)
    failed = [f"{path.stem}: {path.read_text()}" for path in sorted(tmp_path.glob("*.err"))]
    assert not failed, failed[:5]
    lines = {name: line for name, item in expected.items() if (line := _compare(tool, tmp_path / name, *item))}
    wrong = [line for line in lines.values() if line != ROUNDED]
    assert not wrong, wrong[:5]
    print(f"{tool}: {len(expected)} networks, {len(lines)} differ where a membrane touches its threshold")
    assert len(lines) <= 0.02 * len(expected) + 1, f"{len(lines)} of {len(expected)} differ at a threshold"
    assert np.mean([item[1].mean() for item in expected.values()]) > 0.05


def _write(tool: str, folder: Path) -> dict[str, tuple[StepNetwork, np.ndarray]]:
    """A file, inputs and options for every network; what it gives here."""
    expected = {}
    for index in range(GOING[tool]):
        rng = np.random.default_rng([7, index])
        network = random_network(tool, rng)
        given = (rng.random((40, 3, network.inputs[0].size)) < 0.35).astype(np.int8)
        found, name = nir_for(network, tool), f"ours_{index:03d}"
        found.write(folder / f"{name}.nir")
        np.savez(folder / f"{name}.npz", input_spikes=given)
        options: dict[str, Any] = {"dt": found.dt}
        if "reset_subtract" in found.call:
            options["reset"] = "subtract"
        (folder / f"{name}.json").write_text(json.dumps(options))
        expected[name] = (network, float_engine.run(network, given).output)
    return expected


def _compare(tool: str, stem: Path, network: StepNetwork, expected: np.ndarray) -> str | None:
    """What is wrong, or None; :data:`ROUNDED` where a membrane touches its threshold before the first difference."""
    output = np.load(stem.with_suffix(".out.npy"))
    lag = len(network.populations) if tool == "spyx" else 0
    output, expected = output[lag:], expected[: len(expected) - lag]
    wrong = np.abs(output - expected) > 1e-4 * max(1.0, float(np.abs(expected).max()))
    if not wrong.any():
        return None
    if _rounding(network, stem, np.unique(np.argwhere(wrong)[:, 1]), int(np.argwhere(wrong)[0][0])):
        return ROUNDED
    return f"{stem.name}: {int(wrong.sum())} of {wrong.size} values"


def _rounding(network: StepNetwork, stem: Path, samples: np.ndarray, step: int) -> bool:
    """Whether in every sample that differs some membrane touches a threshold, at the first difference or before."""
    with np.load(stem.with_suffix(".npz")) as file:
        given = file["input_spikes"]
    trace = float_engine.run(network, given, "all")
    touched = np.zeros(given.shape[1], bool)
    for p in network.populations:
        if not p.spiking:
            continue
        state = trace.states[f"{'v' if p.kind == 'cuba_lif' else 'u'}/{p.name}"][: step + 1]
        before = state + p.parameters["theta"] * trace.spikes[p.name][: step + 1]  # before a subtraction
        for value in (state, before):
            touched |= (np.abs(value / p.parameters["theta"] % 1.0) < NEAR).any(axis=(0, 2))
    return bool(touched[samples].all())


def test_reading_ours_back_needs_no_guess():
    """Every file says in its metadata for whom it was written; the conventions come with it."""
    found = nir_for(random_network("norse", np.random.default_rng(0)), "norse")
    assert found.graph.metadata["written_for"] == "Norse 1.1.0"
    assert discretise(found.graph, found.reading).populations
