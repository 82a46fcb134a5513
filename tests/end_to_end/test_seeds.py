"""Several seeds: runs side by side in processes of their own, resumable, and what is said of them together."""

from __future__ import annotations

import json
import math
import statistics

import pytest

from hypr.cli.app import run
from hypr.errors import HyprError
from hypr.training import runs
from hypr.training.comparison import Group, Mean, gather
from hypr.training.seeds import parse_seeds, train_seeds

SMALL = ["network.layers.0.width=8", "training.batch=512", "device=cpu", "epochs=2", "data.split_seed=0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    for name, rule in (("hypr", []), ("bptt", ["rule=bptt"])):
        assert train_seeds("digits-brf", [*SMALL, *rule], [3, 1], folder / name, jobs=2) == []
    return folder


def test_each_seed_is_a_run_of_its_own(trained):
    for seed in (1, 3):
        found = runs.open_run(trained / "hypr" / f"seed-{seed}")
        assert found.config.training.seed == seed and found.result is not None


def test_finished_runs_are_left_alone_and_others_continued(trained):
    folder = trained / "hypr"
    before = (folder / "seed-1" / "result.json").stat().st_mtime_ns
    (folder / "seed-3" / "result.json").unlink()
    with pytest.raises(HyprError, match="holds a run already; continue with --resume"):
        train_seeds("digits-brf", SMALL, [1, 3], folder)
    told: list[tuple[int, str]] = []
    assert train_seeds("digits-brf", SMALL, [1, 3], folder, resume=True, told=lambda *one: told.append(one)) == []
    assert told == [(1, "was finished"), (3, "started"), (3, "finished")]
    assert (folder / "seed-1" / "result.json").stat().st_mtime_ns == before
    assert (folder / "seed-3" / "result.json").exists()


def test_a_run_that_fails_is_named_with_its_reason(tmp_path):
    told: list[tuple[int, str]] = []
    failed = train_seeds(
        "digits-brf", [*SMALL, "loss.kind=entropy"], [0], tmp_path, told=lambda *one: told.append(one)
    )  # fmt: skip
    assert failed == [0] and "unknown loss 'entropy'" in told[-1][1]


def test_runs_are_grouped_by_what_differs_and_compared_by_seed(trained):
    one, other = gather([trained / "hypr", trained / "bptt"])
    assert "rule=hypr" in one.label and "rule=bptt" in other.label and list(one.runs) == [1, 3]
    values = [json.loads((trained / "bptt" / f"seed-{s}" / "result.json").read_text())["best"]["test"] for s in (1, 3)]
    mean = other.mean("test")
    assert mean is not None and mean.value == statistics.fmean(values)
    assert mean.error is not None and math.isclose(mean.error, abs(values[0] - values[1]) / 2)
    difference = other.difference(one, "test")
    expected = [b - a["test"] for b, a in zip(values, one.runs.values(), strict=True)]
    assert difference is not None and math.isclose(difference.value, statistics.fmean(expected))
    assert all(run["spikes_per_step"] > 0 and run["seconds_per_epoch"] > 0 for run in one.runs.values())


def test_only_shared_seeds_are_paired():
    one = Group("a", {0: {"test": 0.5}, 1: {"test": 0.7}})
    other = Group("b", {1: {"test": 0.8}, 2: {"test": 0.1}})
    assert other.difference(one, "test") == Mean(pytest.approx(0.1), None, 1)
    assert Group("c", {5: {}}).difference(one, "test") is None and Group("c", {5: {}}).mean("test") is None


def test_the_verbs_say_it(trained, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    assert run(["compare", str(trained / "hypr"), str(trained / "bptt"), "--picture", str(picture), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [len(group["runs"]) for group in answer["groups"]] == [2, 2]
    assert answer["groups"][0]["difference"]["test"]["value"] == 0.0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(["compare", str(trained / "hypr"), str(trained / "bptt")]) == 0
    out = capsys.readouterr().out
    assert "seed by seed" in out and "rule=bptt" in out
    assert run(["compare", str(trained / "hypr" / "seed-1"), str(trained / "hypr")]) == 2
    assert "a second run" in capsys.readouterr().err
    assert run(["compare", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    arguments = ["train", "digits-brf", *SMALL, "--seeds", "1,3", "--out", str(trained / "hypr"), "--resume"]
    assert run(arguments) == 0
    assert "2 of 2 runs finished" in capsys.readouterr().out
    assert run(["train", "digits-brf", "--jobs", "2", "--out", str(tmp_path / "x")]) == 2
    assert "give --seeds too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"), [("0-3", [0, 1, 2, 3]), ("4", [4]), ("5, 1-2", [5, 1, 2])]
)  # fmt: skip
def test_seeds_are_written_as_numbers_and_ranges(text, expected):
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,1", "0-2,2", "-1", "0-5000"])
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(HyprError, match="seeds") as error:
        parse_seeds(text)
    assert "\n" not in str(error.value)


def test_the_seed_is_not_given_twice(tmp_path):
    with pytest.raises(HyprError, match="keep one of them"):
        train_seeds("digits-brf", ["seed=1"], [0], tmp_path)
