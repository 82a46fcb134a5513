"""Run folders of version 0.1 export to the recorded Programs, report, and resume to the same end, for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.stored.reading import V01, expected, names, unpack

RUNS = names("runs")
DONE = [name for name in RUNS if expected()["runs"][name]["done"]]
KILLED = [name for name in RUNS if name not in DONE]
EXPORTS = [(name, index) for name in DONE for index in range(len(expected()["runs"][name]["exports"]))]
WEIGHT_TOLERANCE = 1e-4
"""Of weights after resuming. Measured: 0 with the kernels that trained, whatever the number of threads; 2e-6 with the
reference kernels, which add in another order. One update of the optimisers here is 1e-3 to 1e-2."""


def metrics_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("name", "index"), EXPORTS)
def test_a_stored_run_exports_to_the_program_that_was_recorded(name, index, hypr_json, tmp_path):
    known = expected()["runs"][name]["exports"][index]
    run = unpack("runs", name, tmp_path)
    code, answer = hypr_json("export", run, "--out", tmp_path / "bundle", "--to", "nir,onnx", *known["options"])
    assert code == 0
    assert {key: answer[key] for key in known if key != "options"} == {k: v for k, v in known.items() if k != "options"}


def test_a_stored_run_without_integer_form_is_refused_with_the_reason(hypr, tmp_path):
    run = unpack("runs", "cue-exponential", tmp_path)
    code, _, stderr = hypr("export", run, "--out", tmp_path / "bundle")
    assert code == 2 and "exponential" in stderr


@pytest.mark.parametrize("name", [name for name in RUNS if name != "killed-at-once"])
def test_a_stored_run_reports(name, hypr_json, tmp_path):
    run = unpack("runs", name, tmp_path)
    code, answer = hypr_json("report", run, "--out", tmp_path / "report.html")
    assert code == 0 and answer["sections"]
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", DONE)
def test_a_stored_run_that_is_done_returns_its_result_and_stays_as_it_is(name, hypr_json, tmp_path, monkeypatch):
    run = unpack("runs", name, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, answer = hypr_json("train", f"runs/{name}/config.toml", "--out", f"runs/{name}", "--resume")
    result = expected()["runs"][name]["result"]
    assert code == 0 and (answer["best"], answer["last"]) == (result["best"], result["last"])
    assert answer["best_epoch"] == result["best_epoch"] and answer["stopped_early"] == result["stopped_early"]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("name", KILLED)
def test_a_stored_run_that_was_killed_resumes_to_the_weights_of_its_own_version(name, hypr_json, tmp_path, monkeypatch):
    run = unpack("runs", name, tmp_path)
    unpack("runs", "digits-hypr", tmp_path)  # training.initial of those that train on integers
    monkeypatch.chdir(tmp_path)
    before = (run / "metrics.jsonl").read_bytes() if (run / "metrics.jsonl").exists() else b""
    code, answer = hypr_json("train", f"runs/{name}/config.toml", "--out", f"runs/{name}", "--resume")
    known = expected()["runs"][name]
    assert code == 0 and answer["epochs"] == known["result"]["epochs"]
    assert (run / "metrics.jsonl").read_bytes().startswith(before)
    assert [line["epoch"] for line in metrics_of(run)] == [line["epoch"] for line in known["metrics"]]
    found, stored = load_file(run / "last.safetensors"), load_file(V01 / "runs" / f"{name}.resumed.safetensors")
    assert found.keys() == stored.keys()
    for key, value in stored.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_allclose(found[key], value, rtol=0, atol=WEIGHT_TOLERANCE, err_msg=key)
    code, _ = hypr_json("export", run, "--out", tmp_path / "bundle", "--which", "last")
    assert code == 0


def test_training_on_integers_starts_from_a_stored_run(hypr_json, tmp_path):
    initial = unpack("runs", "digits-hypr", tmp_path)
    overrides = [f"training.initial={initial}", "quantization=5", "epochs=1"]
    code, answer = hypr_json("train", str(initial / "config.toml"), *overrides, "--out", tmp_path / "new")
    assert code == 0 and answer["epochs"] == 1
    code, answer = hypr_json("export", tmp_path / "new", "--out", tmp_path / "bundle")
    assert code == 0 and answer["trained_on_integers"]
    assert hypr_json("report", tmp_path / "bundle", "--out", tmp_path / "page.html")[0] == 0
    assert "trained and deployed on integers" in (tmp_path / "page.html").read_text()
