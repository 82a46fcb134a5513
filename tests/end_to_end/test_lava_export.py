"""The exported ``lava/`` folder runs where only ``hardware/`` and the pinned packages are, and equals the oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.bundle import lava
from export.bundle.wheel import WHEEL
from hardware import reference
from hardware.program_file import load, save
from hardware.random_programs import random_program
from tests.end_to_end.lava_scripts import brf_network
from tests.end_to_end.lava_support import ROOT, runtime_python


@pytest.fixture
def exported(tmp_path) -> Path:
    """An exported network, its inputs, and a path on which there is nothing but ``hardware``."""
    program, inputs = brf_network(T=20, B=3)
    lava.write(program, tmp_path / "lava")
    np.savez(tmp_path / "inputs.npz", input_spikes=inputs)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "hardware").symlink_to(ROOT / "hardware", target_is_directory=True)
    return tmp_path


def launch(python: Path | str, folder: Path, *arguments: str, path: str = "path") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update({"PYTHONPATH": str(folder / path), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"})
    command = [str(python), str(folder / "lava" / "run_on_lava.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_the_launcher_writes_the_trace_of_the_oracle(exported):
    done = launch(runtime_python(), exported, "inputs.npz", "out.npz", "--record", "all", "--connections", "dense")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "lava[dense]: 20 steps of 3 samples -> out.npz\n"
    expected = reference.run(*brf_network(T=20, B=3), record="all").arrays()
    with np.load(exported / "out.npz") as found:
        assert set(found.files) == set(expected)
        for name, value in expected.items():
            assert np.array_equal(found[name], value), name


@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "words"),
    [
        (None, ("nothing.npz", "out.npz"), 2, "nothing.npz: is no readable .npz file"),
        (None, ("broken.npz", "out.npz"), 2, "broken.npz: is no readable .npz file"),
        (None, ("other.npz", "out.npz"), 2, "holds x, expected an array 'input_spikes'"),
        (None, ("inputs.npz", "out.npz", "--record", "w"), 2, "cannot record 'w'"),
        ("swap", ("inputs.npz", "out.npz"), 2, "is not the program that was exported with this launcher"),
        ("truncate", ("inputs.npz", "out.npz"), 2, "damaged or truncated"),
    ],
)
def test_bad_input_is_one_line(exported, prepare, arguments, code, words):
    (exported / "broken.npz").write_bytes((exported / "inputs.npz").read_bytes()[:100])
    np.savez(exported / "other.npz", x=np.zeros(1))
    program = exported / "lava" / "program.npz"
    if prepare == "swap":
        save(random_program(np.random.default_rng(0)), program)
    elif prepare == "truncate":
        program.write_bytes(program.read_bytes()[:200])
    done = launch(runtime_python(), exported, *arguments)
    assert done.returncode == code and words in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert not (exported / "out.npz").exists()


def test_an_interpreter_without_lava_is_told_what_to_install(exported):
    done = launch(sys.executable, exported, "inputs.npz", "out.npz")
    assert done.returncode == 3
    assert "no module 'lava'" in done.stderr and "pip install --no-deps -r" in done.stderr


def test_without_hardware_on_the_path_the_launcher_says_so(exported):
    done = launch(runtime_python(), exported, "inputs.npz", "out.npz", path="lava")
    assert done.returncode == 3
    assert done.stderr.startswith("error: no module 'hardware' in ") and done.stderr.count("\n") == 1
    assert f"pip install --no-deps {exported / 'lava' / WHEEL}" in done.stderr


def test_the_folder_holds_the_very_program(exported):
    assert load(exported / "lava" / "program.npz") == brf_network()[0]
    names = sorted(path.name for path in (exported / "lava").iterdir())
    examples = ["example_monitors.py", "example_steps.py"]
    assert names == [*examples, WHEEL, "program.npz", "requirements.txt", "run_on_lava.py"]
