"""A new user's walks, from own data to a verified bundle with accuracy and report: in Python, and on the command "
"line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT

EXAMPLES = ROOT / "hypr" / "examples"
TOML = """name = "mine"
[data]
name = "mine.npz"
[network]
layers = [{ neuron = "se_adlif", width = 24 }, { neuron = "se_adlif", width = 24 }]
[training]
epochs = 6
"""


def run_module(name: str, folder: Path, warnings: str = "error::UserWarning") -> str:
    """Standard output of an example that runs in an empty folder."""
    places = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONWARNINGS": warnings}
    command = [sys.executable, "-m", f"hypr.examples.{name}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def certified(bundle: Path) -> dict:
    proof = json.loads((bundle / "certificate.json").read_text())
    assert proof["equal"] and all(entry["integers_differing"] == 0 for entry in proof["comparisons"])
    assert all(entry["spikes"] > 0 for entry in proof["comparisons"])
    return proof


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """Four classes of 8 spike trains, told apart by which of them fire."""
    draw = np.random.default_rng(5)
    y = draw.integers(4, size=320)
    rates = 0.05 + 0.35 * ((np.arange(8) // 2) == y[:, None])
    x = (draw.random((320, 60, 8)) < rates[:, None]).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", inputs=x, labels=y)
    (tmp_path / "mine.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    return x, y


def test_own_loop_of_forty_lines_ends_in_a_verified_bundle_with_accuracy_and_report(tmp_path):
    lines = [line for line in (EXAMPLES / "own_loop.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 40
    out = run_module("own_loop", tmp_path)
    proof = certified(tmp_path / "own-bundle")
    assert proof["outcome"]["accuracy"] >= 0.9
    assert "equal on every engine: True" in out
    report = (tmp_path / "own-bundle" / "report.html").read_text()
    for part in ("From float to integer", "What it decided", "Float and integer side by side", "Bit-exact"):
        assert part in report
    assert "Left out" not in report
    assert (tmp_path / "own.safetensors").exists()


def test_own_neuron_of_the_examples_is_deployed_and_the_report_has_its_staircase(tmp_path):
    out = run_module("own_neuron", tmp_path)
    proof = certified(tmp_path / "leaky-bundle")
    assert proof["own_neurons"]["example_leaky"]["implementations"] == 1
    assert "equal: True" in out and "one implementation" in out
    report = (tmp_path / "leaky-bundle" / "report.html").read_text()
    assert "From float to integer" in report and "Left out" not in report


def test_own_file_goes_through_every_verb_by_its_name(own_file, hypr, hypr_json):
    code, _, err = hypr("train", "mine.toml", "epochs=20", "--out", "runs/mine")
    assert code == 0, err
    assert json.loads(Path("runs/mine/activity.json").read_text())["layers"][0]["status"] == "fitted"
    source = json.loads(Path("runs/mine/environment.json").read_text())["data_source"]
    assert source["path"] == "../../mine.npz" and len(source["sha256"]) == 64
    code, answer = hypr_json("export", "runs/mine", "--out", "bundles/mine", "--to", "nir,onnx")
    assert code == 0 and answer["integer_test_accuracy"] >= 0.9
    code, proof = hypr_json("verify", "bundles/mine", "--engines", "emulator,onnx")
    assert code == 0 and proof["equal"]
    assert proof["outcome"]["accuracy"] == pytest.approx(answer["integer_test_accuracy"])
    assert np.sum(proof["outcome"]["confusion"]) == 64
    code, out, _ = hypr("verify", "bundles/mine", "--engines", "onnx", "--data", "mine.npz")
    assert code == 0 and "accuracy" in out and "Confusion" in out
    code, found = hypr_json("run", "bundles/mine", "--data", "mine.npz", "--engine", "emulator", "--out", "out.npz")
    assert code == 0 and found["accuracy"] == proof["outcome"]["accuracy"]
    with np.load("out.npz") as stored:
        assert stored["predicted"].shape == (64,)
    code, page = hypr_json("report", "bundles/mine")
    assert code == 0 and page["left_out"] == []


def test_searching_a_format_takes_own_data_too(own_file, hypr, hypr_json):
    assert hypr("train", "mine.toml", "epochs=3", "--out", "run")[0] == 0
    code, answer = hypr_json("export", "run", "--search", "--max-loss", "5", "--to", "nir", "--out", "small")
    assert code == 0, answer
    assert answer["search"]["tried"] > 5


def test_moved_data_are_missed_aloud_and_found_again_where_the_user_says(
    own_file, hypr, hypr_json, tmp_path, monkeypatch
):
    hypr("train", "mine.toml", "epochs=2", "--out", "run")
    hypr("export", "run", "--to", "nir", "--out", "bundle")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # another working folder: the recorded relative path still holds
    assert hypr("verify", "../bundle", "--engines", "emulator")[0] == 0
    Path("../mine.npz").rename("../moved.npz")
    for verb in (("verify", "../bundle", "--engines", "emulator"), ("export", "../run", "--to", "nir", "--out", "b")):
        code, _, err = hypr(*verb)
        assert code == 2 and "has moved or is gone" in err and "--data PATH.npz" in err
        code, _, err = hypr(*verb, "--data", "../moved.npz")
        assert code == 0, err
    code, page = hypr_json("report", "../bundle")
    assert code == 0 and "has moved" in page["left_out"][0]
    x, y = own_file
    np.savez("../moved.npz", inputs=1 - x, labels=y)
    code, _, err = hypr("export", "../run", "--to", "nir", "--data", "../moved.npz", "--out", "c")
    assert code == 2 and "the run used" in err
    code, _, err = hypr("verify", "../bundle", "--engines", "emulator", "--data", "../moved.npz")
    assert code == 0 and "other data than the bundle was made with" in err


def test_data_of_a_function_must_be_named_again_by_the_user(own_file, hypr, tmp_path):
    (tmp_path / "own_function.py").write_text(
        "import numpy as np\nimport hypr.data\n"
        "def mine():\n    z = np.load('mine.npz')\n    return hypr.data.from_arrays(z['inputs'], z['labels'])\n"
    )
    (tmp_path / "named.toml").write_text(TOML.replace("mine.npz", "own_function:mine"))
    code, _, err = hypr("train", "named.toml", "epochs=1", "--out", "no")
    assert code == 2 and "is code that a file names" in err
    assert "own_function" not in sys.modules
    code, _, err = hypr("train", "named.toml", "data.name=own_function:mine", "epochs=1", "--out", "run")
    assert code == 0, err
    from hypr import extensions

    extensions._permitted.discard("own_function:mine")  # as in a new process
    assert "add --data own_function:mine" in hypr("export", "run", "--to", "nir", "--out", "b")[2]
    code, _, err = hypr("export", "run", "--data", "own_function:mine", "--to", "nir", "--out", "b")
    assert code == 0, err
    assert "add --data own_function:mine" in hypr("verify", "b", "--engines", "emulator")[2]
    assert hypr("verify", "b", "--engines", "emulator", "--data", "own_function:mine")[0] == 0


def test_a_regression_trains_exports_and_is_scored_by_r2(own_file, hypr, hypr_json):
    x, _ = own_file
    target = x[:, :, :4].mean((1, 2)) * 8 - 1
    np.savez("mine.npz", inputs=x, labels=target.astype(np.float32))
    assert "has real targets; use mse" in hypr("train", "mine.toml", "--out", "no")[2]
    code, answer = hypr_json("train", "mine.toml", "loss.kind=mse", "epochs=12", "loss.ignore_first=30", "--out", "run")
    assert code == 0 and answer["best"]["test"] > 0.5
    assert json.loads(Path("run/result.json").read_text())["metric"] == "r2"
    code, exported = hypr_json("export", "run", "--to", "nir", "--out", "bundle")
    assert code == 0 and exported["integer_test_accuracy"] == pytest.approx(answer["best"]["test"], abs=0.1)
    code, out, _ = hypr("verify", "bundle", "--engines", "emulator")
    assert code == 0 and "R2" in out
    code, page = hypr_json("report", "bundle")
    assert code == 0 and "real targets" in page["left_out"][0]


def test_a_saved_network_is_exported_with_calibration_and_test_files(own_file, hypr, hypr_json, tmp_path):
    import hypr as package

    x, y = own_file
    net = package.Network([package.LIF(8, 12), package.LI(12, 4)], decision={"rule": "sum"})
    package.save(net, "net.safetensors")
    mask = np.zeros((320, 60))
    mask[:, 20:] = 1
    np.savez("test.npz", inputs=x, labels=y, mask=mask)
    np.savez("calibration.npz", inputs=x[:20])
    code, _, err = hypr("export", "net.safetensors", "--out", "no")
    assert code == 2 and "--calibration" in err
    given = ("--calibration", "calibration.npz", "--test", "test.npz", "--to", "nir", "--out", "bundle")
    code, answer = hypr_json("export", "net.safetensors", *given)
    assert code == 0
    for name in ("test.npz", "calibration.npz", "mine.npz"):
        Path(name).unlink()  # the bundle holds what it needs
    code, proof = hypr_json("verify", "bundle", "--engines", "emulator")
    assert code == 0
    assert proof["outcome"]["accuracy"] == pytest.approx(answer["integer_test_accuracy"])
    code, page = hypr_json("report", "bundle")
    assert code == 0 and page["left_out"] == []


def test_masks_of_an_inputs_file_count_in_the_decision(own_file, hypr, hypr_json):
    x, y = own_file
    hypr("train", "mine.toml", "epochs=2", "--out", "run")
    hypr("export", "run", "--to", "nir", "--out", "bundle")
    spikes, mask = x[:40].transpose(1, 0, 2), np.zeros((60, 40), bool)
    mask[:5] = True
    np.savez("short.npz", input_spikes=spikes, labels=y[:40], mask=mask)
    np.savez("cut.npz", input_spikes=spikes[:5], labels=y[:40])
    run = ("--engine", "emulator", "--out", "out.npz")
    short, cut = (hypr_json("run", "bundle", name, *run)[1] for name in ("short.npz", "cut.npz"))
    assert short["confusion"] == cut["confusion"]
    code, proof = hypr_json("verify", "bundle", "--inputs", "short.npz", "--engines", "emulator")
    assert code == 0 and proof["outcome"]["confusion"] == short["confusion"]


def test_events_of_a_function_train_export_and_verify_without_a_dense_copy(own_file, hypr, hypr_json, tmp_path):
    (tmp_path / "own_events.py").write_text(
        "import numpy as np\nimport hypr.data\n"
        "def mine():\n"
        "    z = np.load('mine.npz')\n"
        "    times, units = zip(*(np.nonzero(sample) for sample in z['inputs']))\n"
        "    return hypr.data.from_events(times, units, z['labels'], steps=60, channels=8)\n"
    )
    place = "own_events:mine"
    code, dense = hypr_json("train", "mine.toml", "epochs=3", "--out", "dense")
    assert code == 0
    code, events = hypr_json("train", "mine.toml", f"data.name={place}", "epochs=3", "--out", "events")
    assert code == 0 and events["best"] == dense["best"]  # the same integers in the same order
    assert hypr("export", "events", "--data", place, "--to", "nir", "--out", "bundle")[0] == 0
    code, proof = hypr_json("verify", "bundle", "--data", place, "--engines", "emulator", "--samples", "20")
    assert code == 0 and proof["outcome"]["decisions"] == 20
