"""``hypr train RECIPE stage=ENGINE``: the run is that of the emulator, its cost is told before it starts, and a missing
engine is one line.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hypr import extensions
from hypr.cli.app import run
from hypr.training.stage import duration
from tests.end_to_end.lava_support import runtime_python

BOARD = """
from pathlib import Path
from hardware import emulate

calls = []

def frail(program, inputs, state):
    calls.append(state)
    if len(calls) > 10 and Path("unplugged").exists():  # in the second epoch
        raise OSError("no answer")
    return emulate(program, inputs, "all", state)

def board(program, inputs, state):
    return emulate(program, inputs, "all", state)

def deaf(program, inputs, state):
    return emulate(program, 0 * inputs, "all", state)
"""


WIDTH = "network.layers.0.width=24"


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A float network that fires, to begin with."""
    folder = tmp_path_factory.mktemp("start") / "run"
    assert run(["train", "digits-brf", WIDTH, "epochs=4", "device=cpu", "--out", str(folder)]) == 0
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["activity"]["hidden0"]["rate"] > 0.02 and line["validation_accuracy"] > 0.4
    return folder


@pytest.fixture(scope="module")
def emulated(start) -> Path:
    """A run whose integers the emulator runs, which quantization alone asks for."""
    out = start.parent / "emulated"
    assert run(["train", "digits-brf", *few(start), "quantization=8", "--out", str(out)]) == 0
    return out


def few(start: Path) -> list[str]:
    """Six updates from there."""
    return [WIDTH, "device=cpu", "training.batch=256", f"training.initial={start}", "epochs=1", "lr=0.02"]


def test_lava_in_the_loop_trains_the_network_of_the_emulator_and_tells_its_cost_first(hypr, start, emulated, tmp_path):
    runtime_python()
    out = tmp_path / "lava"
    code, _, said = hypr("train", "digits-brf", *few(start), "stage=lava", "--out", out)
    assert code == 0
    cost = re.match(
        r"stage lava: (\S+) s for a run of 64 steps and 256 sequences; an update needs one run of 64 steps, so about "
        r"\S+ s for (\d+) updates, and validation on top\n",
        said,
    )
    assert cost is not None and float(cost[1]) > 0.1 and int(cost[2]) == 6
    assert (out / "last.safetensors").read_bytes() == (emulated / "last.safetensors").read_bytes()
    assert 'stage = "lava"' in (out / "config.toml").read_text()
    assert (
        json.loads((out / "result.json").read_text())["best"]
        == json.loads((emulated / "result.json").read_text())["best"]
    )


def test_a_chip_of_ones_own_runs_in_the_loop_and_only_where_the_user_names_it(
    hypr, start, emulated, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("boards_of_mine.py").write_text(BOARD)
    for name, same in (("board", True), ("deaf", False)):
        code, _, said = hypr(
            "train", "digits-brf", *few(start), f"stage=boards_of_mine:{name}", "--out", tmp_path / name
        )
        assert code == 0 and said.startswith(f"stage {name}: ")
        weights = (tmp_path / name / "last.safetensors").read_bytes()
        assert (weights == (emulated / "last.safetensors").read_bytes()) is same
    monkeypatch.setattr(extensions, "_permitted", set())  # as in another process
    code, _, said = hypr("train", tmp_path / "board" / "config.toml", "--out", tmp_path / "again")
    assert code == 2 and "is code that a file names" in said and "stage=boards_of_mine:board" in said
    assert not (tmp_path / "again").exists()


def test_a_missing_or_unknown_engine_is_one_line_before_anything_is_written(hypr, tmp_path, monkeypatch):
    code, _, said = hypr("train", "digits-brf", "stage=lawa", "--out", tmp_path / "run")
    assert code == 2 and said.startswith("hypr: unknown engine 'lawa'; did you mean 'lava'?") and said.count("\n") == 1
    monkeypatch.setenv("HYPR_HOME", str(tmp_path / "nothing"))
    code, _, said = hypr("train", "digits-brf", "stage=lava", "--out", tmp_path / "run")
    assert code == 3 and said.endswith("install it with: hypr lava install\n") and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_whose_chip_stopped_answering_goes_on_when_it_answers_again(hypr, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("frail_boards.py").write_text(BOARD)
    settings = [*few(start), "epochs=2", "stage=frail_boards:frail"]
    assert hypr("train", "digits-brf", *settings[:-1], "quantization=8", "--out", "whole")[0] == 0
    Path("unplugged").touch()
    code, _, said = hypr("train", "digits-brf", *settings, "--out", "run")
    assert code == 2 and said.endswith("hypr: engine 'frail' failed (OSError: no answer); repair it\n")
    Path("unplugged").unlink()
    assert hypr("train", "digits-brf", *settings, "--out", "run", "--resume")[0] == 0
    assert Path("run/last.safetensors").read_bytes() == Path("whole/last.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (600, "10.0 min"), (9000, "2.5 h"), (432_000, "5.0 days")]
)
def test_durations_are_told_in_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text
