"""The example of the documentation that runs an exported network on a stream with onnxruntime alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.onnx.model_file import export_onnx
from hardware import Program, emulate
from hardware.inputs import named_inputs
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program
from tests.paths import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "onnx_stream.py"
ALONE = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"hypr", "export", "hardware", "onnx"} & set(sys.modules)
"""


def program_of(kind: str) -> Program:
    rng = np.random.default_rng(5)
    if kind == "chain":
        return random_program(rng, layers=2)
    program = random_graph(rng, inputs=2 if kind == "several inputs" else 1, populations=4, delays=(0, 6))
    assert program.history and any(item.initial for item in program.populations)
    return program


def lines_of(program: Program, inputs: dict[str, np.ndarray]) -> list[str]:
    steps = len(next(iter(inputs.values())))
    if len(program.inputs) == 1:
        return [json.dumps(next(iter(inputs.values()))[t, 0].tolist()) for t in range(steps)]
    return [json.dumps({name: value[t, 0].tolist() for name, value in inputs.items()}) for t in range(steps)]


@pytest.mark.parametrize("kind", ["chain", "one input", "several inputs"])
def test_a_stream_gives_the_integers_of_the_emulator_without_this_package(kind: str, tmp_path: Path) -> None:
    program = program_of(kind)
    inputs = random_inputs(np.random.default_rng(1), program, 40, 1)
    export_onnx(program, tmp_path / "integer_step.onnx", "step")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(EXAMPLE), str(tmp_path / "integer_step.onnx")],
        input="\n".join(lines_of(program, named_inputs(program, inputs))),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = np.array([json.loads(line) for line in done.stdout.splitlines()])
    expected = emulate(program, inputs).output[:, 0]
    assert len(np.unique(expected)) > 1  # something happens in these 40 steps
    assert np.array_equal(found, expected)
