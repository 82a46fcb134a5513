"""Bundles: complete or absent, and checked whenever they are opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from export import to_nir
from export.bundle.bundle import MANIFEST, SCAN, STEP, Bundle, Origin, write_bundle
from export.bundle.wheel import WHEEL
from export.errors import ExportError
from export.interchange import float_engine
from export.onnx.floating import run_float
from export.quantization.quantize import quantize
from export.verification.certificate import certificate
from export.verification.verify import verify
from hardware import HardwareError, Program, content_hash, load
from hardware.lava.assignment import assign, with_chip_biases
from hardware.random_programs import random_program
from tests.random_networks import random_network


def network(seed: int = 0) -> dict[str, object]:
    """Arrays of a small resonator network, as a trained one would arrive."""
    rng = np.random.default_rng(seed)
    hidden = {
        "kind": "brf",
        "weight": rng.normal(0, 40, (8, 4)),
        "bias": rng.normal(0, 0.1, 8),
        "recurrent_weight": rng.normal(0, 10, (8, 8)),
        "parameters": {"omega": rng.uniform(3, 10, 8), "b_offset": 0.5, "theta": 1.0, "gamma": 0.9, "dt": 0.01},
        "options": {"variant": "euler"},
    }
    readout = {
        "kind": "li",
        "weight": rng.normal(0, 1, (3, 8)),
        "bias": np.zeros(3),
        "recurrent_weight": None,
        "parameters": {"kappa": np.exp(-1 / 20)},
        "options": {},
    }
    return {"layers": [hidden, readout], "input_format": {"low": 0, "high": 1}}


def spikes_in(steps: int = 60, batch: int = 4) -> np.ndarray:
    return (np.random.default_rng(1).random((steps, batch, 4)) < 0.3).astype(np.uint8)


def integers(graph) -> Program:
    return quantize(graph, calibration=spikes_in().transpose(1, 0, 2))  # batch first, as in training


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    graph = to_nir(network(), dt=1e-3)
    origin = Origin(dataset={"name": "digits", "encoding": "spikes"}, seed=3, metrics={"test_accuracy": 0.9})
    return write_bundle(graph, integers(graph), tmp_path / "out", origin=origin)


def test_a_bundle_holds_every_form_of_the_network_and_verifies(bundle: Bundle) -> None:
    assert set(bundle.manifest["files"]) == {
        "program.npz",
        "network.nir",
        "quantized.nir",
        "integer_scan.onnx",
        "integer_step.onnx",
        "float_scan.onnx",
        "float_step.onnx",
        "lava/program.npz",
        "lava/run_on_lava.py",
        "lava/requirements.txt",
        f"lava/{WHEEL}",
        "lava/example_monitors.py",
        "lava/example_steps.py",
    }
    assert bundle.manifest["dataset"] == {"name": "digits", "encoding": "spikes"}
    assert bundle.manifest["seed"] == 3
    checks = bundle.checks()
    assert all(checks.values()), bundle.findings().failed
    assert len(checks) == 15  # each of the 13 files, the manifest, and what it does not list
    assert all(any(line.startswith(name) for line in checks) for name in bundle.manifest["files"])
    engines = [bundle.engine(name) for name in ("emulator", "onnx", "onnx-step")]
    result = verify(bundle.program, spikes_in(), engines)
    assert result.equal
    assert {pair.engine for pair in result.pairs} == {"onnx", "onnx-step", "reference"}
    assert min(pair.spikes for pair in result.pairs) > 0
    assert certificate(result, bundle.files(), checks=checks)["equal"]


def test_the_float_graph_computes_what_the_float_engine_computes(bundle: Bundle) -> None:
    import onnx

    expected = float_engine.run(bundle.float_network(), spikes_in(), "all").arrays()
    found = run_float(onnx.load(bundle.file("float_scan.onnx")), spikes_in()).arrays()
    assert expected.keys() == found.keys()
    assert np.count_nonzero(expected["spikes/hidden0"]) > 0
    for name, value in expected.items():
        # float32 against float64 over 60 steps of a damped rotation: a few hundred roundings of 6e-8.
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def damaged_files() -> list[str]:
    return ["program.npz", "network.nir", "quantized.nir", "integer_scan.onnx", "integer_step.onnx", "float_scan.onnx"]


@pytest.mark.parametrize("name", damaged_files())
def test_a_changed_truncated_or_missing_file_is_named_in_one_line(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    content = path.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    for wrong, reason in ((flipped, "SHA-256"), (content[: len(content) // 2], "bytes"), (None, "missing")):
        path.unlink() if wrong is None else path.write_bytes(wrong)
        with pytest.raises(ExportError, match=reason) as caught:
            Bundle.open(bundle.path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def edit(bundle: Bundle, **changes: object) -> None:
    manifest = json.loads((bundle.path / MANIFEST).read_text())
    (bundle.path / MANIFEST).write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "other"}, "no manifest"),
        ({"format_version": 99}, "format 99"),
        ({"spec_version": "9.9"}, "9.9"),
        ({"files": {"../outside": {"sha256": "0", "bytes": 0}}}, "inside the bundle"),
        ({"files": {"/etc/hostname": {"sha256": "0", "bytes": 0}}}, "inside the bundle"),
        ({"files": []}, "missing"),
        ({"files": {}}, "program.npz"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line(bundle: Bundle, changes: dict[str, object], reason: str) -> None:
    edit(bundle, **changes)
    with pytest.raises(ExportError, match=reason) as caught:
        Bundle.open(bundle.path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_manifest_or_with_a_broken_one_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(ExportError, match="no bundle here"):
        Bundle.open(tmp_path / "absent")
    (bundle.path / MANIFEST).write_text("{")
    with pytest.raises(ExportError, match="damaged"):
        Bundle.open(bundle.path)


def test_a_program_that_is_not_the_manifests_is_refused(bundle: Bundle) -> None:
    edit(bundle, program_sha256="0" * 64)
    with pytest.raises(ExportError, match="is not the program"):
        _ = Bundle.open(bundle.path).program


def test_a_graph_of_another_program_is_not_run(bundle: Bundle, tmp_path: Path) -> None:
    other = to_nir(network(seed=5), dt=1e-3)
    second = write_bundle(other, integers(other), tmp_path / "second", ("onnx",))
    for name, engine in ((SCAN, "onnx"), (STEP, "onnx-step")):
        (bundle.path / name).write_bytes((second.path / name).read_bytes())
        with pytest.raises(ExportError, match="another program"):
            verify(bundle.program, spikes_in(), [bundle.engine(engine)])
    assert list(bundle.findings().failed) == [f"{SCAN} is this program", f"{STEP} is this program"]


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    graph = to_nir(network(), dt=1e-3)
    with pytest.raises(ExportError, match="targets are"):
        write_bundle(graph, integers(graph), tmp_path / "out", ("tflite",))
    with pytest.raises(ExportError, match="JSON"):
        write_bundle(graph, integers(graph), tmp_path / "out", ("nir",), origin=Origin(notes={"a": object()}))
    with pytest.raises(ExportError, match="create the folder"):
        write_bundle(graph, integers(graph), tmp_path / "absent" / "out", ("nir",))
    assert not list(tmp_path.iterdir())


def test_only_a_bundle_is_overwritten_and_only_on_request(tmp_path: Path, bundle: Bundle) -> None:
    graph = to_nir(network(seed=2), dt=1e-3)
    program = integers(graph)
    with pytest.raises(ExportError, match="bundle already"):
        write_bundle(graph, program, bundle.path, ("onnx",))
    assert content_hash(Bundle.open(bundle.path).program) != content_hash(program)
    write_bundle(graph, program, bundle.path, ("onnx",), overwrite=True)
    assert content_hash(Bundle.open(bundle.path).program) == content_hash(program)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(ExportError, match="no bundle"):
        write_bundle(graph, program, other, ("onnx",), overwrite=True)
    assert (other / "thesis.txt").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_program_without_a_graph_has_a_bundle_too(tmp_path: Path) -> None:
    program: Program = random_program(np.random.default_rng(0))
    written = write_bundle(None, program, tmp_path / "out", ("nir", "onnx"))
    assert set(written.manifest["files"]) == {"program.npz", "integer_scan.onnx", "integer_step.onnx"}
    with pytest.raises(ExportError, match=r"holds no network\.nir"):
        written.float_network()


def test_a_truncated_program_file_is_one_line(bundle: Bundle) -> None:
    path = bundle.path / "program.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HardwareError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_bundle_with_biases_rounded_for_a_chip_is_of_its_own_program_in_every_file(tmp_path: Path) -> None:
    arrays = random_network(np.random.default_rng(4), ("cuba_lif", "li"))
    arrays["layers"][0]["bias"] = np.random.default_rng(4).normal(0, 3, len(arrays["layers"][0]["bias"]))
    graph = to_nir(arrays, dt=1e-3)
    exact = quantize(graph, state_fraction_bits=14)
    rounded = with_chip_biases(exact)
    assert assign(exact)[0].wide_biases and not assign(rounded)[0].wide_biases and rounded != exact
    made = write_bundle(graph, rounded, tmp_path / "out")
    assert all(made.checks().values()), made.findings().failed
    assert "on Lava's own LIF" in (tmp_path / "out" / "lava" / "run_on_lava.py").read_text()
