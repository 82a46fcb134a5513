"""No file of the working folder takes the place of a package, however hypr is started; the user's own modules there are
found all the same."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forged_bundle import digits_bundle
from tests.paths import ROOT

SHADOWS = ("onnxruntime", "onnx", "click", "numpy", "json", "nir", "scipy")
SHADOW = "raise SystemExit('a file of the working folder was imported: ' + __file__)\n"
ENGINE = """
from hardware import emulate

class Mine:
    def run(self, program, inputs, record):
        return emulate(program, inputs, record)

engine = Mine()
"""
STARTS = {
    "module": [sys.executable, "-m", "hypr"],
    "script": [sys.executable, "start.py"],  # as an installed script starts, whose own folder comes first
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a bundle, an engine, and files named like packages."""
    found = tmp_path_factory.mktemp("working")
    digits_bundle(found / "bundle")
    for name in SHADOWS:
        (found / f"{name}.py").write_text(SHADOW)
    (found / "mine.py").write_text(ENGINE)
    (found / "bin").mkdir()
    (found / "bin" / "start.py").write_text(
        "import sys\nfrom hypr.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    return found


@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_of_the_working_folder_takes_no_packages_place(folder: Path, how: str, jobs: str) -> None:
    start = [part.replace("start.py", str(folder / "bin" / "start.py")) for part in STARTS[how]]
    options = ["--engines", "emulator,onnx,mine:engine", "--samples", "4", "--jobs", jobs, "--out", f"{how}{jobs}.json"]
    done = subprocess.run(
        [*start, "verify", "bundle", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "mine:engine" in done.stdout and "EQUAL" in done.stdout
    assert "was imported" not in done.stderr + done.stdout


def test_the_working_folder_stays_where_the_user_put_it(folder: Path) -> None:
    script = "import sys; from hypr.cli import search_working_folder_last as last; last(); print(sys.path)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=folder / "bin",
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder / "bin")))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    path = ast.literal_eval(done.stdout)
    assert path[:2] == [str(ROOT), str(folder / "bin")]
