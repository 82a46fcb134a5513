"""Float ONNX graphs of networks that are no chains follow the float engine: delays, sparse and convolutional synapses,
several inputs, initial states, and every convention of resets."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from export.interchange import float_engine
from export.interchange.steps import StepInput, StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import ConvolutionWeights, DenseWeights, SparseWeights
from export.onnx.floating import float_model, has_float_graph, run_float

STEPS, BATCH = 40, 5


def lif(name: str, size: int, **kept: Any) -> StepPopulation:
    rng = np.random.default_rng(size)
    parameters = {
        "alpha": rng.uniform(0.5, 0.95, size),
        "theta": rng.uniform(0.4, 1.2, size),
        "gain": np.ones(size),
        "leak": np.zeros(size),
        "v_reset": np.zeros(size),
    }
    options = {"reset": "subtract", **kept.pop("options", {})}
    return StepPopulation(name, "lif", rng.normal(0, 0.05, size), parameters, options, **kept)


def li(name: str, size: int) -> StepPopulation:
    parameters = {"kappa": np.full(size, 0.8), "gain": np.full(size, 0.2), "leak": np.zeros(size)}
    return StepPopulation(name, "li", np.zeros(size), parameters)


def branching() -> StepNetwork:
    """Two inputs, three populations, all kinds of synapses, delays of 0 to 7 on inputs and populations, feedback."""
    rng = np.random.default_rng(3)
    picture = ConvolutionWeights.of(rng.normal(0, 0.4, (2, 1, 2, 2)), (1, 4, 5), padding=(1, 0), stride=(2, 1))
    size = picture.shape[0]
    matrix = np.where(rng.random((6, size)) < 0.4, rng.normal(0, 0.8, (6, size)), 0)
    target, source = np.nonzero(matrix)
    sparse = SparseWeights.of((target, source, matrix[target, source]), (6, size))
    initial = {"u": rng.normal(0, 0.3, 6)}
    return StepNetwork(
        (StepInput("retina", 20), StepInput("touch", 3, -4, 4, 0.25)),
        (lif("a", size), lif("b", 6, initial=initial), li("c", 2)),
        (
            StepProjection("retina.a", "retina", "a", picture),
            StepProjection("retina.a.2", "retina", "a", picture, 2),
            StepProjection("b.a", "b", "a", DenseWeights(rng.normal(0, 0.5, (size, 6))), 7),
            StepProjection("a.b", "a", "b", sparse),
            StepProjection("touch.b", "touch", "b", DenseWeights(rng.normal(0, 1, (6, 3))), 3),
            StepProjection("b.b", "b", "b", DenseWeights(rng.normal(0, 0.3, (6, 6))), 1),
            StepProjection("b.c", "b", "c", DenseWeights(rng.normal(0, 1, (2, 6))), 1),
        ),
        ("b", "c"),
    )


def payloads(network: StepNetwork) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        item.name: rng.integers(item.low, item.high, (STEPS, BATCH, item.size), endpoint=True)
        for item in network.inputs
    }


def assert_close(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        # float32 against float64: 40 steps of values up to about 10, each rounded to 2^-24 relative, and no membrane of
        # these seeds comes that near to its threshold.
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4, err_msg=name)


def test_a_graph_with_all_kinds_of_synapses_and_delays_follows_the_float_engine() -> None:
    network = branching()
    inputs = payloads(network)
    expected = float_engine.run(network, inputs, "all").arrays()
    assert all(0.02 < expected[f"spikes/{name}"].mean() < 0.9 for name in ("a", "b"))
    assert_close(expected, run_float(float_model(network), inputs).arrays())


def test_the_step_form_of_a_graph_repeats_the_scan_form() -> None:
    network = branching()
    inputs = payloads(network)
    scan = run_float(float_model(network), inputs).arrays()
    model = float_model(network, "step")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [item.name for item in session.get_outputs()]
    now: dict[str, np.ndarray] = {}
    for item in session.get_inputs():
        if item.name.startswith("previous/"):
            kind = np.uint8 if "uint8" in item.type else np.float32
            now[item.name] = np.zeros([BATCH if side == "B" else side for side in item.shape], kind)
    now["previous/u/b"] += np.float32(network.population("b").initial["u"])
    for t in range(STEPS):
        feed = {f"x/{name}": value[t].astype(np.float32) for name, value in inputs.items()}
        found = dict(zip(names, session.run(names, {**now, **feed}), strict=True))
        for name, value in scan.items():
            # The runtime may order float32 sums of other shapes differently.
            np.testing.assert_allclose(found[name], value[t], rtol=0, atol=1e-4, err_msg=name)
        now = {f"previous/{name}": value for name, value in found.items() if name != "output"}


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("timing", ["same_step", "next_step", "carried_over"])
def test_every_convention_of_resets_follows_the_float_engine(reset: str, timing: str) -> None:
    population = lif("a", 8, options={"reset": reset, "reset_timing": timing})
    population = StepPopulation(
        "a", "lif", population.bias, {**population.parameters, "v_reset": np.full(8, -0.2)}, population.options
    )
    weights = DenseWeights(np.random.default_rng(1).normal(0.2, 0.8, (8, 4)))
    network = StepNetwork((StepInput("x", 4),), (population,), (StepProjection("x.a", "x", "a", weights),), ("a",))
    inputs = payloads(network)
    expected = float_engine.run(network, inputs, "all").arrays()
    assert 0.02 < expected["spikes/a"].mean() < 0.9
    assert_close(expected, run_float(float_model(network), inputs["x"]).arrays())


def test_what_has_no_float_graph_is_refused() -> None:
    late = StepPopulation("a", "li", np.zeros(2), li("a", 2).parameters, late_bias={1: np.ones(2)})
    few = SparseWeights.of((np.array([0]), np.array([1]), np.array([1.0])), (2**14, 2**14))
    for populations, weights, size in (((late,), DenseWeights(np.ones((2, 2))), 2), ((li("a", 2**14),), few, 2**14)):
        projection = StepProjection("x.a", "x", "a", weights)
        network = StepNetwork((StepInput("x", size),), populations, (projection,), ("a",))
        assert not has_float_graph(network)


def test_a_float_file_says_what_it_is() -> None:
    for form in ("scan", "step"):
        model = float_model(branching(), form)
        onnx.checker.check_model(model, full_check=True)
        said = {item.key: item.value for item in model.metadata_props}
        assert said["hypr.arithmetic"] == "float32"
        assert '"touch"' in said["hypr.inputs"]
        assert all(item.doc_string for item in (*model.graph.input, *model.graph.output))
