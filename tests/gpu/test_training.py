"""Training on a GPU from the command line: it learns as on a CPU, and goes on after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import torch

from hypr.training import checkpoint
from tests.paths import ROOT

SMALL = ["network.layers.0.width=32", "training.batch=128"]


def command(folder, *more):
    return [sys.executable, "-m", "hypr", "train", "digits-brf", *SMALL, "--out", str(folder), *more]


def train(folder, *more):
    done = subprocess.run(command(folder, *more), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_as_on_a_cpu(tmp_path):
    """Spikes turned by rounding part the two runs slowly; after six epochs both have learned about the same."""
    there = train(tmp_path / "gpu", "device=cuda", "epochs=6")
    here = train(tmp_path / "cpu", "device=cpu", "epochs=6")
    assert abs(there[0]["loss"] - here[0]["loss"]) < 0.05 * here[0]["loss"]
    assert there[-1]["loss"] < 0.97 * there[0]["loss"]
    assert abs(there[-1]["loss"] - here[-1]["loss"]) < 0.1 * here[-1]["loss"]
    assert "cuda" in json.loads((tmp_path / "gpu" / "environment.json").read_text())["device"]


def test_a_run_killed_and_continued_holds_the_weights_of_an_undisturbed_one(tmp_path):
    """Sums have a fixed order in every kernel, so a GPU repeats itself."""
    settings = ["device=cuda", "epochs=6"]
    train(tmp_path / "whole", *settings)
    killed, resume = tmp_path / "killed", tmp_path / "killed" / "resume.safetensors"
    process = subprocess.Popen(command(killed, *settings), cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and not resume.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert resume.exists()
    train(killed, *settings, "--resume")
    first, second = (checkpoint.read(folder / "last.safetensors").tensors for folder in (tmp_path / "whole", killed))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "options",
    [["rule=bptt"], ["rule=hypr-window"], ["rule=eprop", "epochs=1"], ["quantization.weight_bits=8"]],
    ids=" ".join,
)
def test_other_rules_and_integers_train(tmp_path, options):
    lines = train(tmp_path / "run", "device=cuda", "epochs=2", *options)
    assert all(line["loss"] == line["loss"] for line in lines)


def test_the_trained_network_is_exported_and_verified(tmp_path):
    train(tmp_path / "run", "device=cuda", "epochs=2")
    export = [sys.executable, "-m", "hypr", "export", str(tmp_path / "run"), "--out", str(tmp_path / "bundle")]
    done = subprocess.run(export, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
