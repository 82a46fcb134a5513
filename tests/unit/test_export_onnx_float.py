"""The float ONNX graph computes what the float engine computes, for every neuron model and option."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.errors import ExportError, UnsupportedError
from export.interchange import float_engine
from export.interchange.source import network_arrays
from export.interchange.steps import StepNetwork, from_arrays
from export.onnx.floating import export_float_onnx, float_model, has_float_graph, run_float

SIZE, INPUTS = 10, 5

CASES = {
    "brf euler": ("brf", {"variant": "euler"}, {"omega": 7.0, "b_offset": 0.5, "theta": 0.3, "gamma": 0.9, "dt": 0.05}),
    "brf exponential": (
        "brf",
        {"variant": "exponential"},
        {"omega": 7.0, "b_offset": 0.5, "theta": 0.3, "gamma": 0.9, "dt": 0.05},
    ),
    "se_adlif current": (
        "se_adlif",
        {"adaptation_spike": "current"},
        {"alpha": 0.8, "beta": 0.95, "a": 0.5, "b": 1.0, "rho": 2.0, "theta": 0.3},
    ),
    "se_adlif previous": (
        "se_adlif",
        {"adaptation_spike": "previous"},
        {"alpha": 0.8, "beta": 0.95, "a": 0.5, "b": 1.0, "rho": 2.0, "theta": 0.3},
    ),
    "alif": ("alif", {}, {"alpha": 0.8, "rho": 0.95, "beta": 1.8, "b0": 0.1}),
    "alif same": ("alif", {"reset": "same"}, {"alpha": 0.8, "rho": 0.95, "beta": 1.8, "b0": 0.1}),
    "lif zero": ("lif", {"reset": "zero"}, {"alpha": 0.8, "theta": 0.4}),
    "lif subtract": ("lif", {"reset": "subtract"}, {"alpha": 0.8, "theta": 0.4}),
    "cuba_lif": (
        "cuba_lif",
        {},
        {"alpha_syn": 0.7, "alpha_mem": 0.8, "syn_gain": 1.0, "mem_gain": 0.3, "theta": 0.5},
    ),
}


def network(case: str, seed: int = 1) -> StepNetwork:
    kind, options, parameters = CASES[case]
    rng = np.random.default_rng(seed)
    hidden = {
        "kind": kind,
        "weight": rng.normal(0, 2, (SIZE, INPUTS)),
        "bias": rng.normal(0, 0.1, SIZE),
        "recurrent_weight": rng.normal(0, 0.3, (SIZE, SIZE)),
        "parameters": parameters,
        "options": options,
    }
    readout = {
        "kind": "li",
        "weight": rng.normal(0, 1, (3, SIZE)),
        "bias": np.zeros(3),
        "recurrent_weight": None,
        "parameters": {"kappa": 0.9},
        "options": {},
    }
    source = {"layers": [hidden, readout], "input_scale": 0.5, "input_format": {"low": 0, "high": 4}}
    return from_arrays(network_arrays(source), 1e-3)


def with_parameters(net: StepNetwork, options: dict[str, str], **parameters: np.ndarray) -> StepNetwork:
    first = net.layers[0]
    changed = dataclasses.replace(
        first, options={**first.options, **options}, parameters={**first.parameters, **parameters}
    )
    return net.with_layers((changed, *net.layers[1:]))


def payloads(steps: int = 50, batch: int = 6) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 5, (steps, batch, INPUTS))


def assert_close(net: StepNetwork) -> None:
    inputs = payloads()
    expected = float_engine.run(net, inputs, "all").arrays()
    found = run_float(float_model(net), inputs).arrays()
    assert expected.keys() == found.keys()
    fired = expected["spikes/hidden0"].mean()
    assert 0.01 < fired < 0.99
    for name, value in expected.items():
        # float32 against float64: 50 steps of values up to about 10, each rounded to 2^-24 relative, and no membrane of
        # these seeds comes that near to its threshold.
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_every_model_follows_the_float_engine(case: str) -> None:
    assert_close(network(case))


@pytest.mark.parametrize("case", ["lif zero", "lif subtract", "cuba_lif"])
def test_conventions_of_other_frameworks_follow_the_float_engine(case: str) -> None:
    shifted = {"v_reset": np.full(SIZE, -0.2)}
    assert_close(with_parameters(network(case), {"reset_timing": "next_step"}, **shifted))
    assert_close(with_parameters(network(case), {}, **shifted))


def test_step_form_repeats_the_scan_form() -> None:
    import onnxruntime

    net, inputs = network("brf euler"), payloads(20, 2).astype(np.float32)
    scan = run_float(float_model(net), inputs).arrays()
    session = onnxruntime.InferenceSession(float_model(net, "step").SerializeToString())
    names = [item.name for item in session.get_outputs()]
    now = {name: np.zeros_like(scan[name][0]) for name in names if name != "output"}
    for t in range(len(inputs)):
        feed = {"x": inputs[t], **{f"previous/{name}": value for name, value in now.items()}}
        now = dict(zip(names, session.run(names, feed), strict=True))
        for name in names:
            # The runtime may order float32 sums of other shapes differently.
            np.testing.assert_allclose(now[name], scan[name][t], rtol=0, atol=1e-5)
        now.pop("output")


def test_the_file_declares_opset_and_arithmetic(tmp_path: Path) -> None:
    export_float_onnx(network("alif"), tmp_path / "float_scan.onnx")
    graph = onnx.load(tmp_path / "float_scan.onnx")
    assert [(item.domain, item.version) for item in graph.opset_import] == [("", 21)]
    assert {item.key: item.value for item in graph.metadata_props}["hypr.arithmetic"] == "float32"
    with pytest.raises(ExportError, match="integer graph"):  # it must not pass for the integer network
        from export.onnx.runtime import load

        load(tmp_path / "float_scan.onnx")


def test_a_bias_that_is_absent_at_the_first_step_is_refused() -> None:
    net = with_parameters(network("lif zero"), {}, recurrent_bias=np.ones(SIZE))
    assert not has_float_graph(net)
    with pytest.raises(UnsupportedError, match="recurrent bias"):
        float_model(net)
