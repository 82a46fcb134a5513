"""Integer graphs of programs that are no chains: stored traces, delays, initial states, chunks, several inputs and
outputs, and the carriers of every kind of synapses."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from export.errors import UnsupportedError
from export.onnx import runtime, synapses
from export.onnx.builder import INT32, INT64, UINT8, GraphBuilder
from export.onnx.runtime import OnnxNetwork, model, run
from export.onnx.synapses import Digits, digits_for
from hardware import (
    Convolution,
    Dense,
    InputError,
    NetworkState,
    Program,
    ProgramBuilder,
    Projection,
    Sparse,
    emulate,
    reference,
)
from hardware.emulator import Emulator
from hardware.inputs import named_inputs
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs
from hardware.synapses import Connections
from tests.graph_traces import check as check_graph_cases
from tests.loihi_traces import check as check_loihi_traces
from tests.paths import golden_folder
from tests.same_trace import assert_same_state, assert_same_trace

FORMS = ("scan", "step")


def test_stored_graphs_of_two_independent_emulators_run_equal_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_graph_cases(golden_folder("graphs"), ("onnx", "onnx-step")) == 0, capsys.readouterr().out


def test_stored_traces_of_a_loihi_emulator_run_equal_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_loihi_traces(golden_folder("loihi1"), ("onnx", "onnx-step")) == 0, capsys.readouterr().out


def operators(graph: onnx.GraphProto) -> list[str]:
    found = []
    for node in graph.node:
        found.append(node.op_type)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += operators(attribute.g)
    return found


def readout(weights: Any, low: int, high: int, delay: int = 0, exponent: int = 0, **kept: Any) -> Program:
    """Sums of inputs as the states of leaky integrators that forget at once."""
    graph = ProgramBuilder()
    size = weights.shape[1]
    graph.input("x", size, low, high)
    graph.population("sums", weights.shape[0], "li", {"A": 0}, {"K": 12}, **kept)
    graph.project("x", "sums", weights, exponent, delay)
    return graph.build()


# ---- delays, initial states, chunks


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("delay", [0, 1, 2, 62])
def test_a_delay_shifts_sums_by_so_many_steps(form: str, delay: int) -> None:
    inputs = np.random.default_rng(0).integers(-9, 10, (70, 2, 3))
    expected = np.concatenate([np.zeros((delay, 2, 3), int), inputs])[:70]
    program = readout(np.eye(3, dtype=np.int8), -9, 9, delay)
    network = OnnxNetwork.open(program, form, threads=1)
    assert np.array_equal(network.run(inputs).output, expected)
    assert set(network.about.histories) == ({"x"} if delay else set())


def test_the_scan_form_carries_histories_and_returns_them_once() -> None:
    program = readout(np.eye(3, dtype=np.int8), 0, 1, delay=5)
    graph = model(program).graph
    shapes = {item.name: [d.dim_value or d.dim_param for d in item.type.tensor_type.shape.dim] for item in graph.output}
    assert shapes == {"output": ["T", "B", 3], "u/sums": ["T", "B", 3], "history/x": [5, "B", 3]}
    step = model(program, "step").graph
    assert {item.name for item in step.input} == {"x", "previous/u/sums", "previous/history/x"}
    assert {item.name for item in step.output} == {"output", "u/sums", "history/x"}


@pytest.mark.parametrize("form", FORMS)
def test_states_start_at_the_programs_initial_values(form: str) -> None:
    graph = ProgramBuilder()
    graph.input("x", 1)
    graph.population("a", 3, "lif", {"A": 4096, "TH": 1000}, {"K": 12}, initial={"u": [5, -7, 1001]})
    graph.population("b", 2, "li", {"A": 4096}, {"K": 12}, initial={"u": 3})
    graph.project("x", "a", [[0], [0], [0]])
    built = graph.build(outputs=("a", "b"))
    found = OnnxNetwork.open(built, form, threads=1).run(np.zeros((2, 1, 1), int), "all")
    assert found.states["u/a"][:, 0].tolist() == [[5, -7, 0], [5, -7, 0]]  # the third fires in its first update
    assert found.spikes["a"][:, 0].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert found.output[:, 0].tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize("form", FORMS)
def test_chunks_continue_where_the_last_one_ended(form: str) -> None:
    for seed in range(12):
        rng = np.random.default_rng([4, seed])
        program = random_graph(rng, delays=(0, 9))
        inputs = random_inputs(rng, program, 30, 3)
        network, expected = OnnxNetwork.open(program, form, threads=1), Emulator(program).run(inputs, "all")
        state: NetworkState | None = None
        parts = []
        for first, end in pairwise((0, 1, 3, 17, 30)):
            named = {name: value[first:end] for name, value in named_inputs(program, inputs).items()}
            parts.append(network.run(named, "all", state))
            state = parts[-1].final_state
        for name, value in expected.arrays().items():
            assert np.array_equal(np.concatenate([part.arrays()[name] for part in parts]), value), f"seed {seed}"
        assert expected.final_state is not None and state is not None
        assert_same_state(expected.final_state, state, f"seed {seed}")


def test_single_steps_from_the_first_values_give_the_whole_run() -> None:
    rng = np.random.default_rng(11)
    program = random_graph(rng, inputs=2, populations=4, delays=(0, 4))
    inputs = random_inputs(rng, program, 12, 2)
    network, expected = OnnxNetwork.open(program, "step", threads=1), Emulator(program).run(inputs, "all")
    now = network.first(2)
    for t in range(12):
        now = network.step({name: value[t] for name, value in inputs.items()}, now)
        for name, value in expected.arrays().items():
            assert np.array_equal(now[name], value[t]), (t, name)


def test_batches_in_parts_start_and_end_where_each_sample_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    program = random_graph(rng, inputs=2, populations=3, delays=(0, 5))
    inputs = random_inputs(rng, program, 8, 5)
    middle = Emulator(program).run(inputs).final_state
    expected = Emulator(program).run(inputs, "all", middle)
    monkeypatch.setattr(runtime, "CHUNK_BYTES", 1)
    assert_same_trace(expected, run(program, inputs, "all", 1, middle), "in parts")


# ---- several inputs and outputs


def two_by_two() -> Program:
    graph = ProgramBuilder()
    graph.input("left", 2, -5, 300)
    graph.input("right", 3)
    graph.population("a", 2, "li", {"A": 2000}, {"K": 12})
    graph.population("b", 2, "lif", {"A": 4000, "TH": 50}, {"K": 12})
    graph.population("c", 1, "li", {"A": 100}, {"K": 12})
    graph.project("left", "a", [[3, -4], [5, 6]])
    graph.project("right", "b", [[60, 20, -30], [9, 80, 1]])
    graph.project("b", "c", [[5, -7]], delay=1)
    return graph.build(outputs=("a", "c", "b"))


@pytest.mark.parametrize("form", FORMS)
def test_inputs_and_outputs_are_called_by_name(form: str) -> None:
    program = two_by_two()
    rng = np.random.default_rng(0)
    inputs = {"left": rng.integers(-5, 301, (9, 2, 2)), "right": rng.integers(0, 2, (9, 2, 3))}
    network = OnnxNetwork.open(program, form, threads=1)
    tensors = {item.name: item.type for item in network.session.get_inputs() if item.name.startswith("x")}
    assert tensors == {"x/left": "tensor(int32)", "x/right": "tensor(uint8)"}
    expected = emulate(program, inputs)
    assert set(expected.states) == {"u/a", "u/c"}  # outputs that do not spike are always there
    assert_same_trace(expected, network.run(inputs), form)
    with pytest.raises(InputError, match="several inputs"):
        network.run(inputs["left"])
    with pytest.raises(InputError, match="'right' is missing"):
        network.run({"left": inputs["left"]})
    with pytest.raises(InputError, match="share steps"):
        network.run({"left": inputs["left"][:3], "right": inputs["right"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: NetworkState({}, s.spikes, s.history), "'u/a' is missing"),
        (lambda s: NetworkState({**s.states, "u/z": s.states["u/a"]}, s.spikes, s.history), "unknown entry 'u/z'"),
        (lambda s: NetworkState({**s.states, "u/a": s.states["u/a"][:1]}, s.spikes, s.history), "shape"),
        (lambda s: NetworkState(s.states, {"b": s.spikes["b"] + 2}, {}), "0 to 1"),
        (lambda s: NetworkState(s.states, s.spikes, {"b": 1 - s.spikes["b"][None]}), "unknown entry 'history/b'"),
    ],
    ids=["missing", "unknown", "shape", "range", "history"],
)
def test_an_unfit_initial_state_is_refused_in_one_line(change: Any, message: str) -> None:
    program = two_by_two()
    inputs = {"left": np.zeros((1, 2, 2), int), "right": np.zeros((1, 2, 3), int)}
    network = OnnxNetwork.open(program, threads=1)
    state = network.run(inputs).final_state
    network.run(inputs, (), state)
    with pytest.raises(InputError, match=message) as caught:
        network.run(inputs, (), change(state))
    assert "\n" not in str(caught.value)


# ---- carriers


@pytest.mark.parametrize("row_sum", [1, 127, 127 * 3000, 127 * 200_000, 2**29])
@pytest.mark.parametrize("low", [-(2**24), -129, -64, -1, 0, 5])
@pytest.mark.parametrize("high", [5, 63, 127, 128, 16384, 2**24])
def test_digits_are_exact_small_enough_for_eight_bit_kernels_and_for_their_sums(
    row_sum: int, low: int, high: int
) -> None:
    digits: Digits = digits_for(low, high, row_sum)
    largest = 2**digits.bits - 1
    assert largest <= 127  # two products of uint8 and int8 fit 16 bits
    assert largest * row_sum < 2**31
    values = np.unique(np.clip([low, high, 0, -1, 1, low + 1, high - 1, (low + high) // 2], low, high))
    rest, total = values + digits.offset, np.zeros_like(values)
    assert (rest >= 0).all()
    for k in range(digits.count):
        total += ((rest % (largest + 1)) - digits.zero) << (digits.bits * k)
        rest //= largest + 1
    assert np.array_equal(total, values)
    assert not rest.any()


RANGES = [(0, 1), (0, 127), (0, 128), (0, 255), (1, 300), (-1, 0), (-64, 63), (-65, 64), (-(2**24), 2**24), (7, 7)]
KERNEL = np.random.default_rng(0).integers(-127, 128, (4, 2, 2, 3)).astype(np.int8)
KERNEL[0], KERNEL[1] = 127, -127
CONVOLUTION = Convolution.of(KERNEL, (4, 5, 6), (2, 1), (1, 2), (2, 1), groups=2)
MATRIX = np.random.default_rng(1).integers(-127, 128, (6, 60)).astype(np.int8)
MATRIX[0], MATRIX[1] = 127, -127
FEW = np.where(np.random.default_rng(2).random((6, 60)) < 0.1, MATRIX, 0).astype(np.int8)
FEW[2] = 0  # a row without synapses


def assert_exact(connections: Connections, low: int, high: int, delay: int, expected: set[str]) -> None:
    """The product alone, which no state saturates, on values with many at the ends of the range; and its operators."""
    projection = Projection("p", "x", "y", connections, 3, delay)
    targets, size = connections.shape
    rng = np.random.default_rng(abs(low) + high)
    values = rng.integers(low, high, (7, size), endpoint=True)
    values = np.where(rng.random(values.shape) < 0.4, rng.choice([low, high], values.shape), values)
    values[0], values[1] = low, high
    if delay:
        values[2] = 0
    carrier = UINT8 if low >= 0 and high <= 255 else INT32
    graph = GraphBuilder("product")
    x = graph.input("x", carrier, ("B", size))
    graph.output(synapses.drive(graph, "p", projection, x, low, high), "y", INT64, ("B", targets))
    built = helper.make_model(graph.build(), opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["y"], {"x": values.astype(np.uint8 if carrier == UINT8 else np.int32)})
    assert np.array_equal(found, 8 * (values @ connections.matrix().T.astype(np.int64)))
    assert expected == set(operators(built.graph)) & {"MatMul", "MatMulInteger", "ConvInteger", "CumSum"}


@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_convolutions_are_exact_for_every_range_of_payloads(low: int, high: int, delay: int) -> None:
    assert_exact(CONVOLUTION, low, high, delay, {"ConvInteger"})


@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_dense_products_are_exact_in_integers_float64_and_digits(
    low: int, high: int, delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = low >= 0 and high <= 127
    assert_exact(Dense(MATRIX), low, high, delay, {"MatMulInteger"} if small else {"MatMul"})
    monkeypatch.setattr(synapses, "MAX_FLOAT64", 0)
    assert_exact(Dense(MATRIX), low, high, delay, {"MatMulInteger"})


@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_sparse_products_are_exact_dense_and_gathered(
    low: int, high: int, delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = low >= 0 and high <= 127
    assert_exact(Sparse.from_matrix(FEW), low, high, delay, {"MatMulInteger"} if small else {"MatMul"})
    monkeypatch.setattr(synapses, "GATHER_COST", 0)
    assert_exact(Sparse.from_matrix(FEW), low, high, delay, {"CumSum"})


def test_digits_get_narrower_where_rows_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synapses, "MAX_INT32", 127 * 60 * 7)  # as if a row had very many synapses
    monkeypatch.setattr(synapses, "MAX_FLOAT64", 0)
    assert digits_for(-(2**24), 2**24, 127 * 60).bits == 3
    assert_exact(Dense(MATRIX), -(2**24), 2**24, 0, {"MatMulInteger"})


def test_rows_too_long_for_any_digit_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="limit 715827882"):
        digits_for(0, 255, 715_827_883)


def test_the_widest_payloads_take_four_digits() -> None:
    assert digits_for(-(2**24), 2**24, 127) == Digits(7, 64, 4)
    assert digits_for(0, 127, 127) == Digits(7, 0, 1)
    assert digits_for(0, 128, 127) == Digits(7, 0, 2)


def test_synapses_are_gathered_where_that_is_cheaper() -> None:
    few = np.zeros((40, 60), np.int8)
    few[[0, 5, 7], [1, 2, 59]] = 3
    for matrix, gathered in ((few, True), (np.ones((40, 60), np.int8), False)):
        graph = ProgramBuilder()
        graph.input("x", 60)
        graph.population("a", 40, "lif", {"A": 0, "TH": 2}, {"K": 12})
        graph.project("x", "a", Sparse.from_matrix(matrix))
        assert ("CumSum" in operators(model(graph.build()).graph)) == gathered


@pytest.mark.parametrize("form", FORMS)
def test_populations_that_hear_nothing_run_on_their_bias(form: str) -> None:
    graph = ProgramBuilder()
    graph.input("x", 2)
    graph.population("alone", 2, "lif", {"A": 4096, "TH": 5}, {"K": 12}, bias=[2, 3])
    graph.population("empty", 2, "cuba_lif", {"du": 0, "dv": 0, "vth": 1}, bias=30)
    graph.project("x", "empty", Sparse.from_matrix(np.zeros((2, 2), np.int8)))
    program = graph.build(outputs=("alone", "empty"))
    inputs = np.ones((9, 2, 2), int)
    assert_same_trace(reference.run(program, inputs, "all"), OnnxNetwork.open(program, form).run(inputs, "all"), form)


def test_sums_beyond_int32_on_the_way_are_exact() -> None:
    weights = np.array([[127, 120, -127, -120]], np.int8)
    program = readout(weights, 2, 2, exponent=23)
    assert run(program, np.full((1, 1, 4), 2)).output.item() == 0


# ---- another implementation of ONNX


def test_the_reference_implementation_of_onnx_gives_the_same_integers() -> None:
    for seed in range(6):
        rng = np.random.default_rng([8, seed])
        program = random_graph(rng, populations=(1, 3), sizes=(1, 5), delays=(0, 3))
        inputs = random_inputs(rng, program, 6, 2)
        network = OnnxNetwork.open(program, threads=1)
        names = [item.name for item in network.session.get_outputs()]
        feed = network._feed(named_inputs(program, inputs))
        expected = network.session.run(names, feed)
        found = ReferenceEvaluator(network.graph).run(names, feed)
        for name, a, b in zip(names, expected, found, strict=True):
            assert np.array_equal(a, b), f"seed {seed}: {name}"
