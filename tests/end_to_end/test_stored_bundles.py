"""Bundles of version 0.1 open, verify, run and report, for ever."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.lava_support import main_environment, runtime_python
from tests.stored.reading import V01, arrays, expected, names, unpack

BUNDLES = names("bundles")
CERTIFIED = [name for name in BUNDLES if expected()["bundles"][name]["integers_compared"]]
FLOAT = [name for name in BUNDLES if "network.nir" in expected()["bundles"][name]["files"]]
WITH_LAVA = [name for name in BUNDLES if "lava/program.npz" in expected()["bundles"][name]["files"]]
REPORTED = [name for name in BUNDLES if name != "program-only"]
"""Without recorded scales there was no report."""

QUICK = ("everything", "two-layers")
"""Bundles that run on Lava in the unmarked suite, too."""

CHECKABLE = ("network.nir", "quantized.nir", "integer_scan.onnx", "integer_step.onnx", "lava/program.npz")
"""Files of which ``hypr verify`` says whether they still mean the Program of the bundle."""


def results_of(name: str, kind: str) -> dict[str, np.ndarray]:
    """What version 0.1 gave: ``integer`` or ``float`` arrays by the names of ``OUT.npz``."""
    stored = arrays(V01 / "bundles" / f"{name}.npz")
    return {key.removeprefix(f"{kind}/"): value for key, value in stored.items() if key.startswith(f"{kind}/")}


def write_inputs(name: str, folder: Path, samples: int | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    stored = arrays(V01 / "bundles" / f"{name}.npz")["input_spikes"]
    np.savez(folder / "inputs.npz", input_spikes=stored[:, :samples])
    return folder / "inputs.npz"


def verify(hypr_json, name: str, folder: Path, *options: object) -> dict:
    """Verify a copy of a stored bundle; on its own data set where it names one, else on the stored inputs."""
    bundle = unpack("bundles", name, folder)
    known = expected()["bundles"][name]
    data = () if known["dataset"] else ("--inputs", write_inputs(name, folder))
    code, answer = hypr_json("verify", bundle, *data, *options, "--out", folder / "new.json")
    assert code == 0 and answer["equal"], answer
    assert answer["program_sha256"] == known["program_sha256"]
    assert len(answer["checks"]) >= len(set(known["files"]) & set(CHECKABLE)) and all(answer["checks"].values())
    return answer


@pytest.mark.parametrize("name", BUNDLES)
def test_a_stored_bundle_verifies(name, hypr_json, tmp_path):
    other = "onnx" if "integer_scan.onnx" in expected()["bundles"][name]["files"] else "reference"
    answer = verify(hypr_json, name, tmp_path, "--engines", f"emulator,{other}")
    assert sum(entry["integers_compared"] for entry in answer["comparisons"]) > 500
    options = ("--engines", f"{other},reference", "--teacher-forced", "--samples", "2")
    assert verify(hypr_json, name, tmp_path / "again", *options)["mode"] == "teacher_forced"


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in WITH_LAVA]
)
def test_a_stored_bundle_verifies_on_lava(name, hypr_json, tmp_path):
    runtime_python()
    answer = verify(hypr_json, name, tmp_path, "--engines", "emulator,lava", "--samples", "6", "--lava-samples", "2")
    assert "lava" in {entry["engine"] for entry in answer["comparisons"]}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_stored_bundle_runs_to_the_integers_that_were_recorded(name, hypr_json, tmp_path):
    bundle, inputs = unpack("bundles", name, tmp_path), write_inputs(name, tmp_path)
    code, answer = hypr_json(
        "run", bundle, inputs, "--engine", "emulator", "--record", "all", "--out", tmp_path / "out.npz"
    )
    assert code == 0 and answer["program_sha256"] == expected()["bundles"][name]["program_sha256"]
    found, stored = arrays(tmp_path / "out.npz"), results_of(name, "integer")
    assert found.keys() == {*stored, "predicted"}  # the decision stands beside them since
    for key in stored:
        assert found[key].dtype == stored[key].dtype and np.array_equal(found[key], stored[key]), key


@pytest.mark.parametrize("name", FLOAT)
def test_the_float_network_of_a_stored_bundle_gives_what_was_recorded(name, hypr_json, tmp_path):
    stored = results_of(name, "float")
    bundle = unpack("bundles", name, tmp_path)
    inputs = write_inputs(name, tmp_path, stored["output"].shape[1])
    code, _ = hypr_json("run", bundle, inputs, "--engine", "float", "--out", tmp_path / "out.npz")
    assert code == 0
    found = arrays(tmp_path / "out.npz")
    assert found.keys() == {*stored, "predicted"}  # the decision stands beside them since
    for key, value in stored.items():
        if key.startswith("spikes/"):
            assert np.array_equal(found[key], value), key
        else:  # float64, sums of at most 100 steps in another order on another processor
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", REPORTED)
def test_a_stored_bundle_reports(name, hypr_json, tmp_path):
    bundle = unpack("bundles", name, tmp_path)
    code, answer = hypr_json("report", bundle, "--out", tmp_path / "report.html")
    assert code == 0 and answer["sections"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    known = expected()["bundles"][name]
    assert known["program_sha256"][:16] in page
    if name in CERTIFIED:  # the report tells what the certificate of version 0.1 counted
        assert f"{known['integers_compared']:,}" in page


def test_the_script_inside_a_stored_bundle_runs_on_lava_with_what_is_here(tmp_path):
    bundle, python = unpack("bundles", "everything", tmp_path), runtime_python()
    inputs = write_inputs("everything", tmp_path, 2)
    script = [str(python), str(bundle / "lava" / "run_on_lava.py"), str(inputs), str(tmp_path / "out.npz")]
    done = subprocess.run(
        [*script, "--record", "all"], env=main_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found, stored = arrays(tmp_path / "out.npz"), results_of("everything", "integer")
    assert found.keys() == stored.keys()
    for key, value in stored.items():
        assert np.array_equal(found[key], value[:, :2]), key


@pytest.mark.parametrize("file", ["program.npz", "network.nir", "integer_scan.onnx", "manifest.json"])
def test_a_stored_bundle_that_was_edited_is_refused_in_one_line(file, hypr, tmp_path):
    bundle = unpack("bundles", "everything", tmp_path)
    if file == "manifest.json":
        manifest = json.loads((bundle / file).read_text(encoding="utf-8"))
        (bundle / file).write_text(json.dumps({**manifest, "program_sha256": "0" * 64}), encoding="utf-8")
    else:
        content = bytearray((bundle / file).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / file).write_bytes(content)
    code, _, stderr = hypr("verify", bundle, "--engines", "emulator,onnx", "--out", tmp_path / "new.json")
    assert code == 2 and len(stderr.strip().splitlines()) == 1, stderr
