"""``hypr demo``: one command from data to a certificate, and a second call that does not train again."""

from __future__ import annotations

import json

import pytest

from hypr.deployment import demo
from hypr.training.config import load


@pytest.fixture
def small_recipe(monkeypatch):
    """The demo with a small network; everything else is the real thing."""
    small = ["network.layers.0.width=12", "training.batch=256", "epochs=2", "device=cpu"]
    monkeypatch.setattr(demo.config, "load", lambda name: load(name, small))
    monkeypatch.setattr(demo, "SAMPLE_LIMITS", {"lava": 2, "reference": 1, "onnx-step": 4})


def test_demo_runs_every_engine_and_leaves_a_certificate_and_a_report(small_recipe, hypr_json, tmp_path):
    code, answer = hypr_json("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert answer["equal"] is True
    rows = {row["engine"].partition("[")[0]: row for row in answer["rows"]}
    assert {"torch", "float", "emulator", "onnx", "onnx-step", "reference"} <= set(rows)
    assert "lava" in rows or "lava" in answer["missing"]
    for name in ("onnx", "onnx-step", "reference"):
        assert rows[name]["differing"] == 0 < rows[name]["compared"]
        assert rows[name]["accuracy"] == rows[name]["emulator_accuracy"]
    assert rows["float"]["accuracy"] == pytest.approx(rows["torch"]["accuracy"], abs=2 / 359)  # float64 against float32
    proof = json.loads((tmp_path / "demo" / "bundle" / "certificate.json").read_text())
    assert proof["equal"] is True
    assert (tmp_path / "demo" / "report.html").read_text().startswith("<!doctype html>")


def test_second_demo_uses_the_trained_run_again(small_recipe, hypr, tmp_path):
    assert hypr("demo", "--out", tmp_path)[0] == 0
    weights = (tmp_path / "run" / "best.safetensors").read_bytes()
    stamp = (tmp_path / "run" / "best.safetensors").stat().st_mtime_ns
    code, out, error = hypr("demo", "--out", tmp_path)
    assert code == 0
    assert (tmp_path / "run" / "best.safetensors").stat().st_mtime_ns == stamp
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == weights
    assert "BIT-EXACT" in out
    assert "[4/4]" in error
