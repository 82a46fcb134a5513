"""A graph file with random damage is refused in one line or still is a graph; nothing crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.errors import ExportError
from export.onnx.runtime import export_onnx, run
from hardware import HardwareError
from hardware.random_programs import random_inputs, random_program
from tests.onnx_mutations import TRIALS
from tests.paths import ROOT

SEED = 77


@pytest.mark.parametrize("form", ["scan", "step"])
def test_random_damage_is_refused_or_harmless(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(SEED)
    program = random_program(rng, layers=2, models=["brf"], sizes=3, inputs=2)
    inputs = random_inputs(rng, program, 3, 2)
    path = tmp_path / "graph.onnx"
    export_onnx(program, path, form)
    content = path.read_bytes()
    refused = 0
    for trial in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), int(rng.integers(1, 4))):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged[: int(rng.integers(1, len(content)))]) if trial % 5 == 0 else bytes(damaged))
        try:
            run(path, inputs, "all", threads=1)
        except (ExportError, HardwareError) as error:
            refused += 1
            assert "\n" not in str(error), f"seed {SEED}, trial {trial}"
    assert refused > 100  # damage of names, weights or comments can leave a valid graph


def run_mutants(folder: Path, first: int, graphs: int) -> None:
    command = [sys.executable, "-m", "tests.onnx_mutations", str(folder), str(first), str(first + graphs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 + 20 * graphs)
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    assert done.returncode == 0, f"status {done.returncode} at {last}"
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["ran"] + found["refused"] == graphs * TRIALS
    assert min(found["ran"], found["refused"]) > graphs  # a changed weight is another network, most else is none


def test_changed_graphs_are_refused_or_run_without_a_crash(tmp_path: Path) -> None:
    run_mutants(tmp_path, 0, 10)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10, 510, 50))
def test_ten_thousand_changed_graphs_are_refused_or_run_without_a_crash(tmp_path: Path, first: int) -> None:
    run_mutants(tmp_path, first, 50)
