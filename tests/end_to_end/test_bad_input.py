"""Bad input of every kind is answered with one line: arrays, JSON, TOML, optimiser state, data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch

from tests import hostile_files as bad

# ---- inputs.npz


@pytest.mark.parametrize("kind", bad.BAD_ARRAYS)
def test_a_file_that_holds_no_inputs_is_one_line_that_names_it(tree, tree_bundle, tmp_path, kind):
    path = tmp_path / "in.npz"
    bad.BAD_ARRAYS[kind](path)
    out = tmp_path / "out.npz"
    answer = tree.hypr("run", tree_bundle, path, "--engine", "emulator", "--out", out)
    if kind != "values below the range" and kind != "values beyond 32 bits":
        assert "in.npz" in answer.line
    assert answer.line and not out.exists() and answer.grown_mib < 512


@pytest.mark.parametrize("kind", ["a single array", "an encrypted member", "broken compression", "a shape of 2^50"])
@pytest.mark.parametrize("option", ["--inputs", "--calibration"])
def test_other_verbs_that_read_inputs_say_so_likewise(tree, tree_bundle, tmp_path, kind, option):
    path = tmp_path / "in.npz"
    bad.BAD_ARRAYS[kind](path)
    arguments: tuple[object, ...]
    if option == "--inputs":
        arguments = ("verify", tree_bundle, "--engines", "emulator", "--out", tmp_path / "proof.json")
    else:
        arguments = ("import", tree_bundle / "network.nir", "--out", tmp_path / "bundle")
    assert "in.npz" in tree.hypr(*arguments, option, path).line


# ---- JSON

VALUES = {"nested too deep": bad.DEEP, "5,000 digits": bad.DIGITS, "cut short": "{"}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["manifest.json", "certificate.json"])
def test_json_that_python_cannot_hold_is_one_line_for_a_bundle(tree, tree_bundle, tmp_path, name, value):
    bundle = shutil.copytree(tree_bundle, tmp_path / "bundle")
    content = (bundle / name).read_text() if (bundle / name).exists() else '{"equal": true}'
    key = next(iter(json.loads(content)))
    (bundle / name).write_text(bad.replaced(content, (key,), VALUES[value]))
    answer = tree.hypr("report", bundle, "--out", tmp_path / "page.html")
    if answer.code:
        assert name in answer.line
    else:  # a page without what cannot be read, and a warning
        assert name in answer.err and "Traceback" not in answer.err
    if name == "manifest.json":
        assert name in tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2").line


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["result.json", "environment.json", "metrics.jsonl"])
def test_json_that_python_cannot_hold_is_one_line_for_a_run(tree, tree_run, tmp_path, name, value):
    run = shutil.copytree(tree_run, tmp_path / "run")
    lines = (run / name).read_text().splitlines() if name.endswith("l") else [(run / name).read_text()]
    key = next(iter(json.loads(lines[0])))
    lines[0] = bad.replaced(lines[0], (key,), VALUES[value])
    (run / name).write_text("\n".join(lines) + "\n")
    assert name in tree.hypr("report", run, "--out", tmp_path / "page.html").line


FIELDS = (
    ("result.json", ("best",), "[]"),
    ("result.json", ("best", "test"), '"high"'),
    ("result.json", ("best_epoch",), "[[]]"),
    ("result.json", ("decision",), "7"),
    ("result.json", ("metric",), "{}"),
    ("environment.json", ("packages",), "[1]"),
    ("environment.json", ("data",), '"here"'),
    ("environment.json", ("kernels",), "3"),
    ("environment.json", ("data_source",), "[1]"),
    ("metrics.jsonl", ("loss",), '"low"'),
    ("metrics.jsonl", ("epoch",), "null"),
    ("metrics.jsonl", ("activity",), "[]"),
    ("metrics.jsonl", ("activity", "hidden0"), '"much"'),
    ("metrics.jsonl", ("validation_accuracy",), "{}"),
)


@pytest.mark.parametrize(("name", "place", "value"), FIELDS, ids=lambda item: str(item))
def test_a_field_of_another_type_is_no_traceback_in_the_report_of_a_run(tree, tree_run, tmp_path, name, place, value):
    run = shutil.copytree(tree_run, tmp_path / "run")
    lines = (run / name).read_text().splitlines() if name.endswith("l") else [(run / name).read_text()]
    lines[0] = bad.replaced(lines[0], place, value)
    (run / name).write_text("\n".join(lines) + "\n")
    answer = tree.hypr("report", run, "--out", tmp_path / "page.html")
    assert answer.code == 0 or name in answer.line
    assert "Traceback" not in answer.err


OF_MANIFEST = (
    (("layers",), "7"),
    (("layers",), '["a"]'),
    (("layers", 0), "null"),
    (("layers", 0, "size"), '"12"'),
    (("input",), "[]"),
    (("input", "low"), "{}"),
    (("decision",), "[]"),
    (("decision", "rule"), "[]"),
    (("metrics",), "[0.5]"),
    (("metrics", "float_test_accuracy"), '"high"'),
    (("dataset",), '"digits"'),
    (("dataset", "options"), "[1]"),
    (("dataset", "name"), "3"),
    (("notes",), "[]"),
    (("notes", "training"), "{}"),
    (("versions",), "[]"),
    (("seed",), "{}"),
    (("reading",), "[]"),
    (("files", "program.npz"), "[]"),
    (("files", "program.npz", "bytes"), '"many"'),
    (("format_version",), "[[]]"),
    (("program_sha256",), "{}"),
)


@pytest.mark.parametrize(("place", "value"), OF_MANIFEST, ids=lambda item: str(item))
def test_a_field_of_another_type_is_no_traceback_for_a_bundle(tree, tree_bundle, tmp_path, place, value):
    bundle = shutil.copytree(tree_bundle, tmp_path / "bundle")
    content = json.loads((bundle / "manifest.json").read_text())
    if place[0] not in ("dataset", "metrics"):  # then there is less to compute again, which takes a second
        content.update(dataset=None, metrics={})
    (bundle / "manifest.json").write_text(bad.replaced(json.dumps(content), place, value))
    page, proof = tmp_path / "page.html", tmp_path / "proof.json"
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    answer = tree.hypr("report", bundle, "--out", page)
    assert answer.code == 0 or answer.line
    assert "Traceback" not in answer.err
    given = ("--inputs", tmp_path / "in.npz") if content["dataset"] is None else ()
    answer = tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", proof, *given)
    if answer.code != 1:  # 1: a line in the table says that the manifest is not this program's
        assert "manifest.json" in answer.line or "bundle" in answer.line
    assert "Traceback" not in answer.err


# ---- TOML

RECIPE = """
name = "mine"
[data]
name = "digits"
[[network.layers]]
neuron = "lif"
width = 5
[optimiser]
lr = {lr}
[training]
epochs = {epochs}
batch = 16
"""


@pytest.mark.parametrize(
    ("lr", "epochs"),
    [
        (bad.DEEP, "1"),
        ("0.1", bad.DIGITS),
        ("0.1", "0x" + "f" * 5000),
        (bad.DIGITS, "1"),
        ("{ a = " * 5000 + "1" + " }" * 5000, "1"),
        ("nan", "1"),
        ("inf", "1"),
        ("0.1", "1e400"),
        ("0.1", "-1"),
        ("0.1", '"\\u0000"'),
    ],
    ids=lambda item: item[:12],
)
def test_toml_that_python_cannot_hold_is_one_line(tree, tmp_path, lr, epochs):
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE.format(lr=lr, epochs=epochs))
    assert len(tree.hypr("train", path, "--out", tmp_path / "run").line) < 1000
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("value", [bad.DEEP[:2000] + bad.DEEP[-2000:], bad.DIGITS, "1e400", "nan"], ids=lambda v: v[:9])
def test_an_override_that_python_cannot_hold_is_one_line(tree, tmp_path, value):
    assert tree.hypr("train", "digits-brf", f"epochs={value}", "--out", tmp_path / "run").line


@pytest.mark.parametrize("value", [bad.DEEP, bad.DIGITS], ids=["deep", "digits"])
def test_a_recorded_configuration_that_python_cannot_hold_is_one_line(tree, tree_run, tmp_path, value):
    run = shutil.copytree(tree_run, tmp_path / "run")
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(f"x = {value}\n{text}")
    assert "config.toml" in tree.hypr("report", run, "--out", tmp_path / "page.html").line


# ---- optimiser state


@pytest.mark.parametrize("lost", ["step", "exp_avg", "exp_avg_sq"])
def test_an_optimiser_state_without_one_of_its_parts_is_one_line(tree, tree_run, tmp_path, lost):
    run = shutil.copytree(tree_run, tmp_path / "run")
    (run / "result.json").unlink()
    path = run / "resume.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        known = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    known.pop("sha256", None)
    gone = [name for name in tensors if name.rpartition("/")[2] == lost or name.endswith(f".{lost}")]
    assert gone, sorted(tensors)
    left = {name: value for name, value in tensors.items() if name not in gone[:1]}
    path.write_bytes(safetensors.torch.save(left, {**known, "format": "hypr-checkpoint-1"}))
    details = json.loads(known["details"])
    assert details  # a whole file otherwise, in the format that has no hash
    options = ("network.layers.0.width=12", "training.batch=512", "epochs=2", "device=cpu", "--resume", "--out", run)
    assert "resume.safetensors" in tree.hypr("train", "digits-brf", *options).line


# ---- data sets


@pytest.mark.parametrize("kind", bad.BAD_IDX)
def test_an_idx_file_that_is_none_is_one_line(tree, tmp_path, kind):
    path = tmp_path / "images.gz"
    bad.BAD_IDX[kind](path)
    code = f"from hypr.data.mnist import read_idx; from pathlib import Path; read_idx(Path({str(path)!r}), 3)"
    answer = tree.python(code)
    assert "images.gz" in answer.line and answer.grown_mib < 512


@pytest.mark.parametrize("kind", bad.BAD_WAV)
def test_a_recording_that_is_not_whole_is_one_line(tree, tmp_path, kind):
    path = tmp_path / "0_anna_0.wav"
    bad.BAD_WAV[kind](path)
    code = f"from hypr.data.fsdd import read_wav; from pathlib import Path; read_wav(Path({str(path)!r}))"
    answer = tree.python(code)
    assert "0_anna_0.wav" in answer.line


LOAD = "from hypr import data; print(data.load('shd', 'test').dense().sum())"


def test_spikes_of_the_far_future_are_left_out(tree, tmp_path):
    for late in (None, 1.1, 9e9, 1e17, 1e300):
        bad.spikes_file(tmp_path / "shd" / "shd_test.h5", late=late)
        answer = tree.python(LOAD, env={"HYPR_DATA": str(tmp_path)})
        assert (answer.code, answer.out) == (0, "3\n"), (late, answer)


@pytest.mark.parametrize("labels", [0, [[0, 1]], [0.5, 1.0], [b"a", b"b"], [-1, 0], [0], [2**62, 0]], ids=str)
def test_labels_of_spike_trains_that_are_no_list_of_classes_are_one_line(tree, tmp_path, labels):
    bad.spikes_file(tmp_path / "shd" / "shd_test.h5", labels)
    assert "shd_test.h5" in tree.python(LOAD, env={"HYPR_DATA": str(tmp_path)}).line


@pytest.mark.parametrize("times", [np.inf, np.nan, -1e-9, -1e300])
def test_times_that_are_none_are_one_line(tree, tmp_path, times):
    bad.spikes_file(tmp_path / "shd" / "shd_test.h5", late=times)
    assert "shd_test.h5" in tree.python(LOAD, env={"HYPR_DATA": str(tmp_path)}).line


def test_the_files_that_are_changed_here_are_read_when_they_are_not(tree, tree_bundle, tree_run, tmp_path):
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    answer = tree.hypr("run", tree_bundle, tmp_path / "in.npz", "--engine", "emulator", "--out", tmp_path / "out.npz")
    assert answer.code == 0, answer
    bad.wav(tmp_path / "0_anna_0.wav", 800)
    bad.idx(tmp_path / "i.gz", (2, 28, 28), bytes(1568))
    code = (
        "from pathlib import Path; from hypr.data.fsdd import read_wav; from hypr.data.mnist import read_idx; "
        f"place = Path({str(tmp_path)!r}); "
        "print(len(read_wav(place / '0_anna_0.wav')), read_idx(place / 'i.gz', 3).shape)"
    )
    assert tree.python(code).out == "400 (2, 28, 28)\n"
    for folder in (tree_run, tree_bundle):
        assert tree.hypr("report", folder, "--out", tmp_path / "page.html").code == 0
    assert Path(tmp_path / "page.html").stat().st_size > 1000
