"""From a trained network's arrays to a verified bundle: every engine, the same inputs, every integer of every step."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from export import to_nir
from export.bundle.bundle import Bundle, write_bundle
from export.quantization.quantize import quantize
from export.verification.certificate import certificate, read_certificate, write_certificate
from export.verification.verify import verify
from tests.end_to_end.lava_support import runtime_python
from tests.paths import data_folder


def resonators(channels: int, hidden: int, classes: int, seed: int = 0) -> dict[str, object]:
    """An untrained recurrent BRF network with the ECG recipe's parameter ranges, lively enough to spike."""
    rng = np.random.default_rng(seed)
    bound = np.sqrt(6 / (channels + 2 * hidden))
    brf = {
        "kind": "brf",
        "weight": 60 * rng.uniform(-bound, bound, (hidden, channels)),
        "bias": np.zeros(hidden),
        "recurrent_weight": 10 * rng.uniform(-bound, bound, (hidden, hidden)),
        "parameters": {
            "omega": rng.uniform(3, 5, hidden),
            "b_offset": rng.uniform(0.1, 1, hidden),
            "theta": 1.0,
            "gamma": 0.9,
            "dt": 0.01,
        },
        "options": {"variant": "euler"},
    }
    readout = {
        "kind": "li",
        "weight": rng.uniform(-bound, bound, (classes, hidden)),
        "bias": np.zeros(classes),
        "recurrent_weight": None,
        "parameters": {"kappa": np.exp(-1 / rng.uniform(15, 25, classes))},
        "options": {},
    }
    return {"layers": [brf, readout], "input_format": {"low": 0, "high": 1}}


def bundle_of(arrays: dict[str, object], inputs: np.ndarray, folder: Path) -> Bundle:
    graph = to_nir(arrays, dt=1e-3)
    program = quantize(graph, calibration=inputs[:, :16].transpose(1, 0, 2))
    return write_bundle(graph, program, folder / "bundle")


def ecg_inputs() -> np.ndarray:
    """The QTDB test sequences, (1300, 141, 4) spikes."""
    import scipy.io

    path = data_folder("qtdb") / "QTDB_test.mat"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return scipy.io.loadmat(path)["x"][:, :1300].astype(np.int8).transpose(1, 0, 2)


def test_all_engines_agree_on_a_bundle_and_the_certificate_says_so(tmp_path: Path) -> None:
    runtime_python()
    inputs = (np.random.default_rng(1).random((120, 6, 4)) < 0.3).astype(np.uint8)
    bundle = bundle_of(resonators(4, 12, 3), inputs, tmp_path)
    engines = [bundle.engine(name) for name in ("emulator", "onnx", "onnx-step", "lava")]
    result = verify(bundle.program, inputs, engines, sample_limits={"lava": 4})
    assert result.equal, result.rows()
    assert {pair.engine: len(pair.samples) for pair in result.pairs} == {
        "onnx": 6,
        "onnx-step": 6,
        "lava": 4,
        "reference": 2,
    }
    assert min(pair.spikes for pair in result.pairs) > 50
    write_certificate(certificate(result, bundle.files(), "random", bundle.checks()), tmp_path / "certificate.json")
    content = read_certificate(tmp_path / "certificate.json")
    assert content["equal"]
    assert content["versions"]["lava"]["lava-nc"] == "0.10.0"
    lava = next(item for item in content["comparisons"] if item["engine"] == "lava")
    assert lava["ran_as"].startswith("lava[")
    assert lava["integers_differing"] == 0 < lava["integers_compared"]


@pytest.mark.slow
def test_the_ecg_network_verifies_on_the_whole_test_set_in_under_ten_seconds(tmp_path: Path) -> None:
    inputs = ecg_inputs()
    bundle = bundle_of(resonators(4, 36, 6), inputs, tmp_path)
    started = time.process_time()  # what other processes of the machine do meanwhile does not count
    result = verify(bundle.program, inputs, [bundle.engine("onnx"), bundle.engine("onnx-step")])
    seconds = time.process_time() - started
    assert result.equal, result.rows()
    assert {pair.engine: len(pair.samples) for pair in result.pairs} == {"onnx": 141, "onnx-step": 141, "reference": 2}
    print(
        [(row["engine"], row["integers"], row["spikes"], round(float(str(row["seconds"])), 2)) for row in result.rows()]
    )
    assert seconds < 10
