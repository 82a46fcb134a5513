"""NIR graphs that are no chains: every construct against an independent computation, in float and in integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

import export
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.presets import reading_of
from export.interchange.steps import StepNetwork
from export.interchange.weights import matrix_of
from export.quantization.dequantize import quantized_nir, requantize
from export.quantization.report import quantization_report
from hardware.compare import compare
from hardware.emulator import emulate
from hardware.program import Program
from hardware.reference import run as oracle
from hardware.synapses import Convolution
from tests.nir_graphs import DT, Interpreter, random_case
from tests.paths import cases_folder

RNG = np.random.default_rng(8)
CONV2D: Any = functional.conv2d  # typed by overloads that no list of arguments can meet
READING = Reading(dt=DT)
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # of torch


def _lif(*shape: int) -> nir.LIF:
    return nir.LIF(np.full(shape, 0.01), np.full(shape, 10.0), np.zeros(shape), np.ones(shape), np.zeros(shape))


def _graph(nodes: dict[str, Any], edges: str, shape: tuple[int, ...] = (2,), out: int = 3) -> nir.NIRGraph:
    """Edges as ``"input>w>lif>output lif>r>lif"``."""
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array([out])})}
    pairs = [pair for path in edges.split() for pair in zip(path.split(">"), path.split(">")[1:], strict=False)]
    return nir.NIRGraph({**ends, **nodes}, list(dict.fromkeys(pairs)), type_check=False)


def _only_map(graph: nir.NIRGraph, target: str = "lif") -> np.ndarray:
    """The matrix of the only projection into a neuron."""
    (item,) = discretise(graph, READING).into(target)
    return matrix_of(item.weights)


def _edges(network: StepNetwork) -> list[tuple[str, str, int]]:
    return [(item.source, item.target, item.delay) for item in network.projections]


def _matrix_of_torch(apply: Any, shape: tuple[int, ...]) -> np.ndarray:
    """W of a linear map, from what it does to each unit vector."""
    basis = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    return apply(basis).reshape(len(basis), -1).T.numpy()


CONVOLUTIONS: list[Any] = [
    ((5, 6), 1, 1, 1, 1, (3, 3)),
    ((7, 5), (2, 1), (1, 0), 1, 1, (3, 2)),
    ((8, 8), 1, "same", 1, 2, (4, 4)),
    ((8, 9), 1, "same", (2, 1), 1, (2, 3)),
    ((9, 9), 1, "same", 3, 1, (2, 2)),
    ((9, 8), 2, "valid", 2, 2, (3, 3)),
    ((6, 6), (3, 2), 2, 1, 4, (1, 3)),
]


@pytest.mark.parametrize("case", range(len(CONVOLUTIONS)))
def test_conv2d_is_the_map_that_torch_computes_with_its_bias_at_every_position(case: int) -> None:
    size, stride, padding, dilation, groups, kernel = CONVOLUTIONS[case]
    weight, bias = RNG.normal(size=(4, 4 // groups, *kernel)), RNG.normal(size=4)
    parts = [torch.from_numpy(value) for value in (weight, bias)]
    given: list[Any] = [
        value if isinstance(value, (int, str)) else tuple(value) for value in (stride, padding, dilation)
    ]
    out = CONV2D(torch.zeros(1, 4, *size, dtype=torch.float64), *parts, *given, groups)
    node = nir.Conv2d(size, weight, stride, padding, dilation, groups, bias)
    graph = _graph({"c": node, "lif": _lif(*out.shape[1:])}, "input>c>lif>output", (4, *size), out.numel())
    expected = _matrix_of_torch(lambda x: CONV2D(x, parts[0], None, *given, groups), (4, *size))
    assert np.abs(_only_map(graph) - expected).max() < 1e-14  # one sum in another order
    assert np.array_equal(discretise(graph, READING).population("lif").bias, out.numpy().ravel())


def test_conv1d_is_the_map_that_torch_computes() -> None:
    cases: list[Any] = [(1, 1, 1), (2, 0, 2), (1, "same", 1)]
    for stride, padding, dilation in cases:
        weight = RNG.normal(size=(2, 3, 4))
        call = (stride, padding, dilation)
        expected = _matrix_of_torch(lambda x: functional.conv1d(x, torch.from_numpy(weight), None, *call), (3, 11))  # noqa: B023
        n = expected.shape[0]
        node = nir.Conv1d(11, weight, stride, padding, dilation, 1, np.zeros(2))
        graph = _graph({"c": node, "lif": _lif(2, n // 2)}, "input>c>lif>output", (3, 11), n)
        assert np.array_equal(_only_map(graph), expected)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("follower", ["conv", "conv padded", "linear", "pool", "nothing"])
def test_pooling_and_what_follows_become_one_exact_projection(average: bool, follower: str) -> None:
    kind = nir.AvgPool2d if average else nir.SumPool2d
    size, stride, padding = np.array([2, 3]), np.array([2, 2]), np.array([0, 1])
    nodes: dict[str, Any] = {"p": kind(size, stride, padding)}

    def pooled(x: torch.Tensor) -> torch.Tensor:
        divisor = None if average else 1
        return functional.avg_pool2d(x, (2, 3), (2, 2), (0, 1), divisor_override=divisor)

    inner = tuple(pooled(torch.zeros(1, 2, 8, 9, dtype=torch.float64)).shape[1:])
    after: Any = lambda x: x  # noqa: E731
    path = "input>p>lif>output"
    if follower.startswith("conv"):
        weight, pad = RNG.normal(size=(3, 2, 2, 2)), int(follower == "conv padded")
        nodes["c"] = nir.Conv2d(inner[1:], weight, 1, pad, 1, 1, np.zeros(3))
        after, path = lambda x: CONV2D(x, torch.from_numpy(weight), None, 1, pad), "input>p>c>lif>output"
    elif follower == "linear":
        matrix = RNG.normal(size=(5, int(np.prod(inner))))
        nodes |= {"f": nir.Flatten({"input": np.array(inner)}, 0, -1), "w": nir.Linear(matrix)}
        after, path = lambda x: x.reshape(len(x), -1) @ torch.from_numpy(matrix).T, "input>p>f>w>lif>output"
    elif follower == "pool":
        nodes["q"] = nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0]))
        after, path = lambda x: functional.avg_pool2d(x, 2, 1, divisor_override=1), "input>p>q>lif>output"
    expected = _matrix_of_torch(lambda x: after(pooled(x)), (2, 8, 9))
    shape = tuple(after(pooled(torch.zeros(1, 2, 8, 9, dtype=torch.float64))).shape[1:])
    nodes["lif"] = _lif(*shape)
    found = _only_map(_graph(nodes, path, (2, 8, 9), expected.shape[0]))
    assert np.abs(found - expected).max() < 1e-14  # products of the same two numbers, summed in another order


def test_convolution_behind_a_pooling_stays_a_convolution_and_keeps_few_integers() -> None:
    nodes = {
        "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "c": nir.Conv2d((8, 8), RNG.normal(size=(4, 2, 3, 3)), 1, 1, 1, 1, np.zeros(4)),
        "lif": _lif(4, 8, 8),
    }
    graph = _graph(nodes, "input>p>c>lif>output", (2, 16, 16), 256)
    program = export.quantize(graph, reading=READING, calibration=RNG.random((4, 20, 512)) < 0.2)
    (item,) = program.projections
    assert isinstance(item.synapses, Convolution) and item.synapses.kernel.shape == (4, 2, 6, 6)
    assert program.populations[0].shape == (4, 8, 8) and program.inputs[0].shape == (2, 16, 16)


W, R, V = (np.random.default_rng(3).normal(size=(3, n)) for n in (2, 3, 3))


def test_skip_connections_and_parallel_branches_add_up() -> None:
    nodes = {"w": nir.Linear(W), "a": _lif(3), "v": nir.Linear(V), "k": nir.Linear(2 * W), "b": _lif(3), "lif": _lif(3)}
    graph = _graph(nodes, "input>w>a>v>lif>output input>k>lif input>k>b>lif")
    network = discretise(graph, READING)
    assert _edges(network) == [
        *[("input", "a", 0), ("input", "b", 0)],
        *[("input", "lif", 0), ("a", "lif", 0), ("b", "lif", 0)],
    ]
    weights = [matrix_of(item.weights) for item in network.into("lif")]
    assert all(np.array_equal(x, y) for x, y in zip(weights, (2 * W, V, np.eye(3)), strict=True))


def test_feedback_between_layers_is_one_step_late_and_said() -> None:
    nodes = {"w": nir.Linear(W), "a": _lif(3), "v": nir.Linear(V), "lif": _lif(3), "r": nir.Linear(R)}
    network = discretise(_graph(nodes, "input>w>a>v>lif>output lif>r>a"), READING)
    assert _edges(network) == [("input", "a", 0), ("lif", "a", 1), ("a", "lif", 0)]
    assert network.notes == ("feedback lif -> a: one step of delay",)
    program = export.quantize(network, state_fraction_bits=12)
    assert json.loads(program.metadata["notes"]) == list(network.notes)


def test_where_two_orders_are_possible_the_user_is_asked() -> None:
    """Excitation and inhibition that both hear the input and each other."""
    nodes = {
        "w": nir.Linear(W),
        "e": _lif(3),
        "u": nir.Linear(2 * W),
        "i": _lif(3),
        "r": nir.Linear(R),
        "v": nir.Linear(V),
    }
    graph = _graph(nodes, "input>w>e>output input>u>i e>r>i i>v>e")
    with pytest.raises(export.UnsupportedError, match=r"'e' and 'i'.*--order e,i or --order i,e"):
        discretise(graph, READING)
    for order, late in ((("e", "i"), ("i", "e", 1)), (("i", "e"), ("e", "i", 1))):
        network = discretise(graph, Reading(dt=DT, order=order))
        assert [p.name for p in network.populations] == list(order)
        assert [edge for edge in _edges(network) if edge[2]] == [late]
    with pytest.raises(export.ExportError, match="'x' is no neuron"):
        discretise(graph, Reading(dt=DT, order=("x", "e")))


def test_an_order_against_a_plain_connection_is_refused() -> None:
    graph = _graph({"w": nir.Linear(W), "a": _lif(3), "lif": _lif(3)}, "input>w>a>lif>output")
    with pytest.raises(export.ExportError, match="'lif' stands before 'a'"):
        discretise(graph, Reading(dt=DT, order=("lif", "a")))


def test_delays_of_each_channel_become_projections_of_their_own() -> None:
    graph = _graph({"d": nir.Delay(np.array([2e-3, 5e-3])), "w": nir.Linear(W), "lif": _lif(3)}, "input>d>w>lif>output")
    network = discretise(graph, READING)
    assert [(item.delay, matrix_of(item.weights).tolist()) for item in network.projections] == [
        (2, (W * [1, 0]).tolist()),
        (5, (W * [0, 1]).tolist()),
    ]
    rounded = nir.Delay(np.array([3e-3], np.float32))
    single = _graph({"d": rounded, "w": nir.Linear(W), "lif": _lif(3)}, "input>d>w>lif>output")
    assert _edges(discretise(single, READING)) == [("input", "lif", 3)]
    late = _graph({"d": nir.Delay(np.full(2, 0.063)), "w": nir.Linear(W), "lif": _lif(3)}, "input>d>w>lif>output")
    with pytest.raises(export.UnsupportedError, match="63 steps; integers have at most 62"):
        export.quantize(late, reading=READING, state_fraction_bits=12)


def test_a_delay_in_a_cycle_replaces_the_step_of_feedback() -> None:
    nodes = {"w": nir.Linear(W), "lif": _lif(3), "d": nir.Delay(np.full(3, 4e-3)), "r": nir.Linear(R)}
    assert _edges(discretise(_graph(nodes, "input>w>lif>output lif>d>r>lif"), READING))[1] == ("lif", "lif", 4)


def test_several_inputs_and_outputs_keep_their_names_and_the_decision_reads_the_one_asked_for() -> None:
    nodes = {
        "left": nir.Input({"input": np.array([2])}),
        "right": nir.Input({"input": np.array([3])}),
        "w": nir.Linear(W),
        "v": nir.Linear(V),
        "a": _lif(3),
        "b": _lif(3),
        "first": nir.Output({"output": np.array([3])}),
        "second": nir.Output({"output": np.array([3])}),
    }
    edges = [("left", "w"), ("w", "a"), ("right", "v"), ("v", "b"), ("a", "b"), ("a", "first"), ("b", "second")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    inputs = {"left": RNG.integers(0, 2, (9, 2, 2)), "right": RNG.integers(0, 2, (9, 2, 3))}
    network = discretise(graph, READING)
    assert [item.name for item in network.inputs] == ["left", "right"] and network.outputs == ("a", "b")
    assert np.array_equal(run(network, inputs).output, run(network, inputs).spikes["b"])
    asked = Reading(dt=DT, output="first")
    assert np.array_equal(run(graph, inputs, reading=asked).output, run(network, inputs).spikes["a"])
    program = export.quantize(graph, reading=asked, state_fraction_bits=14)
    assert program.output.name == "a" and quantized_again(program) == program
    with pytest.raises(export.ExportError, match="several inputs"):
        run(network, inputs["left"])
    with pytest.raises(export.ExportError, match="outputs are first, second"):
        discretise(graph, Reading(dt=DT, output="third"))


def test_threshold_behind_synapses_keeps_nothing_and_behind_an_integrator_never_resets() -> None:
    theta = np.array([0.5, -0.2, 1.0])
    memoryless = _graph({"w": nir.Linear(W), "t": nir.Threshold(theta)}, "input>w>t>output")
    inputs = RNG.integers(0, 2, (30, 2, 2))
    assert np.array_equal(run(memoryless, inputs, reading=READING).output, inputs @ W.T > theta)
    li = nir.LI(np.full(3, 0.01), np.full(3, 10.0), np.zeros(3))
    graph = _graph({"w": nir.Linear(W), "li": li, "t": nir.Threshold(theta)}, "input>w>li>t>output")
    v, expected = np.zeros((2, 3)), []
    for x in inputs:
        v = 0.9 * v + x @ W.T
        expected.append(v > theta)
    assert np.array_equal(run(graph, inputs, reading=READING).output, np.array(expected))
    graph = _graph({"w": nir.Linear(W), "li": li, "t": nir.Threshold(np.abs(theta))}, "input>w>li>t>output")
    program = export.quantize(graph, reading=READING, state_fraction_bits=12)
    assert program.populations[0].options["reset"] == "none" and quantized_again(program) == program


def test_nested_graph_with_its_input_wired_straight_to_its_output_adds_the_input() -> None:
    inner = _graph({"v": nir.Linear(V)}, "input>v>output input>output", (3,))
    graph = _graph({"w": nir.Linear(W), "a": _lif(3), "g": inner, "lif": _lif(3)}, "input>w>a>g>lif>output")
    assert np.array_equal(_only_map(graph), V + np.eye(3))


def test_neurons_with_one_shared_parameter_take_their_number_from_the_synapses() -> None:
    lif = nir.LIF(*(np.array(x) for x in (0.01, 10.0, 0.0, 1.0, 0.0)))
    shared = _graph({"w": nir.Linear(W), "lif": lif, "r": nir.Linear(R)}, "input>w>lif>output lif>r>lif")
    plain = _graph({"w": nir.Linear(W), "lif": _lif(3), "r": nir.Linear(R)}, "input>w>lif>output lif>r>lif")
    inputs = RNG.integers(0, 2, (30, 8, 2))
    a, b = (run(graph, inputs, "all", READING) for graph in (shared, plain))
    assert a.output.any() and all(np.array_equal(a.arrays()[key], value) for key, value in b.arrays().items())


@pytest.mark.parametrize("leading", [(1,), (7,), (1, 7)])
def test_leading_batch_or_time_dimension_of_input_and_output_is_ignored(
    leading: tuple[int, ...], tmp_path: Path
) -> None:
    graph = _graph({"w": nir.Linear(W), "lif": _lif(3)}, "input>w>lif>output", (*leading, 2))
    graph.nodes["output"] = nir.Output({"output": np.array([*leading, 3])})
    export.write(graph, tmp_path / "n.nir")
    network = discretise(export.read(tmp_path / "n.nir"), READING)
    assert network.input_size == 2 and "read as batch or time" in network.notes[0]
    wrong = _graph({"w": nir.Linear(W), "lif": _lif(3)}, "input>w>lif>output", (7, 5, 2))
    with pytest.raises(export.GraphError, match="shapes must agree"):
        export.write(wrong, tmp_path / "n.nir")


def test_what_leads_nowhere_is_said() -> None:
    nodes = {"w": nir.Linear(W), "lif": _lif(3), "v": nir.Linear(V), "x": _lif(3), "dead": nir.Linear(R)}
    network = discretise(_graph(nodes, "input>w>lif>output lif>v>x lif>dead"), READING)
    assert [p.name for p in network.populations] == ["lif", "x"]
    assert network.notes == (
        "neuron 'x' leads to no output; it runs, but nothing reads it",
        "node 'dead' feeds nothing; it is left out",
    )


def test_conventions_of_single_layers_differ_from_those_of_the_file() -> None:
    graph = _graph({"w": nir.Linear(W), "a": _lif(3), "lif": _lif(3)}, "input>w>a>lif>output")
    reading = Reading(dt=DT, reset="subtract", layers={"a": {"reset": "none"}})
    network = discretise(graph, reading)
    assert [p.options["reset"] for p in network.populations] == ["none", "subtract"]
    for layers, message in (
        ({"a": {"dt": 1}}, "no convention of one layer"),
        ({"b": {"reset": "zero"}}, "is no neuron"),
    ):
        with pytest.raises(export.ExportError, match=message):
            discretise(graph, Reading(dt=DT, layers=layers))


def quantized_again(program: Program) -> Program:
    return export.quantize(quantized_nir(program))


@pytest.mark.parametrize("seed", range(20))
def test_random_graph_in_float_equals_a_plain_interpreter(seed: int) -> None:
    case = random_case(seed)
    network = discretise(case.graph, Reading(dt=DT, order=tuple(case.order)))
    given = {item.name: case.inputs["in0" if len(case.inputs) == 1 else item.name] for item in network.inputs}
    trace, expected = run(network, given, "all"), Interpreter(case).run()
    for name in case.order:
        wanted = expected[name].reshape(trace.output.shape[0], trace.output.shape[1], -1)
        if network.population(name).spiking:
            assert np.array_equal(trace.spikes[name], wanted)
        else:
            assert np.abs(trace.states[f"u/{name}"] - wanted).max() < 1e-9  # sums of some 100 in another order
    last = max(name for name in case.graph.nodes if name.startswith("output"))
    assert np.abs(trace.output - expected[last].reshape(trace.output.shape)).max() < 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_random_graph_in_integers_equals_the_oracle_and_survives_its_file(seed: int, tmp_path: Path) -> None:
    case, rng = random_case(seed), np.random.default_rng(seed)
    reading = Reading(dt=DT, order=tuple(case.order))
    network = discretise(case.graph, reading)
    if any(population.late_bias for population in network.populations):
        pytest.skip("a bias behind a delay has no integer form")
    inputs = {item.name: case.inputs["in0" if len(case.inputs) == 1 else item.name] for item in network.inputs}
    calibration = {name: value.swapaxes(0, 1) for name, value in inputs.items()}
    scale, bits = str(rng.choice(["power_of_two", "per_layer", "per_row"])), int(rng.integers(2, 9))
    settings = export.QuantizationSettings(weight_bits=bits, weight_scale=scale, synaptic_bias="steady_state")
    program = export.quantize(case.graph, settings, calibration=calibration, reading=reading)
    few = {name: value[:, :1] for name, value in inputs.items()}
    assert compare(oracle(program, few, "all"), emulate(program, few, "all"), program).differing == 0
    export.write(quantized_nir(program), tmp_path / "q.nir")
    assert export.quantize(export.read(tmp_path / "q.nir")) == program
    assert requantize(case.graph, program, reading) == program
    tensors = [t for layer in quantization_report(program, case.graph, reading)["layers"] for t in layer["tensors"]]
    assert {item.name for item in program.projections} <= {
        *tensors,
        *(p.name for p in program.projections if program.is_chain),
    }


@pytest.mark.parametrize("name", ["cnn_sinabs_1", "cnn_lowered_1"])
def test_convolutional_network_runs_as_in_sinabs_and_in_integers(name: str) -> None:
    folder = cases_folder("tools")
    graph, data = export.read(folder / f"{name}.nir"), np.load(folder / f"{name}.npz")
    inputs = data["input_spikes"].astype(int)
    with pytest.raises(export.ExportError, match="--spikes single"):
        run(graph, inputs, reading=reading_of("sinabs"))
    reading = reading_of("sinabs", spikes="single")
    assert np.array_equal(run(graph, inputs, reading=reading).output, data["output_spikes"])
    program = export.quantize(graph, reading=reading, calibration=inputs.swapaxes(0, 1))
    found = emulate(program, inputs[:, :1], "all")
    assert compare(oracle(program, inputs[:, :1], "all"), found, program).differing == 0
    assert quantized_again(program) == program


TOPOLOGIES = {
    **dict.fromkeys(("both_out", "conv", "dead_linear", "delay", "ei", "mid_out", "only_linear", "skip")),
    **dict.fromkeys(("thr", "two_rec")),
    "direct": "nothing to run",
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_reported_topologies_run_and_verify_or_say_why_not(name: str) -> None:
    folder, reason = cases_folder("reports") / "topology", TOPOLOGIES[name]
    graph, inputs = export.read(folder / f"{name}.nir"), np.load(folder / "x.npz")
    x = inputs[inputs.files[0]].astype(int)
    if reason is not None:
        with pytest.raises(export.UnsupportedError, match=reason):
            export.quantize(graph, reading=READING, calibration=x.swapaxes(0, 1))
        return
    program = export.quantize(graph, reading=READING, calibration=x.swapaxes(0, 1))
    assert compare(oracle(program, x, "all"), emulate(program, x, "all"), program).differing == 0
    assert quantized_again(program) == program
