"""``--jobs`` and the example for clusters: the same integers as one process's, from commands and from Lava."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from export.verification import engines
from export.verification.parts import run_in_parts
from export.verification.verify import verify
from hardware import reference
from hardware.random_programs import random_inputs
from tests.end_to_end.lava_support import assert_same, runtime_python
from tests.end_to_end.test_lava import program_that_fits_dense
from tests.paths import ROOT


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("engine", ["emulator", "onnx"])
def test_a_run_in_several_processes_writes_the_file_of_one(engine, hypr_json, small_bundle, tmp_path):
    found = []
    for jobs in (1, 3):
        out = tmp_path / f"{jobs}.npz"
        options = ["--data", "digits", "--samples", 10, "--engine", engine, "--record", "all", "--jobs", jobs]
        code, answer = hypr_json("run", small_bundle, *options, "--out", out)
        assert code == 0
        found.append((arrays(out), answer["accuracy"], answer["engine"], answer["saturated"]))
    (one, *rest), (other, *others) = found
    assert one.keys() == other.keys() and rest == others
    assert all(np.array_equal(value, other[name]) and value.dtype == other[name].dtype for name, value in one.items())


@pytest.mark.parametrize(("given", "samples"), [(["2"], 2), (["all"], 3), (["9", "--samples", "1"], 1)])
def test_lava_runs_as_many_samples_as_are_asked_for(given, samples, hypr, small_bundle, tmp_path):
    runtime_python()
    x = np.random.default_rng(2).integers(0, 2, (8, 3, 16)).astype(np.uint8)
    np.savez(tmp_path / "in.npz", input_spikes=x)
    out = tmp_path / "out.npz"
    assert (
        hypr("run", small_bundle, tmp_path / "in.npz", "--engine", "lava", "--lava-samples", *given, "--out", out)[0]
        == 0
    )
    with np.load(out, allow_pickle=False) as found:
        assert found["output"].shape == (8, samples, 10)


@pytest.mark.parametrize(
    "arguments", [("--engine", "onnx", "--lava-samples", "2"), ("--engine", "lava", "--lava-samples", "0")]
)
def test_a_number_of_samples_for_lava_without_lava_is_refused(arguments, hypr, small_bundle, tmp_path):
    code, _, error = hypr("run", small_bundle, tmp_path / "in.npz", *arguments, "--out", tmp_path / "out.npz")
    assert code == 2 and "--lava-samples is for --engine lava, at least 1" in error


def test_the_float_engine_runs_in_one_process(hypr, small_bundle, tmp_path):
    options = ["--data", "digits", "--engine", "float", "--jobs", 2, "--out", tmp_path / "out.npz"]
    code, _, error = hypr("run", small_bundle, *options)
    assert code == 2 and "leave --jobs out" in error and error.count("\n") == 1


def test_lava_in_parts_gives_the_integers_and_the_ways_of_one_run():
    runtime_python()
    rng = np.random.default_rng(29)
    program = program_that_fits_dense(rng, layers=2, models=("brf", "li"), sizes=5)
    inputs = random_inputs(rng, program, T=40, B=5)
    trace = run_in_parts(engines.get("lava"), program, inputs, "all", jobs=2)
    expected = reference.run(program, inputs, "all")
    assert_same(trace, expected, "seed 29")
    assert trace.final_state is not None and expected.final_state is not None
    for key, value in expected.final_state.states.items():
        assert np.array_equal(trace.final_state.states[key], value), key
    limits = {"reference": 0, "lava": 5}
    results = [verify(program, inputs, ("lava",), sample_limits=limits, jobs=jobs) for jobs in (1, 2)]
    assert all(result.equal for result in results)
    one, two = (result.pairs[0] for result in results)
    assert (one.samples, one.compared) == (two.samples, two.compared)


def test_the_example_verifies_a_bundle_on_a_cluster_of_two_processes(hypr, small_bundle, tmp_path):
    if find_spec("distributed") is None:
        pytest.skip("distributed is not installed (pip install -e '.[cluster]')")
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "inputs.npz", input_spikes=rng.integers(0, 2, (30, 9, 16)).astype(np.uint8))
    script = ROOT / "docs" / "examples" / "on_a_cluster.py"
    done = subprocess.run(
        [sys.executable, script, small_bundle, tmp_path / "inputs.npz"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "onnx: 9 samples, " in done.stdout and done.stdout.count(" 0 differing") == 2
