"""Chains found in NIR graphs of other shapes than our own: nested graphs, scales, several synapses; what has no form
here is refused (graphs that are no chains: test_export_graphs)."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from export.errors import ExportError
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.steps import StepLayer
from export.quantization.dequantize import quantized_nir
from export.quantization.quantize import quantize


def _lif(n: int) -> nir.LIF:
    return nir.LIF(
        tau=np.full(n, 0.01), r=np.full(n, 10.0), v_leak=np.zeros(n), v_threshold=np.ones(n), v_reset=np.zeros(n)
    )


def _recurrent(layer: StepLayer) -> list:
    assert layer.recurrent_weight is not None
    return layer.recurrent_weight.tolist()


def _graph(nodes: dict, edges: list, n_in: int = 2, n_out: int = 3) -> nir.NIRGraph:
    ends = {
        "input": nir.Input(input_type={"input": np.array([n_in])}),
        "output": nir.Output(output_type={"output": np.array([n_out])}),
    }
    return nir.NIRGraph(nodes={**ends, **nodes}, edges=edges, type_check=False)


RNG = np.random.default_rng(5)
W, R = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 3))
CHAIN = [("input", "w"), ("w", "lif"), ("lif", "output")]
READING = Reading(dt=1e-3)


def _plain() -> nir.NIRGraph:
    nodes = {"w": nir.Linear(weight=W), "lif": _lif(3), "rec": nir.Linear(weight=R)}
    return _graph(nodes, [*CHAIN, ("lif", "rec"), ("rec", "lif")])


def test_nested_graph_equals_the_flat_one() -> None:
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input(input_type={"input": np.array([3])}),
            "output": nir.Output(output_type={"output": np.array([3])}),
            "lif": _lif(3),
            "w_rec": nir.Linear(weight=R),
        },
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )
    nested = _graph({"w": nir.Linear(weight=W), "layer": inner}, [("input", "w"), ("w", "layer"), ("layer", "output")])
    flat, found = discretise(_plain(), READING), discretise(nested, READING)
    assert [layer.name for layer in found.layers] == ["layer.lif"]
    assert np.array_equal(found.layers[0].weight, flat.layers[0].weight)
    assert _recurrent(found.layers[0]) == _recurrent(flat.layers[0])


def test_power_of_two_scale_behind_the_input_is_the_input_scale_and_others_enter_the_weights() -> None:
    edges = [("input", "s"), ("s", "w"), ("w", "lif"), ("lif", "output")]
    for values, scale in ((np.full(2, 0.25), 0.25), (np.array([0.3, 2.0]), 1.0)):
        found = discretise(
            _graph({"s": nir.Scale(scale=values), "w": nir.Linear(weight=W), "lif": _lif(3)}, edges), READING
        )
        assert found.input_scale == scale
        assert np.array_equal(found.layers[0].weight * found.input_scale, W * values)


def test_two_synapse_nodes_from_one_source_add_up_and_flatten_is_transparent() -> None:
    nodes = {
        "a": nir.Affine(weight=W, bias=np.ones(3)),
        "b": nir.Linear(weight=2 * W),
        "f": nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array([2])}),
        "lif": _lif(3),
    }
    edges = [("input", "f"), ("f", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    layer = discretise(_graph(nodes, edges), READING).layers[0]
    assert np.array_equal(layer.weight, W + 2 * W) and np.array_equal(layer.bias, np.ones(3))


def test_direct_connections_are_identities() -> None:
    found = discretise(
        _graph({"lif": _lif(2)}, [("input", "lif"), ("lif", "lif"), ("lif", "output")], 2, 2), READING
    ).layers[0]
    assert np.array_equal(found.weight, np.eye(2)) and _recurrent(found) == np.eye(2).tolist()


def test_linear_readout_is_an_integrator_without_memory() -> None:
    nodes = {"w": nir.Linear(weight=W), "lif": _lif(3), "out": nir.Affine(weight=R, bias=np.ones(3))}
    steps = discretise(_graph(nodes, [("input", "w"), ("w", "lif"), ("lif", "out"), ("out", "output")]), READING)
    inputs = np.ones((4, 1, 2), int)
    trace = run(steps, inputs)
    assert np.allclose(
        trace.output, trace.spikes["lif"] @ R.T + 1, rtol=0, atol=1e-15
    )  # one rounding of a sum of order 1


REFUSED = {
    "no neuron": ({}, [("input", "output")], "nothing to run"),
    "unknown part of a delay": (
        {"d": nir.Delay(delay=np.full(2, 2.5e-3)), "w": nir.Linear(weight=W), "lif": _lif(3)},
        [("input", "d"), ("d", "w"), ("w", "lif"), ("lif", "output")],
        "2.5 steps",
    ),
    "negative delay": (
        {"d": nir.Delay(delay=np.full(2, -1e-3)), "w": nir.Linear(weight=W), "lif": _lif(3)},
        [("input", "d"), ("d", "w"), ("w", "lif"), ("lif", "output")],
        "must not be negative",
    ),
    "delay of another width": (
        {"d": nir.Delay(delay=np.full(3, 1e-3)), "w": nir.Linear(weight=W), "lif": _lif(3)},
        [("input", "d"), ("d", "w"), ("w", "lif"), ("lif", "output")],
        "shapes must agree",
    ),
    "cycle without an input": (
        {"w": nir.Linear(weight=W), "l1": _lif(3), "l2": _lif(3), "l3": _lif(3)},
        [("input", "w"), ("w", "l1"), ("l1", "output"), ("l2", "l3"), ("l3", "l2")],
        "nothing leads to it",
    ),
    "padding same with a stride": (
        {"c": nir.Conv2d((1, 2), np.ones((1, 1, 1, 1)), 2, "same", 1, 1, np.zeros(1)), "lif": _lif(1)},
        [("input", "c"), ("c", "lif"), ("lif", "output")],
        "'same' with stride",
    ),
    "channels of a convolution": (
        {"c": nir.Conv2d((1, 2), np.ones((1, 2, 1, 1)), 1, 0, 1, 1, np.zeros(1)), "lif": _lif(2)},
        [("input", "c"), ("c", "lif"), ("lif", "output")],
        "node 'c' takes 2 channels",
    ),
    "pooling of a vector": (
        {"p": nir.SumPool2d(np.ones(2), np.ones(2), np.zeros(2)), "lif": _lif(2)},
        [("input", "p"), ("p", "lif"), ("lif", "output")],
        "takes (channels, height, width)",
    ),
    "loop without neuron": (
        {"a": nir.Linear(weight=R), "b": nir.Linear(weight=R), "lif": _lif(3)},
        [("a", "b"), ("b", "a"), ("a", "lif"), ("lif", "output")],
        "loop",
    ),
    "no way to the input": ({"lif": _lif(3)}, [("lif", "output")], "has no input"),
    "shapes": ({"w": nir.Linear(weight=np.ones((3, 5))), "lif": _lif(3)}, CHAIN, "shapes must agree"),
    "neuron width": ({"w": nir.Linear(weight=np.ones((4, 2))), "lif": _lif(3)}, CHAIN, "shapes must agree"),
    "non-spiking hidden layer": (
        {
            "w": nir.Linear(weight=W),
            "li": nir.LI(tau=np.full(3, 0.01), r=np.ones(3), v_leak=np.zeros(3)),
            "v": nir.Linear(weight=R),
            "lif": _lif(3),
        },
        [("input", "w"), ("w", "li"), ("li", "v"), ("v", "lif"), ("lif", "output")],
        "does not spike",
    ),
    "synaptic integrator": (
        {"w": nir.Linear(weight=W), "li": nir.CubaLI(*(np.full(3, 0.01) for _ in range(4)))},
        [("input", "w"), ("w", "li"), ("li", "output")],
        "no form in the integer contract",
    ),
    "output fed twice": (
        {"w": nir.Linear(weight=W), "l1": _lif(3), "l2": _lif(3)},
        [("input", "w"), ("w", "l1"), ("w", "l2"), ("l1", "output"), ("l2", "output")],
        "fed by 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_form_here_is_refused_with_the_reason(case: str) -> None:
    nodes, edges, expected = REFUSED[case]
    with pytest.raises(ExportError) as error:
        discretise(_graph(nodes, edges), READING)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_time_step_is_inferred_only_where_it_is_certain() -> None:
    graph = _plain()
    with pytest.raises(ExportError, match="one time constant"):  # any r would agree with itself
        discretise(graph)
    lif = graph.nodes["lif"]
    lif.tau = np.array([0.01, 0.02, 0.03])
    lif.r = lif.tau / 1e-3
    inferred = discretise(graph)
    assert inferred.dt == pytest.approx(1e-3, rel=1e-9) and any("inferred" in note for note in inferred.notes)
    lif.r = lif.tau / np.array([1e-3, 1e-3, 1.00001e-3])
    with pytest.raises(ExportError, match="--dt"):
        discretise(graph)
    graph = _plain()
    graph.nodes["lif"].r = np.ones(3)
    with pytest.raises(ExportError, match="--dt"):
        discretise(graph)
    graph.nodes["lif"].r = np.array([1.0, 10.0, 10.0])
    with pytest.raises(ExportError, match="--dt"):
        discretise(graph)
    with pytest.raises(ExportError, match="larger than tau"):
        discretise(graph, Reading(dt=1.0))


def test_integrate_and_fire_never_forgets_and_has_an_integer_form() -> None:
    nodes = {"w": nir.Linear(weight=W), "if": nir.IF(r=np.full(3, 1000.0), v_threshold=np.ones(3))}
    nodes |= {"v": nir.Linear(weight=R), "i": nir.I(r=np.full(3, 1000.0))}
    graph = _graph(nodes, [("input", "w"), ("w", "if"), ("if", "v"), ("v", "i"), ("i", "output")])
    inputs = RNG.integers(0, 2, size=(30, 2, 2))
    trace = run(graph, inputs, ("u",), READING)
    u, out = np.zeros((2, 3)), np.zeros((2, 3))
    for t in range(30):
        u = u + inputs[t] @ W.T
        z = u > 1
        u = np.where(z, 0.0, u)
        out = out + z @ R.T
        assert np.array_equal(trace.spikes["if"][t], z) and np.allclose(trace.output[t], out, rtol=0, atol=1e-12)
    program = quantize(graph, reading=READING, calibration=inputs.swapaxes(0, 1))
    assert np.array_equal(program.layers[0].parameters["A"], np.full(3, 4096))
    assert quantize(quantized_nir(program)) == program
