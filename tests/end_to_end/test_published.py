"""Published weights: the script of the documentation gives what was published, in float and in integers."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import hypr
from export import quantize, to_nir
from export.errors import UnsupportedError
from tests.paths import ROOT, cases_folder, data_folder

SCRIPT = ROOT / "hypr" / "examples" / "published.py"


def test_the_script_is_short():
    code = [line for line in SCRIPT.read_text().splitlines() if line and not line.startswith(('"""', "import", "from"))]
    assert len(code) <= 25


@pytest.mark.slow
def test_the_script_gives_the_published_accuracies(tmp_path):
    weights, data = cases_folder("pretrained"), data_folder("qtdb").parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HYPR_DATA": str(data)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(weights), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        (line.split()[0], line.split()[1]): float(re.findall(r"([\d.]+) %", line)[0])
        for line in done.stdout.splitlines()
    }
    assert abs(found["brf", "float"] - 86.22) < 0.02 and abs(found["alif", "float"] - 70.76) < 0.02
    assert found["brf", "int8"] >= 86.1 and "equal on every engine: True" in done.stdout
    for name in ("brf", "alif"):
        assert abs(found[name, "its"] - found[name, "float"]) < 0.02


def test_the_reset_of_the_same_step_has_no_integers_and_says_so():
    net = hypr.Network([hypr.ALIF(3, 5, reset="same"), hypr.LI(5, 2)])
    with pytest.raises(UnsupportedError, match="reset='next'"):
        quantize(to_nir(net), calibration=np.ones((2, 5, 3), np.float32))


def test_the_option_stays_with_the_network(tmp_path):
    net = hypr.Network([hypr.ALIF(3, 5, reset="same"), hypr.LI(5, 2)])
    hypr.save(net, tmp_path / "net.safetensors")
    assert hypr.load(tmp_path / "net.safetensors").layers[0].reset == "same"
    plain = hypr.Network([hypr.ALIF(3, 5), hypr.LI(5, 2)])
    assert "reset" not in plain.structure()["layers"][0] and "reset" not in to_nir(plain).nodes["hidden0"].to_dict()
