"""``hypr import`` and ``hypr run FILE.nir``: conventions by name, refusals that name the flag, bundles without
integers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.paths import cases_folder


@pytest.fixture(scope="session")
def tools():
    return cases_folder("tools")


def line(error: str) -> str:
    found = [text for text in error.strip().splitlines() if text.startswith("hypr: ")]
    assert len(found) == 1 and "Traceback" not in error
    return found[0]


def test_what_the_file_does_not_say_is_asked_for_by_its_flag(hypr, tools, tmp_path):
    file, inputs = tools / "cnn_sinabs_1.nir", tools / "cnn_sinabs_1.npz"
    code, _, error = hypr("import", file, "--preset", "sinabs", "--calibration", inputs, "--out", tmp_path / "b")
    assert code == 2 and "--spikes multi or --spikes single" in line(error)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("spelled", ["--reset-timing", "--reset_timing"])
def test_a_convolutional_network_is_imported_verified_and_run_as_its_tool_ran_it(hypr_json, tools, tmp_path, spelled):
    file, inputs = tools / "cnn_sinabs_1.nir", tools / "cnn_sinabs_1.npz"
    conventions = ["--preset", "sinabs", "--spikes", "single", spelled, "same_step"]
    code, answer = hypr_json("import", file, *conventions, "--calibration", inputs, "--out", tmp_path / "b")
    assert code == 0 and answer["conventions"]["neurons"][0]["spikes"] == "single"
    code, answer = hypr_json("verify", tmp_path / "b", "--inputs", inputs, "--engines", "onnx,reference")
    assert code == 0 and answer["equal"] is True
    code, _ = hypr_json("run", file, inputs, *conventions, "--out", tmp_path / "out.npz")
    assert code == 0
    with np.load(inputs) as case, np.load(tmp_path / "out.npz") as found:
        assert np.array_equal(found["output"], case["output_spikes"])
    assert hypr_json("report", tmp_path / "b", "--out", tmp_path / "report.html")[0] == 0


def test_a_bundle_without_integers_runs_in_float_and_says_what_it_lacks(hypr, hypr_json, tools, tmp_path):
    file, inputs, bundle = tools / "snntorch_28.nir", tools / "snntorch_28.npz", tmp_path / "b"
    assert hypr("import", file, "--preset", "snntorch", "--float-only", "--out", bundle)[0] == 0
    code, answer = hypr_json("run", bundle, inputs, "--engine", "float", "--out", tmp_path / "out.npz")
    assert code == 0 and answer["program_sha256"] is None
    for arguments in (["verify", bundle, "--inputs", inputs], ["run", bundle, inputs, "--engine", "emulator"]):
        out = ["--out", tmp_path / "x"] if arguments[0] == "run" else []
        code, _, error = hypr(*arguments, *out)
        assert code == 2 and "--float-only" in line(error)


def test_one_layer_may_reset_otherwise_than_the_others(hypr_json, tools, tmp_path):
    file = tools / "cnn_sinabs_1.nir"
    common = ["--preset", "sinabs", "--spikes", "single", "--float-only", "--reset", "9=none", "--out", tmp_path / "b"]
    code, answer = hypr_json("import", file, *common)
    assert code == 0
    assert {item["name"]: item["reset"] for item in answer["conventions"]["neurons"]} == {
        "1": "subtract",
        "3": "subtract",
        "6": "subtract",
        "9": "none",
    }


def test_a_broken_file_is_one_line(hypr, tools, tmp_path):
    whole = (tools / "norse_01.nir").read_bytes()
    (tmp_path / "cut.nir").write_bytes(whole[: len(whole) // 2])
    code, _, error = hypr("import", tmp_path / "cut.nir", "--float-only", "--out", tmp_path / "b")
    assert code == 2 and "cut.nir" in line(error) and not (tmp_path / "b").exists()


def test_an_imported_network_goes_out_for_another_tool_and_runs_the_same(hypr, hypr_json, tools, tmp_path):
    file, inputs, bundle = tools / "norse_00.nir", tools / "norse_00.npz", tmp_path / "b"
    assert hypr("import", file, "--preset", "norse", "--calibration", inputs, "--out", bundle)[0] == 0
    code, answer = hypr_json("export", bundle, "--for", "norse", "--out", tmp_path / "out.nir")
    assert code == 0 and answer["version"] == "1.1.0" and "from_nir" in answer["read_it_with"]
    arguments = ["--preset", "norse", "--dt", answer["dt"], "--out", tmp_path / "out.npz"]
    assert hypr("run", tmp_path / "out.nir", inputs, *arguments)[0] == 0
    with np.load(inputs) as case, np.load(tmp_path / "out.npz") as found:
        assert np.array_equal(found["output"], case["output_spikes"])
    assert hypr_json("export", bundle, "--for", "snntorch", "--quantized", "--out", tmp_path / "q.nir")[1]["dt"] == 1e-4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--for", "nengo"], "Nengo 4.1 reads no NIR files"),
        (["--for", "norze"], "did you mean norse"),
        (["--for", "sinabs"], "several spikes"),
        (["--for", "norse", "--weight-bits", "4"], "--weight-bits is for bundles"),
        (["--quantized"], "--for TOOL"),
    ],
)
def test_what_cannot_go_out_is_one_line(hypr, tools, tmp_path, arguments, says):
    inputs, bundle = tools / "norse_00.npz", tmp_path / "b"
    hypr("import", tools / "norse_00.nir", "--preset", "norse", "--calibration", inputs, "--out", bundle)
    code, _, error = hypr("export", bundle, *arguments, "--out", tmp_path / "out.nir")
    assert code == 2 and says in line(error) and not (tmp_path / "out.nir").exists()
