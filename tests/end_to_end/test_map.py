"""``hypr map`` as a user calls it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_bundle_is_mapped_with_plan_cost_and_picture(hypr, hypr_json, small_bundle, tmp_path):
    code, answer = hypr_json("map", small_bundle, "--samples", "4", "--out", tmp_path / "map")
    assert code == 0 and answer["plan"]["cores"] and answer["cost"] and answer["neurobench"]
    assert json.loads((tmp_path / "map" / "map.json").read_text())["plan"] == answer["plan"]
    assert (tmp_path / "map" / "chip.svg").read_text().count("<svg") == 1
    code, output, _ = hypr("map", small_bundle, "--samples", "4")
    assert code == 0 and "fits on Intel Loihi 2" in output


def test_the_picture_shows_what_is_used_or_the_whole_chip(hypr_json, small_bundle, tmp_path):
    words = {}
    for name, options in (("part", ()), ("whole", ("--whole-chip",))):
        code, _ = hypr_json("map", small_bundle, "--rate", "0.1", "--out", tmp_path / name, *options)
        assert code == 0
        words[name] = (tmp_path / name / "chip.svg").read_text()
    assert "Shown: 4 of the 32 tiles" in words["part"]
    assert "All 32 tiles are shown" in words["whole"]
    assert words["whole"].count("<path") > 3 * words["part"].count("<path")


def test_a_place_that_cannot_be_written_is_told_before_the_run(hypr, small_bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder" / "map.json").mkdir(parents=True)
    monkeypatch.setattr("hypr.mapping.chip_map", lambda *_, **__: pytest.fail("it ran"))
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "folder"):
        code, _, error = hypr("map", small_bundle, "--out", place)
        assert code == 2 and str(place) in error
    assert (tmp_path / "file").read_text() == "mine"


def test_what_does_not_fit_ends_with_1_and_all_reasons(hypr, small_bundle):
    code, output, error = hypr("map", small_bundle, "--samples", "2", "--set", "fan_in=1", "--set", "weight_bits=4")
    assert code == 1
    assert "fan_in" in output + error and "weight_bits" in output + error
    code, output, error = hypr("map", small_bundle, "--set", "no_such_limit=3")
    assert code == 2 and "no_such_limit" in error and len(error.strip().splitlines()) == 1


def test_the_target_of_the_tutorial_is_read_and_used(hypr_json, small_bundle, tmp_path):
    page = (ROOT / "docs" / "tutorials" / "target.md").read_text()
    (tmp_path / "mine.toml").write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.S)[0])
    code, answer = hypr_json("map", small_bundle, "--samples", "2", "--target", tmp_path / "mine.toml")
    assert code == 0 and "mine" in json.dumps(answer["plan"])


def test_the_report_shows_plan_and_cost_on_the_chip_that_is_named(hypr, hypr_json, small_bundle, tmp_path):
    code, answer = hypr_json("map", small_bundle, "--target", "loihi1")
    assert code == 1, "BRF does not exist there"
    (tmp_path / "own.toml").write_text(
        'name = "own"\ntitle = "My chip"\nextends = "loihi1"\n[limits]\n'
        'fan_in = { value = 3, source = "me", confidence = "user" }\n'
    )
    page = tmp_path / "report.html"
    code, said = hypr_json("report", small_bundle, "--target", tmp_path / "own.toml", "--out", page)
    assert code == 0 and {"Where it fits: My chip", "What it costs: My chip"} <= set(said["sections"])
    text = page.read_text()
    assert "It does not fit: " in text and "prune synapses, or put a population between" in text
    synops = answer["cost"]["per_sample"]["synops_total"]
    assert f"It takes {synops:,.0f} synaptic operations" in text, "as counted by hypr map"
    code, _, error = hypr("report", small_bundle, "--target", "loihi9", "--out", page)
    assert code == 2 and "loihi9" in error and page.read_text() == text


def test_a_run_has_no_integers_to_map(hypr, small_run, tmp_path):
    code, _, error = hypr("report", small_run, "--target", "loihi2", "--out", tmp_path / "report.html")
    assert code == 2 and "export it" in error


def test_without_data_the_plan_is_shown_and_the_cost_left_out(hypr_json, small_bundle, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(small_bundle, bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["dataset"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, said = hypr_json("report", bundle)
    assert code == 0 and "Where it fits: Intel Loihi 2" in said["sections"]
    assert not [name for name in said["sections"] if name.startswith("What it costs")]
    assert [line for line in said["left_out"] if "cost on a chip" in line and "--data" in line]
