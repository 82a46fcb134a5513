"""``hypr export --search``: the table, the files, the bundle with the chosen format, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

from hardware.program_file import load


def test_search_exports_the_chosen_format(hypr_json, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, answer = hypr_json("export", small_run, "--search", "--max-loss", 2, "--to", "nir,onnx", "--out", out)
    assert code == 0
    chosen = [row for row in answer["search"]["rows"] if row["label"] == "chosen"]
    assert len(chosen) == 1
    program = load(out / "program.npz")
    assert json.loads(program.metadata["settings"]) == chosen[0]["settings"]
    assert [layer.input.weight_bits for layer in program.layers] == chosen[0]["settings"]["weight_bits"]
    assert answer["integer_test_accuracy"] == chosen[0]["test_accuracy"]
    found = json.loads((out / "search.json").read_text())
    assert len(found["all"]) == found["tried"] > 14
    loss = found["float"]["validation_accuracy"] - chosen[0]["validation_accuracy"]
    assert loss <= found["max_loss"] == 0.02
    assert (out / "search.png").stat().st_size > 5000
    code, _ = hypr_json("verify", out, "--engines", "emulator,onnx")
    assert code == 0, "files of the search must not disturb the bundle"


def test_search_shows_a_table_for_people(hypr, small_run: Path, tmp_path: Path) -> None:
    code, out, _ = hypr("export", small_run, "--search", "--max-loss", 5, "--to", "nir", "--out", tmp_path / "b")
    assert code == 0
    for word in ("chosen", "kbit", "validation", "float"):
        assert word in out


def test_search_and_a_format_exclude_each_other(hypr, small_run: Path, tmp_path: Path) -> None:
    code, _, error = hypr("export", small_run, "--search", "--weight-bits", 4, "--out", tmp_path / "b")
    assert code == 2
    assert "--search chooses the format; leave out --weight-bits" in error
    assert not (tmp_path / "b").exists()


def test_a_loss_that_is_no_number_of_points_is_refused(hypr, small_run: Path, tmp_path: Path) -> None:
    code, _, error = hypr("export", small_run, "--search", "--max-loss", -1, "--out", tmp_path / "b")
    assert code == 2
    assert "--max-loss" in error and len(error.strip().splitlines()) == 1


def test_a_run_trained_on_integers_is_exported_in_the_formats_of_its_training(hypr, hypr_json, tmp_path: Path) -> None:
    options = ["network.layers.0.width=8", "training.batch=256", "epochs=1", "device=cpu", "quantization=4"]
    code, _, _ = hypr("train", "digits-brf", *options, "--out", tmp_path / "run")
    assert code == 0
    trained = json.loads((tmp_path / "run" / "quantization.json").read_text())
    code, _ = hypr_json("export", tmp_path / "run", "--to", "nir", "--out", tmp_path / "own")
    assert code == 0
    assert json.loads(load(tmp_path / "own" / "program.npz").metadata["settings"]) == trained
    code, _ = hypr_json("export", tmp_path / "run", "--weight-bits", 8, "--to", "nir", "--out", tmp_path / "asked")
    assert code == 0
    assert [layer.input.weight_bits for layer in load(tmp_path / "asked" / "program.npz").layers] == [8, 8]
