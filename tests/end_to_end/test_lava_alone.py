"""``hardware.lava`` used directly in an interpreter that has Lava and NumPy 1.26 only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hardware import reference
from tests.end_to_end.lava_scripts import wrapping_lif
from tests.end_to_end.lava_support import ROOT, main_environment, runtime_python
from tests.end_to_end.test_lava_failures import in_runtime


@pytest.fixture(scope="module")
def python() -> Path:
    return runtime_python()


def test_cuba_lif_equals_lavas_untouched_lif_and_dense_at_every_step(python):
    assert in_runtime(python, "plain_lif").split("\n")[:2] == ["u True True", "v True True"]


def test_a_drive_beyond_the_range_of_lavas_current_would_wrap_there_and_is_kept_off_it(python):
    """The counterexample: a lif saturates where Lava's current wraps, and spikes 1 1 1 become 0 1 0."""
    lines = in_runtime(python, "forced_onto_lavas_lif").splitlines()
    assert lines == ["ours 1 1 1", "forced 0 1 0"]
    assert reference.run(*wrapping_lif()).output.ravel().tolist() == [1, 1, 1]


def test_the_floating_point_models_compute_the_same_equations_in_real_arithmetic(python):
    lines = in_runtime(python, "floating_point").splitlines()
    assert len(lines) == 12  # six models, two kinds of connections
    for line in lines:
        assert float(line.split()[-1]) < 1e-12, line  # float64, a dozen steps of a few operations in another order


def test_the_package_needs_neither_torch_nor_anything_that_the_runtime_lacks(python):
    script = (
        "import hardware, hardware.reference, hardware.lava.builder, sys;"
        "print(sys.version_info[:2], [m for m in ('torch', 'nir', 'onnx', 'numba', 'pytest') if m in sys.modules])"
    )
    done = subprocess.run(
        [str(python), "-c", script], cwd=ROOT, env=main_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(3, 10) []"


INSTALL = "from hardware.lava.environment import install; print(install(progress=lambda line: print(line, flush=True)))"


@pytest.mark.slow
def test_two_installations_at_once_make_one_runtime_that_runs(tmp_path):
    runtime_python()  # where this one could be installed, another can be
    environment = {**main_environment(), "HYPR_HOME": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", INSTALL], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=500)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed[0][-1] == printed[1][-1] and printed[0][-1].startswith(str(tmp_path))
    made = [sum("making" in line for line in lines) for lines in printed]
    waited = [sum("another process is installing it, waiting" in line for line in lines) for lines in printed]
    assert sorted(made) == [0, 1] and sorted(waited) == [0, 1]
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
