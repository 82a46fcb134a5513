"""The command line as a user meets it: the way from a recipe to a certificate, and one line for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hardware.lava import paths
from hypr.cli.app import VERBS
from hypr.training import checkpoint
from tests.paths import ROOT, cases_folder

WRONG = "tests.end_to_end.wrong_shift:engine"
ENGINES = f"emulator,onnx,{WRONG}"


def one_line(error: str) -> str:
    """The message, which must be a single line and no traceback."""
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def altered(bundle: Path, to: Path) -> Path:
    return Path(shutil.copytree(bundle, to))


def spikes(bundle: Path, path: Path, channels: int | None = None, kind: type = np.uint8) -> Path:
    """An INPUTS.npz of 20 steps and 2 samples."""
    size = json.loads((bundle / "manifest.json").read_text())["input"]["size"] if channels is None else channels
    values: np.ndarray = np.random.default_rng(0).integers(0, 2, (20, 2, size)).astype(kind)
    np.savez(path, input_spikes=values)
    return path


# ---- the way through


def test_every_verb_has_help_with_examples(hypr):
    for verb in VERBS:
        code, out, _ = hypr(verb, "--help")
        assert code == 0
        assert "Examples:" in out, verb
        assert f"hypr {verb}" in out, verb


def test_unknown_verb_names_the_nearest(hypr):
    code, _, error = hypr("verfy")
    assert code == 2
    assert "did you mean 'verify'?" in one_line(error)


def test_unknown_option_names_the_nearest(hypr):
    code, _, error = hypr("export", "x", "--weight-bit", "4", "--out", "y")
    assert code == 2
    assert "--weight-bits" in one_line(error)


def test_run_folder_is_complete(small_run):
    names = {path.name for path in small_run.iterdir()}
    wanted = {"config.toml", "environment.json", "metrics.jsonl", "best.safetensors", "last.safetensors", "curves.png"}
    assert wanted <= names


def test_training_says_what_it_reached(hypr_json, tmp_path):
    arguments = ["network.layers.0.width=4", "epochs=1", "training.batch=500", "--out", tmp_path / "run"]
    code, answer = hypr_json("train", "digits-brf", *arguments)
    assert code == 0
    assert answer["epochs"] == 1
    assert 0 <= answer["best"]["test"] <= 1


def test_json_output_is_one_document_and_stderr_has_no_bar(hypr, small_bundle, tmp_path):
    arguments = ["--engines", "onnx", "--samples", "3", "--out", tmp_path / "proof.json", "--json"]
    code, out, error = hypr("verify", small_bundle, *arguments)
    assert code == 0
    assert json.loads(out)["equal"] is True
    assert error == ""


def test_doctor_lists_engines_and_says_how_to_get_what_is_missing(hypr_json):
    code, answer = hypr_json("doctor")
    assert code == 0
    assert {"reference", "emulator", "onnx", "lava"} <= {check["name"] for check in answer["engines"]}
    for check in [*answer["engines"], *answer["packages"], *answer["data"]]:
        assert check["ok"] or check["fix"]


def test_data_list_names_root_and_presence(hypr_json):
    code, answer = hypr_json("data", "list")
    assert code == 0
    assert {entry["name"]: entry["present"] for entry in answer["data"]}["digits"] is True


@pytest.mark.parametrize("engine", ["float", "reference", "emulator", "onnx"])
def test_every_engine_writes_the_promised_arrays(hypr_json, small_bundle, tmp_path, engine):
    inputs = spikes(small_bundle, tmp_path / "in.npz")
    out = tmp_path / "out.npz"
    code, answer = hypr_json("run", small_bundle, inputs, "--engine", engine, "--record", "u,v", "--out", out)
    assert code == 0
    assert answer["engine"].startswith(engine)
    with np.load(out, allow_pickle=False) as found:
        assert set(found.files) == {"output", "predicted", "spikes/hidden0", "u/hidden0", "v/hidden0", "u/readout"}
        assert found["output"].shape == (20, 2, 10)
        assert found["spikes/hidden0"].shape == (20, 2, 12)


def test_engines_write_the_same_integers(hypr, small_bundle, tmp_path):
    inputs = spikes(small_bundle, tmp_path / "in.npz", kind=bool)
    arrays = {}
    for engine in ("reference", "emulator", "onnx"):
        assert (
            hypr("run", small_bundle, inputs, "--engine", engine, "--record", "all", "--out", tmp_path / engine)[0] == 0
        )
        with np.load(tmp_path / engine, allow_pickle=False) as found:
            arrays[engine] = {name: found[name] for name in found.files}
    for name, expected in arrays["reference"].items():
        for engine in ("emulator", "onnx"):
            np.testing.assert_array_equal(arrays[engine][name], expected, err_msg=f"{engine} {name}")


def test_verify_writes_a_certificate_that_holds(hypr_json, small_bundle, tmp_path):
    proof = tmp_path / "proof.json"
    code, answer = hypr_json("verify", small_bundle, "--engines", "onnx", "--samples", "5", "--out", proof)
    assert code == 0
    assert answer["equal"] is True
    content = json.loads(proof.read_text())
    assert content["program_sha256"] == json.loads((small_bundle / "manifest.json").read_text())["program_sha256"]
    assert all(content["checks"].values())
    assert {entry["engine"] for entry in content["comparisons"]} == {"onnx", "reference"}
    assert all(entry["integers_compared"] > 0 == entry["integers_differing"] for entry in content["comparisons"])


def test_verify_finds_a_wrong_shift_and_says_where(hypr_json, small_bundle, tmp_path):
    proof = tmp_path / "proof.json"
    code, answer = hypr_json("verify", small_bundle, "--engines", ENGINES, "--samples", "5", "--out", proof)
    assert code == 1
    assert answer["equal"] is False
    found = {entry["engine"]: entry for entry in answer["comparisons"]}
    assert found["onnx"]["integers_differing"] == 0
    wrong = found[WRONG]
    assert wrong["integers_differing"] > 0
    first = wrong["first_divergence"]
    assert first["layer"] == "hidden0"
    assert first["state"] in ("u", "v", "q")
    # Rounding down instead of toward zero is one too low, in a sum of two products at most two; v is subtracted from u.
    assert 1 <= abs(first["value_engine"] - first["value_against"]) <= 2
    assert first["clause"].startswith("FP-3.1")


def test_verify_prints_the_place_of_the_first_difference(hypr, small_bundle, tmp_path):
    code, out, _ = hypr(
        "verify", small_bundle, "--engines", ENGINES, "--samples", "5", "--out", tmp_path / "proof.json"
    )
    assert code == 1
    assert f"first difference, {WRONG} against emulator: step" in out
    assert "layer hidden0" in out
    assert "DIFFERENT" in out


def test_report_of_run_and_bundle_is_one_self_contained_page(hypr_json, small_run, small_bundle, tmp_path):
    for folder, title in ((small_run, "Training run"), (small_bundle, "Deployment report")):
        page = tmp_path / "page.html"
        code, answer = hypr_json("report", folder, "--out", page)
        assert code == 0
        assert answer["title"].startswith(title)
        text = page.read_text()
        assert "<svg" in text
        assert 'src="http' not in text
        # Only a bundle has something to look at by hand: two scripts of data, and the page's own.
        assert text.count("<script") == (0 if folder == small_run else 3)


def test_report_escapes_names(hypr_json, small_run, tmp_path):
    copy = altered(small_run, tmp_path / "run")
    settings = (
        (copy / "config.toml").read_text().replace('name = "digits-brf"', 'name = "<script>alert(1)</script>"', 1)
    )
    (copy / "config.toml").write_text(settings)
    assert hypr_json("report", copy)[0] == 0
    assert "<script>" not in (copy / "report.html").read_text()


# ---- mistakes


def test_recipe_with_an_unknown_key(hypr, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'name = "mine"\n[data]\nname = "digits"\n[training]\nepoch = 3\n[[network.layers]]\nneuron = "brf"\nwidth = 4\n'
    )
    code, _, error = hypr("train", recipe, "--out", tmp_path / "run")
    assert code == 2
    assert "training.epoch" in one_line(error)
    assert "epochs" in error
    assert not (tmp_path / "run").exists()


def test_truncated_program_file(hypr, small_bundle, tmp_path):
    copy = altered(small_bundle, tmp_path / "bundle")
    content = (copy / "program.npz").read_bytes()
    (copy / "program.npz").write_bytes(content[: len(content) // 2])
    code, _, error = hypr("verify", copy)
    assert code == 2
    assert "program.npz" in one_line(error)
    assert str(len(content)) in error


def test_truncated_program_file_whose_manifest_was_made_to_agree(hypr, small_bundle, tmp_path):
    from export.verification.certificate import file_hash

    copy = altered(small_bundle, tmp_path / "bundle")
    path = copy / "program.npz"
    path.write_bytes(path.read_bytes()[:-100])
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["program.npz"] = {"sha256": file_hash(path), "bytes": path.stat().st_size}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    code, _, error = hypr("verify", copy)
    assert code == 2
    assert "program.npz" in one_line(error)


def test_nan_weight_in_a_checkpoint(hypr, small_run, tmp_path):
    copy = altered(small_run, tmp_path / "run")
    saved = checkpoint.read(copy / "best.safetensors")
    name = next(name for name, tensor in saved.tensors.items() if name.endswith("weight"))
    saved.tensors[name].view(-1)[3] = float("nan")
    checkpoint.save(copy / "best.safetensors", saved.tensors, saved.details)
    code, _, error = hypr("export", copy, "--out", tmp_path / "bundle")
    assert code == 2
    assert "NaN" in one_line(error)
    assert name in error
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("engine", ["float", "reference", "emulator", "onnx"])
def test_inputs_of_the_wrong_shape(hypr, small_bundle, tmp_path, engine):
    inputs = spikes(small_bundle, tmp_path / "in.npz", channels=3)
    code, _, error = hypr("run", small_bundle, inputs, "--engine", engine, "--out", tmp_path / "out.npz")
    assert code == 2
    assert "(20, 2, 3)" in one_line(error)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("content", ["two axes", "floats", "pickle", "no key", "cut", "not there"])
def test_inputs_that_are_not_inputs(hypr, small_bundle, tmp_path, content):
    path = tmp_path / "in.npz"
    if content == "two axes":
        np.savez(path, input_spikes=np.zeros((20, 2), np.uint8))
    elif content == "floats":
        np.savez(path, input_spikes=np.zeros((20, 2, 16)))
    elif content == "pickle":
        np.savez(path, input_spikes=np.array([{"a": 1}], dtype=object))
    elif content == "no key":
        np.savez(path, x=np.zeros((20, 2, 16), np.uint8))
    elif content == "cut":
        spikes(small_bundle, path)
        path.write_bytes(path.read_bytes()[:-30])
    code, _, error = hypr("run", small_bundle, path, "--engine", "emulator", "--out", tmp_path / "out.npz")
    assert code == 2
    assert "in.npz" in one_line(error)


def test_missing_lava_runtime(hypr, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_HOME", str(tmp_path / "empty"))
    inputs = spikes(small_bundle, tmp_path / "in.npz")
    for arguments in (
        ("run", small_bundle, inputs, "--engine", "lava", "--out", tmp_path / "out.npz"),
        ("verify", small_bundle, "--engines", "lava", "--samples", "2"),
        ("lava", "status"),
    ):
        code, _, error = hypr(*arguments)
        assert code == 3, arguments
        assert paths.INSTALL_COMMAND in one_line(error)


def test_unknown_engine_names_the_nearest(hypr, small_bundle):
    code, _, error = hypr("verify", small_bundle, "--engines", "emulatr")
    assert code == 2
    assert "did you mean 'emulator'?" in one_line(error)


@pytest.mark.parametrize("place", ["no.such.module:engine", "tests.paths:nothing", "tests.paths:ROOT", ":"])
def test_engine_of_the_user_that_is_none(hypr, small_bundle, place):
    code, _, error = hypr("verify", small_bundle, "--engines", place)
    assert code == 2
    one_line(error)


def test_unknown_state_is_answered_with_the_states(hypr, small_bundle, tmp_path):
    inputs = spikes(small_bundle, tmp_path / "in.npz")
    code, _, error = hypr("run", small_bundle, inputs, "--engine", "emulator", "--record", "x", "--out", tmp_path / "o")
    assert code == 2
    assert "u/hidden0" in one_line(error)


def test_folder_that_is_neither_run_nor_bundle(hypr, tmp_path):
    for arguments in (("report", tmp_path), ("export", tmp_path, "--out", tmp_path / "b"), ("verify", tmp_path)):
        code, _, error = hypr(*arguments)
        assert code == 2
        assert str(tmp_path) in one_line(error)


def test_bundle_that_is_there_is_kept(hypr, small_run, small_bundle):
    before = (small_bundle / "manifest.json").read_bytes()
    code, _, error = hypr("export", small_run, "--out", small_bundle)
    assert code == 2
    assert str(small_bundle) in one_line(error)
    assert (small_bundle / "manifest.json").read_bytes() == before


def test_errors_are_json_where_json_was_asked_for(hypr, tmp_path):
    code, out, error = hypr("verify", tmp_path, "--json")
    answer = json.loads(out)
    assert code == answer["exit_code"] == 2
    assert answer["ok"] is False
    assert answer["error"] in one_line(error)


def test_closed_pipe_is_no_error():
    script = f"{sys.executable} -m hypr data list | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


# ---- networks from elsewhere, and benchmarks


@pytest.mark.parametrize(
    ("name", "preset"), [("norse_ff_lifbox_libox", "norse"), ("snntorch_rleaky_subtract_default", "snntorch")]
)
def test_import_of_another_framework_is_verified_on_its_own_inputs(hypr_json, tmp_path, name, preset):
    folder = cases_folder("nir")
    with np.load(folder / f"{name}.npz") as case:
        np.savez(tmp_path / "in.npz", input_spikes=case["input_spikes"].astype(np.uint8))
    arguments = ["--preset", preset, "--calibration", tmp_path / "in.npz", "--out", tmp_path / "bundle"]
    code, answer = hypr_json("import", folder / f"{name}.nir", *arguments)
    assert code == 0, answer
    code, answer = hypr_json("verify", tmp_path / "bundle", "--inputs", tmp_path / "in.npz", "--engines", "onnx")
    assert code == 0
    assert answer["equal"] is True
    assert hypr_json("report", tmp_path / "bundle")[0] == 0


def test_import_that_cannot_be_exact_is_refused_with_the_reason(hypr, tmp_path):
    file = cases_folder("nir") / "braille_noDelay_bias_zero.nir"
    common = ["--state-fraction-bits", "8", "--out", tmp_path / "bundle"]
    code, _, error = hypr("import", file, "--preset", "nir-paper-braille", "--synaptic-bias", "refuse", *common)
    assert code == 2
    assert "synaptic current" in one_line(error)
    code, _, error = hypr("import", file, "--preset", "rockpool", "--reset", "zero", *common)
    assert code == 2
    assert "several spikes per step with reset 'zero'" in one_line(error)
    assert not (tmp_path / "bundle").exists()


def test_import_without_a_scale_for_states_says_what_to_give(hypr, tmp_path):
    code, _, error = hypr("import", tmp_path / "x.nir", "--out", tmp_path / "bundle")
    assert code == 2
    assert "--calibration" in one_line(error)


def test_import_of_a_file_that_is_no_nir(hypr, tmp_path):
    path = tmp_path / "x.nir"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    code, _, error = hypr("import", path, "--state-fraction-bits", "8", "--out", tmp_path / "bundle")
    assert code == 2
    assert "x.nir" in one_line(error)


def test_unknown_benchmark_suite(hypr):
    code, _, error = hypr("bench", "trainig")
    assert code == 2
    assert "did you mean 'training'?" in one_line(error)
