"""An export that is killed: the next one to the same place works, and nothing stays beside it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os, signal, sys
from pathlib import Path
from hypr.cli.app import run
import export.bundle.bundle as bundle

moment, count = sys.argv[1], 0
replace = Path.replace

def killed(self, target):
    if moment == "first rename" or (moment == "second rename" and self.name.endswith(".part")):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

def put(part, out, put=bundle._put_in_place):
    Path.replace = killed
    if moment == "written":
        os.kill(os.getpid(), signal.SIGKILL)
    put(part, out)

bundle._put_in_place = put
run(["export", sys.argv[2], "--out", sys.argv[3], "--overwrite"])
"""


@pytest.mark.parametrize("moment", ["written", "first rename", "second rename"])
def test_the_next_export_works_and_sweeps(hypr, small_run, small_bundle, tmp_path, moment):
    out = tmp_path / "bundle"
    shutil.copytree(small_bundle, out)
    command = [sys.executable, "-c", SCRIPT, moment, str(small_run), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left and out.exists() == (moment != "second rename")
    if moment == "second rename":  # not asked to overwrite: the bundle of before is back, and stays
        code, _, error = hypr("export", small_run, "--out", out)
        assert code == 2 and "is a bundle already" in error
        assert hypr("verify", out, "--engines", "emulator", "--samples", "4")[0] == 0
    assert hypr("export", small_run, "--out", out, "--overwrite")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_a_living_process_has_beside_is_left_alone(hypr, small_run, tmp_path):
    from hardware import aside

    other = aside.name_beside(tmp_path / "bundle")
    other.mkdir()
    assert hypr("export", small_run, "--out", tmp_path / "bundle")[0] == 0
    assert other.is_dir()


def test_a_certificate_that_was_never_finished_is_no_part_of_the_bundle(hypr_json, small_bundle, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    code = (
        "import sys; from pathlib import Path; from hardware import aside; aside.name_beside(Path(sys.argv[1])).touch()"
    )
    command = [sys.executable, "-c", code, str(bundle / "certificate.json")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert [path for path in bundle.iterdir() if path.suffix == ".part"]
    code, answer = hypr_json("verify", bundle, "--engines", "onnx", "--samples", "2")
    assert code == 0 and answer["not_compared"] == {}
    assert not [path for path in bundle.iterdir() if path.suffix == ".part"]
