"""``hypr map`` as a user calls it."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_bundle_is_mapped_with_plan_cost_and_picture(hypr, hypr_json, small_bundle, tmp_path):
    code, answer = hypr_json("map", small_bundle, "--samples", "4", "--out", tmp_path / "map")
    assert code == 0 and answer["plan"]["cores"] and answer["cost"] and answer["neurobench"]
    assert json.loads((tmp_path / "map" / "map.json").read_text())["plan"] == answer["plan"]
    assert (tmp_path / "map" / "chip.svg").read_text().count("<svg") == 1
    code, output, _ = hypr("map", small_bundle, "--samples", "4")
    assert code == 0 and "fits on Intel Loihi 2" in output


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
