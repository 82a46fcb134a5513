"""The command line on a bundle whose network is a graph with several inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.bundle.bundle import write_bundle
from hardware import Program, ProgramBuilder, emulate
from hardware.random_programs import random_inputs


def network() -> Program:
    rng = np.random.default_rng(1)
    graph = ProgramBuilder()
    graph.input("left", 4)
    graph.input("right", 3, -20, 20)
    graph.population("a", 8, "lif", {"A": 3900, "TH": 300}, {"K": 12}, initial={"u": 50})
    graph.population("b", 3, "li", {"A": 3500}, {"K": 12})
    graph.project("left", "a", rng.integers(-127, 128, (8, 4)), 1)
    graph.project("right", "a", rng.integers(-9, 10, (8, 3)), delay=3)
    graph.project("a", "a", rng.integers(-50, 50, (8, 8)), delay=2)
    graph.project("a", "b", rng.integers(-99, 99, (3, 8)))
    return graph.build()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(None, network(), tmp_path / "graph", ("onnx",))
    return tmp_path / "graph"


def write_inputs(path: Path, **changes: Any) -> dict[str, np.ndarray]:
    inputs = random_inputs(np.random.default_rng(0), network(), 20, 3)
    np.savez(
        path, **{f"input_spikes/{name}": value for name, value in {**inputs, **changes}.items() if value is not None}
    )
    return inputs


@pytest.mark.parametrize("engine", ["reference", "emulator", "onnx", "onnx-step"])
def test_run_takes_an_array_for_each_input(hypr, bundle: Path, tmp_path: Path, engine: str) -> None:
    inputs = write_inputs(tmp_path / "in.npz")
    out = tmp_path / "out.npz"
    code, _, error = hypr("run", bundle, tmp_path / "in.npz", "--engine", engine, "--record", "all", "--out", out)
    assert code == 0, error
    expected = emulate(network(), inputs, "all").arrays()
    with np.load(out) as found:
        assert set(found.files) == {"output", "spikes/a", "u/a", "u/b"}
        assert all(np.array_equal(found[key], value) for key, value in expected.items())


def test_verify_takes_an_array_for_each_input_and_certifies_them_by_name(hypr, bundle: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path / "in.npz")
    for more in ((), ("--teacher-forced",), ("--samples", "2")):
        command = ("verify", bundle, "--inputs", tmp_path / "in.npz", "--engines", "emulator,onnx", *more)
        code, out, error = hypr(*command, "--out", tmp_path / "c.json")
        assert code == 0, error
        assert "EQUAL" in out
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["inputs"]["shapes"] == {"left": [20, 2, 4], "right": [20, 2, 3]}
    assert content["inputs"]["shape"] == [20, 2, 7]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"right": None}, "'right' is missing"),
        ({"up": np.zeros((20, 3, 1), int)}, "'up' is unknown"),
        ({"left": np.zeros((20, 3), int)}, "input_spikes/left"),
        ({"left": np.zeros((20, 3, 4))}, "input_spikes/left"),
        ({"right": np.full((20, 3, 3), 21)}, "-20 to 20"),
        ({"right": np.zeros((19, 3, 3), int)}, "share steps"),
    ],
)
def test_an_input_that_does_not_fit_is_one_line(
    hypr, bundle: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write_inputs(tmp_path / "in.npz", **changes)
    for command in (
        ("run", bundle, tmp_path / "in.npz", "--engine", "onnx", "--out", tmp_path / "out.npz"),
        ("verify", bundle, "--inputs", tmp_path / "in.npz", "--engines", "emulator,onnx"),
    ):
        code, _, error = hypr(*command)
        assert code == 2
        assert len(error.strip().splitlines()) == 1
        assert words in error
