"""Lava programs of a user's own around a network of this package, with what a bundle's ``lava`` folder holds and
nothing else: every spike and state of every sample, with resets between.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from export.bundle import lava
from export.bundle.wheel import WHEEL
from hardware.emulator import emulate
from hardware.models import MODELS
from hardware.program import Program
from hardware.random_programs import random_inputs, random_program
from tests.end_to_end.lava_scripts import late_and_delayed
from tests.end_to_end.lava_support import runtime_python
from tests.end_to_end.test_lava_failures import in_runtime

SPIKING = [name for name, spec in MODELS.items() if spec.spiking]
SAMPLES = 4


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel of an exported folder, installed by pip for Python 3.10 where nothing else of the project is."""
    folder = tmp_path_factory.mktemp("host")
    lava.write(late_and_delayed()[0], folder / "lava")
    pip = [str(runtime_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--no-index", "--target", str(folder / "site"), str(folder / "lava" / WHEEL)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def environment(site: Path | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, "OMP_NUM_THREADS": "1", **({} if site is None else {"PYTHONPATH": str(site)})}


def run_example(name: str, program: Program, inputs: np.ndarray, folder: Path, site: Path) -> dict[str, np.ndarray]:
    lava.write(program, folder / "lava")
    np.savez(folder / "inputs.npz", input_spikes=inputs)
    command = [str(runtime_python()), str(folder / "lava" / f"example_{name}.py"), "inputs.npz", "out.npz"]
    done = subprocess.run(command, cwd=folder, env=environment(site), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{inputs.shape[1]} samples of {inputs.shape[0]} steps -> out.npz"
    with np.load(folder / "out.npz") as archive:
        return dict(archive)


def assert_equal_to_the_emulator(found: dict[str, np.ndarray], program: Program, inputs: np.ndarray) -> None:
    expected = emulate(program, inputs, "all").arrays()
    del expected["output"]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.array_equal(found[key], value), key
        assert value.any(), key  # a silent network would show nothing


def network_of(model: str) -> tuple[Program, np.ndarray]:
    """Two layers of a model that spikes in every sample, and a readout; biases at every neuron."""
    for seed in range(100):
        rng = np.random.default_rng([23, seed])
        program = random_program(
            rng, layers=3, models=(model, "li"), sizes=5, inputs=4, recurrent=1.0, border=False, output="li"
        )
        inputs = random_inputs(rng, program, T=20, B=SAMPLES)
        trace = emulate(program, inputs, "all")
        late = trace.spikes["hidden1"]
        if all(layer.bias.all() for layer in program.layers) and late[-3:].any(axis=(0, 2)).all() and late.mean() < 0.9:
            return program, inputs
    raise LookupError(model)


@pytest.mark.parametrize("model", SPIKING)
@pytest.mark.parametrize("example", lava.EXAMPLES)
def test_the_example_programs_equal_the_emulator_in_every_sample(example, model, tmp_path, installed):
    program, inputs = network_of(model)
    found = run_example(example, program, inputs, tmp_path, installed)
    assert_equal_to_the_emulator(found, program, inputs)


@pytest.mark.parametrize("example", lava.EXAMPLES)
def test_the_example_programs_run_a_graph_with_late_populations_delays_and_initial_states(example, tmp_path, installed):
    program, inputs = late_and_delayed()
    found = run_example(example, program, inputs, tmp_path, installed)
    assert_equal_to_the_emulator(found, program, inputs)


def test_networks_run_freely_in_both_arithmetics_side_by_side_and_one_after_another():
    lines = in_runtime(runtime_python(), "free_networks").splitlines()
    assert lines == [
        "chained networks equal the whole: True True",
        "Vars set by hand put the first sample back: True True",
        *(f"floating_pt {model} after reset: True True" for model in SPIKING),
    ]


def test_the_wheel_is_the_same_bytes_each_time_and_needs_nothing_but_numpy(installed, tmp_path):
    lava.write(late_and_delayed()[0], tmp_path / "lava")
    assert (tmp_path / "lava" / WHEEL).read_bytes() == (installed.parent / "lava" / WHEEL).read_bytes()
    script = "import hardware, sys; print(hardware.__file__, 'lava' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run(
        [str(runtime_python()), "-c", script],
        cwd=tmp_path,
        env=environment(installed),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(installed / "hardware" / "__init__.py"), "False", "False"]
