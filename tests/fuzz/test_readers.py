"""Mutated files for every reader, in a child with limits: read, or refused in one line, and never read as another where
the file has a hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.paths import ROOT


def mutated(count: int, seed: int) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.mutated_files", "--count", str(count), "--seed", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_mutated_files_are_read_or_refused_in_one_line():
    found = mutated(1000, seed=20)
    assert found["tried"] == 1000 and found["wrong"] == 0 and found["readers"] >= 20


@pytest.mark.slow
def test_many_mutated_files_are_read_or_refused_in_one_line():
    found = mutated(20_000, seed=21)
    assert found["tried"] == 20_000 and found["wrong"] == 0


def mutated_nir(count: int, seed: int) -> dict[str, int]:
    command = [sys.executable, "-W", "error", "-m", "tests.mutated_nir", "--count", str(count), "--seed", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_mutated_nir_files_are_refused_in_one_line_or_read_as_what_they_say():
    found = mutated_nir(150, seed=31)
    assert found["right"] > 30 and found["refused"] > 50 and found.get("unjudged", 0) <= 3


@pytest.mark.slow
def test_five_thousand_mutated_nir_files_are_refused_in_one_line_or_read_as_what_they_say():
    found = mutated_nir(5000, seed=32)
    assert sum(found.values()) == 5000 and found["right"] > 1000 and found.get("unjudged", 0) <= 50
