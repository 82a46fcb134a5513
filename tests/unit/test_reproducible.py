"""A fixed emulation and a fixed export give the same integers and the same files on every interpreter and numpy.

Where an export is meant to change, ``python -m tests.reproducible`` prints the new hashes. ``HYPR_PYTHONS`` names more
interpreters (separated as in ``PATH``) that have numpy, and for exports nir, h5py and onnx, to try in the slow suite.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests import reproducible
from tests.paths import ROOT

EMULATION = "b8372e6a9b1b941a232ab8270965e7a2b5b52a93da249bb0c34fb32889905715"
EXPORT = {
    "program": "ffd3439239385a89a9098b5b4108f4b41aabdfd0be99c0b65c6c18ca317133b5",
    "manifest.json": "37c6b8ef572d7d3fdba341e03e0faaef623299176e933f219f21fdeb6ad290a5",
    "float_scan.onnx": "6501fae235614d1660a711d867a0d7a9044ea4ee5f38eaa8c31c2f796babfeee",
    "float_step.onnx": "ab87824dd8e6898dcf1a40ebecd8c42d66d15bd32015e10fd8010efff20eff20",
    "integer_scan.onnx": "ca820cd4e59c039afc98ec49261d39a9e83aabf96085e172c7a31d0f197fc6f5",
    "integer_step.onnx": "053b52415d045430ce33103b06759fa503e7df542a4bcd773688e34663fd6e8a",
    "lava/program.npz": "2a4dc1b532c2d017ebe5455e6f7341a32a0161e7c72e2aaef09a90d4e578d61f",
    "lava/run_on_lava.py": "878ab07e4111f82eda558fc41eb2c15eae3ceaa1ac0abc04f839e09660b11b6a",
    "network.nir": "18c68cfc8136bafb9c72628b44ffb5b02a45ea6342fe77c1344bb0585381dae3",
    "program.npz": "2a4dc1b532c2d017ebe5455e6f7341a32a0161e7c72e2aaef09a90d4e578d61f",
    "quantized.nir": "1377bae1fd877454fc6e78f28519e931de5b1a3c8c23cd5c249be125231fe66c",
}


@pytest.mark.parametrize("backend", ["numpy", "numba", "reference"])
def test_a_fixed_emulation_gives_the_recorded_integers(backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    assert reproducible.emulation(backend) == EMULATION


def test_a_fixed_export_gives_the_recorded_files() -> None:
    assert reproducible.export_hashes() == EXPORT


@pytest.mark.slow
@pytest.mark.parametrize("python", os.environ.get("HYPR_PYTHONS", "").split(os.pathsep))
def test_another_interpreter_gives_the_same(python: str) -> None:
    if not python:
        pytest.skip("HYPR_PYTHONS names no interpreters")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    probe = "import sys, importlib.util as u; print(sys.version_info[:2] >= (3, 11) and bool(u.find_spec('nir')))"
    whole = subprocess.run([python, "-c", probe], capture_output=True, text=True, timeout=60).stdout.strip() == "True"
    command = [python, "-m", "tests.reproducible", *([] if whole else ["--hardware"])]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {found.pop("emulation, numpy"), found.pop("emulation, reference")} == {EMULATION}
    assert {name.removeprefix("export, "): value for name, value in found.items()} == (EXPORT if whole else {})
