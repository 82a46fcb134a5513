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
    "program": "524ef521fd4a56e55e3d33725f184f2f94649c06291375443de478ebb6fdf20c",
    "manifest.json": "70d739657b576754fc5e07d1617078c3e80502ed6787f5a506525de5bece78ec",
    "float_scan.onnx": "6501fae235614d1660a711d867a0d7a9044ea4ee5f38eaa8c31c2f796babfeee",
    "float_step.onnx": "ab87824dd8e6898dcf1a40ebecd8c42d66d15bd32015e10fd8010efff20eff20",
    "integer_scan.onnx": "e3f0d95053f473dd8eaf81b1ef38342cafaff93fa393b02d5eed34b460475483",
    "integer_step.onnx": "d5b191b619e51b42a86a225d52f3e4c71e86bd5a5da77e8b6cbdac23c138f1df",
    "lava/program.npz": "aa918ce382b5fa52d005cb853d0677f5f8c8125ebdbb91982136e675bf764fa7",
    "lava/run_on_lava.py": "5929c0cedf18cffcff663374c816c33a57f60befada55d49d0dc6050105dadb2",
    "network.nir": "18c68cfc8136bafb9c72628b44ffb5b02a45ea6342fe77c1344bb0585381dae3",
    "program.npz": "aa918ce382b5fa52d005cb853d0677f5f8c8125ebdbb91982136e675bf764fa7",
    "quantized.nir": "ee7aef0b16e463847f6a32a7f8a26cff98b0fd5b399f1d9dd1d71f685e412732",
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
