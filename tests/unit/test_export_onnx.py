"""The integer ONNX graph: its forms, its metadata, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.errors import ExportError
from export.onnx import runtime
from export.onnx.runtime import OnnxNetwork, export_onnx, load, model, run
from export.onnx.synapses import MAX_INTEGER_OPERAND
from hardware import InputError, InputFormat, Layer, Program, Synapses, content_hash, reference
from hardware.models import MODELS, STATE_MAX
from hardware.random_programs import random_inputs, random_program


def li_program(weight: np.ndarray, low: int = 0, high: int = 1, exponent: int = 0) -> Program:
    size = len(weight)
    layer = Layer(
        name="readout",
        model="li",
        input=Synapses(weight.astype(np.int8), exponent),
        recurrent=None,
        bias=np.zeros(size, np.int32),
        parameters={"A": np.zeros(size, np.int32)},
        shifts={"K": 12},
    )
    return Program.chain((layer,), InputFormat(weight.shape[1], low, high))


def operators(graph: onnx.GraphProto) -> set[str]:
    found = set()
    for node in graph.node:
        found.add(node.op_type)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= operators(attribute.g)
    return found


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("option", [0, 1])
def test_each_model_equals_the_oracle_for_each_option(name: str, option: int) -> None:
    rng = np.random.default_rng([7, option, sorted(MODELS).index(name)])
    for _ in range(10):
        program = random_program(rng, layers=1, models=[name], sizes=(2, 5))
        layer = program.layers[0]
        options = {
            key: values[option] for key, values in MODELS[name].options.items() if key != "spikes"
        }  # FP-3.9 alone
        changed = Layer(**{**vars(layer), "options": options})
        program = Program.chain((changed,), program.input, program.decision)
        inputs = random_inputs(rng, program, 12, 2)
        expected, found = reference.run(program, inputs, "all"), run(program, inputs, "all", threads=1)
        for key, value in expected.arrays().items():
            assert np.array_equal(value, found.arrays()[key]), key


def test_step_and_scan_form_give_the_same_integers() -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng, layers=3, sizes=(3, 6))
    inputs = random_inputs(rng, program, 10, 3)
    scan = run(program, inputs, "all", threads=1).arrays()
    step = OnnxNetwork.open(program, "step", threads=1).run(inputs, "all").arrays()
    assert scan.keys() == step.keys()
    for name, value in scan.items():
        assert np.array_equal(value, step[name]), name


@pytest.mark.parametrize("high", [1, 126, 127, 128, 255, 256, 2000])
@pytest.mark.parametrize("low", [0, -5])
def test_sums_are_exact_at_the_largest_inputs_and_weights(low: int, high: int) -> None:
    # All weights and inputs at their limit: a kernel that saturates or rounds partial sums would show here.
    program = li_program(np.array([[127] * 32, [-127] * 32, [127, -127] * 16]), low, high)
    inputs = np.full((3, 2, 32), high, dtype=np.int64)
    inputs[1] = low
    expected = inputs @ program.layers[0].input.weight.T.astype(np.int64)
    assert np.abs(expected).max() <= STATE_MAX  # nothing saturates: the sums themselves are compared
    assert np.array_equal(run(program, inputs, threads=1).output, expected)
    used = operators(model(program).graph)
    assert ("MatMulInteger" in used) == (low >= 0 and high <= MAX_INTEGER_OPERAND)


def test_file_states_opset_specification_program_and_form(tmp_path: Path) -> None:
    program = random_program(np.random.default_rng(1))
    for form in ("scan", "step"):
        path = tmp_path / f"{form}.onnx"
        export_onnx(program, path, form)
        graph = load(path)
        properties = {item.key: item.value for item in graph.metadata_props}
        assert [(item.domain, item.version) for item in graph.opset_import] == [("", 21)]
        assert graph.ir_version == 10
        assert properties["hypr.spec_version"] == program.spec_version
        assert properties["hypr.program_sha256"] == content_hash(program)
        assert properties["hypr.form"] == form


def test_equal_programs_give_byte_equal_files(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_onnx(random_program(np.random.default_rng(5)), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_are_stored_once_outside_the_scan() -> None:
    program = random_program(np.random.default_rng(2), layers=2)
    graph = model(program).graph
    scan = next(node for node in graph.node if node.op_type == "Scan")
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    assert not body.initializer
    assert any(item.name == "hidden0:input_weight" for item in graph.initializer)


def test_batches_that_do_not_fit_into_memory_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    program = random_program(rng, layers=2)
    inputs = random_inputs(rng, program, 6, 7)
    whole = run(program, inputs, "all", threads=1).arrays()
    monkeypatch.setattr(runtime, "CHUNK_BYTES", 1)
    parts = run(program, inputs, "all", threads=1).arrays()
    for name, value in whole.items():
        assert np.array_equal(value, parts[name]), name


def test_record_selects_states_by_name_and_by_layer() -> None:
    rng = np.random.default_rng(6)
    program = random_program(rng, layers=2, models=["brf"])
    inputs = random_inputs(rng, program, 2, 1)
    assert set(run(program, inputs, ("q",)).states) == {"q/hidden0", "q/readout"}
    assert set(run(program, inputs, ("v/hidden0",)).states) == {"v/hidden0"}
    assert not run(program, inputs).states
    with pytest.raises(InputError, match="'w'"):
        run(program, inputs, ("w",))


@pytest.mark.parametrize(
    "inputs",
    [np.zeros((2, 3), np.int64), np.zeros((0, 1, 4), np.int64), np.full((2, 1, 4), 2), np.zeros((2, 1, 4))],
    ids=["shape", "no steps", "range", "floats"],
)
def test_unfit_inputs_are_refused_in_one_line(inputs: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        run(li_program(np.ones((2, 4))), inputs)
    assert "\n" not in str(caught.value)


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def damage_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"hypr.spec_version\x12\x031.0", b"hypr.spec_version\x12\x039.9"))


def damage_operator(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\x03Div", b"\x03Dov"))


def damage_foreign(path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "foreign", [value], [result])
    onnx.save(helper.make_model(graph), path)


def damage_external(path: Path) -> None:
    graph = onnx.load(path)
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(graph.SerializeToString())


def edit_metadata(path: Path, **changes: str) -> None:
    graph = onnx.load(path)
    properties = {item.key: item.value for item in graph.metadata_props}
    del graph.metadata_props[:]
    helper.set_model_props(graph, {**properties, **{key.replace("__", "."): v for key, v in changes.items()}})
    path.write_bytes(graph.SerializeToString())


@pytest.mark.parametrize(
    "changes",
    [
        {"hypr__form": "loop"},
        {"hypr__input": "{"},
        {"hypr__input": '{"width": 3}'},
        {"hypr__trace": '["u/other"]'},
        {"hypr__trace": "7"},
    ],
)
def test_damaged_metadata_is_one_line(tmp_path: Path, changes: dict[str, str]) -> None:
    path = tmp_path / "integer_scan.onnx"
    export_onnx(li_program(np.ones((2, 4))), path)
    edit_metadata(path, **changes)
    with pytest.raises(ExportError, match="metadata") as caught:
        run(path, np.zeros((1, 1, 4), np.int64))
    assert "\n" not in str(caught.value)


def test_a_single_step_needs_the_step_form_and_every_state() -> None:
    program = li_program(np.ones((2, 4)))
    x, u = np.zeros((1, 4), np.uint8), {"u/readout": np.zeros((1, 2), np.int32)}
    with pytest.raises(InputError, match="'scan' form"):
        OnnxNetwork.open(program, "scan").step(x, u)
    with pytest.raises(InputError, match="'u/readout'"):
        OnnxNetwork.open(program, "step").step(x, {})


def damage_everything(path: Path) -> None:
    path.write_bytes(b"not an onnx file at all")


@pytest.mark.parametrize(
    "damage",
    [damage_truncate, damage_version, damage_operator, damage_foreign, damage_external, damage_everything],
    ids=lambda f: f.__name__,
)
def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path: Path, damage) -> None:
    path = tmp_path / "integer_scan.onnx"
    export_onnx(li_program(np.ones((2, 4))), path)
    before = path.read_bytes()
    damage(path)
    assert path.read_bytes() != before
    with pytest.raises(ExportError) as caught:
        run(path, np.zeros((1, 1, 4), np.int64))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_unknown_form_and_unwritable_folder_are_refused(tmp_path: Path) -> None:
    program = li_program(np.ones((2, 4)))
    with pytest.raises(ExportError, match="cannot be read"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(ExportError, match="forms are scan, step"):
        export_onnx(program, tmp_path / "a.onnx", "loop")
    with pytest.raises(ExportError, match="absent"):
        export_onnx(program, tmp_path / "absent" / "a.onnx")
    assert not list(tmp_path.iterdir())
