"""The tutorial about a chip in the loop: a chip that differs loses accuracy, training on it regains it, and the
commands of the page work as they stand there.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from hypr.examples.in_the_loop import on_digits
from tests.paths import ROOT

PAGE = ROOT / "docs" / "tutorials" / "in_the_loop.md"
NAMES = ("float", "right chip", "odd chip", "odd chip, trained on without it", "odd chip, trained in the loop")


def test_training_in_the_loop_regains_what_a_chip_with_other_thresholds_loses():
    found = on_digits(seed=1, neurons=48, epochs=8, more=4)
    assert tuple(found) == NAMES
    assert found["float"] > 0.5 and abs(found["right chip"] - found["float"]) < 0.06
    assert found["odd chip"] < found["right chip"] - 0.2
    assert found["odd chip, trained on without it"] < found["right chip"] - 0.2
    assert found["odd chip, trained in the loop"] > found["right chip"] - 0.08


@pytest.mark.slow
def test_the_figures_of_the_page_are_those_of_the_example():
    """To 5 points, the mean of three seeds to 3: kernel roundings of another processor move a single training."""
    page = PAGE.read_text()
    (header,) = [line for line in page.splitlines() if line.startswith("| seed |")]
    assert tuple(cell.strip() for cell in header.strip("|").split("|")[1:]) == NAMES
    rows = re.findall(r"^\| (\d) \|(.*)\|$", page, re.MULTILINE)
    told = np.array([[float(cell) for cell in cells.split("|")] for _, cells in rows])
    found = np.array([[100 * value for value in on_digits(int(seed)).values()] for seed, _ in rows])
    assert told.shape == (3, len(NAMES))
    assert np.abs(found - told)[:, [0, 1, 4]].max() < 5 and np.abs(found.mean(0) - told.mean(0))[[0, 1, 4]].max() < 3
    assert (found[:, 2:4] < found[:, 1:2] - 25).all()


def test_the_commands_of_the_page_train_in_the_loop(hypr, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^hypr (train .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 3
    quick = ["network.layers.0.width=24", "epochs=1", "training.batch=512", "device=cpu"]
    for command in commands:
        engine = re.search(r"stage=(\S+)", command)
        code, _, said = hypr(*command.split(), *quick)
        missing = code == 3 and engine is not None and engine[1] == "lava"
        assert code == 0 or missing, said
        if engine is not None and not missing:
            assert said.startswith(f"stage {engine[1].rpartition(':')[2]}: ")
