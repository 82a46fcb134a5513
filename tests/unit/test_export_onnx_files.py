"""ONNX files: those of version 0.1, what the metadata says, and foreign or forged ones, which are refused before
anything of them runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.onnx import forms
from export.onnx.model_file import export_onnx, load, model, write_model
from export.onnx.runtime import OnnxNetwork
from hardware import Decision, Program, ProgramBuilder, content_hash, emulate
from hardware import load as load_program
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs
from tests.hostile_files import endless_loop
from tests.paths import ROOT
from tests.same_trace import assert_same_arrays, assert_same_trace

STORED = ROOT / "tests" / "stored" / "onnx"
CHAINS = ("chain7", "chain29")
ADDED = ("hypr.inputs", "hypr.outputs", "hypr.decision", "hypr.history", "hypr.initial")
"""Metadata that version 0.1 did not write."""


def properties(graph: ModelProto) -> dict[str, str]:
    return {item.key: item.value for item in graph.metadata_props}


# ---- version 0.1


@pytest.mark.parametrize("form", ["scan", "step"])
@pytest.mark.parametrize("name", CHAINS)
def test_files_of_version_0_1_run_and_go_on_from_given_states(name: str, form: str) -> None:
    program = load_program(STORED / f"{name}.npz")
    inputs = random_inputs(np.random.default_rng(1), program, 20, 3)
    network = OnnxNetwork.open(STORED / f"{name}.{form}.onnx", threads=1)
    assert network.program_sha256 == content_hash(program)
    expected = emulate(program, inputs, "all")
    assert_same_arrays(expected.arrays(), network.run(inputs, "all").arrays(), name)
    half = network.run(inputs[:9]).final_state
    assert_same_arrays(emulate(program, inputs[:9]).final_state.states, half.states, name)  # type: ignore[union-attr]
    second = network.run(inputs[9:], "all", half).arrays()
    assert_same_arrays({key: value[9:] for key, value in expected.arrays().items()}, second, name)
    theirs = emulate(program, inputs[:9]).final_state  # says besides which layers are recurrent
    assert_same_arrays(second, network.run(inputs[9:], "all", theirs).arrays(), name)


@pytest.mark.parametrize("form", ["scan", "step"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chains_graph_is_byte_for_byte_that_of_version_0_1_but_for_what_it_says_of_itself(
    name: str, form: str
) -> None:
    now = model(load_program(STORED / f"{name}.npz"), form)
    now.ClearField("producer_version")
    now.graph.ClearField("doc_string")
    for item in (*now.graph.input, *now.graph.output):
        item.ClearField("doc_string")
    kept = {key: value for key, value in properties(now).items() if key not in ADDED}
    del now.metadata_props[:]
    helper.set_model_props(now, kept)
    assert now.SerializeToString(deterministic=True) == (STORED / f"{name}.{form}.onnx").read_bytes()


# ---- what a file says of itself


def branching() -> Program:
    graph = ProgramBuilder()
    graph.input("left", 2, -5, 300)
    graph.input("right", 3)
    graph.population("a", 2, "lif", {"A": 4000, "TH": 50}, {"K": 12}, initial={"u": [4, -4]})
    graph.population("b", 2, "li", {"A": 2000}, {"K": 12}, initial={"u": 7})
    graph.project("left", "a", [[3, -4], [5, 6]], delay=3)
    graph.project("right", "b", [[60, 20, -30], [9, 80, 1]])
    graph.project("a", "b", [[1, 0], [0, 1]], delay=1)
    decision = Decision("sum", 5, np.array([3, 1], np.int32), output="a")
    return graph.build(outputs=("a", "b"), decision=decision)


@pytest.mark.parametrize("form", ["scan", "step"])
def test_metadata_says_what_decides_and_what_goes_in(form: str) -> None:
    program = branching()
    graph = model(program, form)
    found = properties(graph)
    assert json.loads(found["hypr.decision"]) == {
        "output": "spikes/a",
        "rule": "sum",
        "ignore_first": 5,
        "multiplier": [3, 1],
    }
    assert json.loads(found["hypr.inputs"]) == [
        {"name": "left", "size": 2, "low": -5, "high": 300},
        {"name": "right", "size": 3, "low": 0, "high": 1},
    ]
    assert json.loads(found["hypr.outputs"]) == ["spikes/a", "u/b"]
    assert json.loads(found["hypr.history"]) == {"left": 3, "a": 1}
    assert json.loads(found["hypr.initial"]) == {"u/a": [4, -4], "u/b": 7}
    assert (found["hypr.spec_version"], found["hypr.program_sha256"]) == ("2.0", content_hash(program))
    assert graph.producer_name == "hypr"
    assert graph.producer_version
    assert (graph.ir_version, [(item.domain, item.version) for item in graph.opset_import]) == (10, [("", 21)])


@pytest.mark.parametrize("form", ["scan", "step"])
def test_every_input_and_output_explains_itself(form: str) -> None:
    graph = model(branching(), form).graph
    assert "a (lif, 2), b (li, 2)" in graph.doc_string
    docs = {item.name: item.doc_string for item in (*graph.input, *graph.output)}
    assert all(docs.values())
    assert "integers -5 to 300" in docs["x/left"]
    assert "last 3 steps of 'left', oldest first" in docs["history/left"]
    if form == "step":
        assert "initial values" in docs["previous/u/b"]
        assert "zeros" in docs["previous/spikes/a"]


def test_opening_a_graph_leaves_no_telemetry_behind(tmp_path: Path) -> None:
    code = "import sys; from export.onnx.runtime import OnnxNetwork; OnnxNetwork.open(sys.argv[1])"
    export_onnx(branching(), tmp_path / "net.onnx")
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR"), str(home))
    environment = {**kept, **places, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "net.onnx")], check=True, env=environment, timeout=300)
    assert list(home.rglob("*")) == []


# ---- foreign and forged files


def scan_of(graph: GraphProto) -> onnx.NodeProto:
    return next(node for node in graph.node if node.op_type == "Scan")


def body_of(graph: GraphProto) -> GraphProto:
    return next(attribute.g for attribute in scan_of(graph).attribute if attribute.name == "body")


def forge_scan_in_scan(graph: ModelProto) -> None:
    inner = onnx.NodeProto.FromString(scan_of(graph.graph).SerializeToString())
    body_of(graph.graph).node.append(inner)


def forge_second_scan(graph: ModelProto) -> None:
    second = graph.graph.node.add()
    second.CopyFrom(scan_of(graph.graph))
    del second.output[:]
    second.output.extend(f"again/{i}" for i in range(len(scan_of(graph.graph).output)))


def forge_scan_over_a_long_constant(graph: ModelProto) -> None:
    """2^40 steps that no input asked for."""
    shape = numpy_helper.from_array(np.array([2**40, 1, 2], np.int64), "long_shape")
    graph.graph.initializer.append(shape)
    graph.graph.node.insert(0, helper.make_node("ConstantOfShape", ["long_shape"], ["long"]))
    scan_of(graph.graph).input[-1] = "long"


def forge_huge_start(graph: ModelProto) -> None:
    """An initial state of 2^50 values."""
    for item in graph.graph.initializer:
        if item.name == "int64_vector_2":
            item.raw_data = np.array([2**50], np.int64).tobytes()


def forge_expand(graph: ModelProto) -> None:
    """A shape that is computed from the inputs themselves."""
    graph.graph.node.insert(0, helper.make_node("Cast", ["x/left"], ["sides"], to=TensorProto.INT64))
    graph.graph.node.insert(1, helper.make_node("Expand", ["x/left", "sides"], ["wide"]))


def forge_zero_divisor(graph: ModelProto) -> None:
    for item in graph.graph.initializer:
        if item.name == "int64_4096":
            item.raw_data = np.array([-1], np.int64).tobytes()


def forge_external(graph: ModelProto) -> None:
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def forge_external_without_location(graph: ModelProto) -> None:
    graph.graph.initializer[0].external_data.add(key="location", value="../secret")


def forge_external_in_attribute(graph: ModelProto) -> None:
    node = next(node for node in graph.graph.node if node.op_type == "ConstantOfShape")
    node.attribute[0].t.data_location = TensorProto.EXTERNAL
    node.attribute[0].t.external_data.add(key="location", value="/etc/passwd")


def forge_sparse_initializer(graph: ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.INT64, [1], [1])
    indices = helper.make_tensor("sparse_indices", TensorProto.INT64, [1], [0])
    graph.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def forge_domain(graph: ModelProto) -> None:
    graph.graph.node[0].domain = "com.microsoft"


def forge_operator(graph: ModelProto) -> None:
    body_of(graph.graph).node[0].op_type = "RandomNormalLike"


def forge_function(graph: ModelProto) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    graph.functions.append(helper.make_function("own", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 21)]))


def forge_string_attribute(graph: ModelProto) -> None:
    graph.graph.node[0].attribute.append(helper.make_attribute("path", "/etc/passwd"))


FORGED: list[Callable[[ModelProto], None]] = [
    endless_loop,
    forge_scan_in_scan,
    forge_second_scan,
    forge_scan_over_a_long_constant,
    forge_huge_start,
    forge_expand,
    forge_zero_divisor,
    forge_external,
    forge_external_without_location,
    forge_external_in_attribute,
    forge_sparse_initializer,
    forge_domain,
    forge_operator,
    forge_function,
    forge_string_attribute,
]


@pytest.mark.parametrize("forge", FORGED, ids=lambda f: f.__name__)
def test_forged_graphs_are_refused_before_anything_of_them_runs(
    tmp_path: Path, forge: Callable[[ModelProto], None]
) -> None:
    path, graph = tmp_path / "forged.onnx", model(branching())
    before = graph.SerializeToString(deterministic=True)
    forge(graph)
    assert graph.SerializeToString(deterministic=True) != before
    write_model(graph, path)
    with pytest.raises(ExportError, match=r"forged\.onnx") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_graph_with_more_elements_than_memory_holds_is_refused(tmp_path: Path) -> None:
    recurrence = forms.Recurrence(
        inputs={"x": forms.Tensor(TensorProto.UINT8, 1)},
        output=forms.Tensor(TensorProto.UINT8, 1),
        carried={"u/a": forms.Tensor(TensorProto.INT32, 2**40)},
        body=lambda graph, inputs, previous: (inputs["x"], previous),
    )
    metadata = {"hypr.arithmetic": "integer", "hypr.spec_version": "2.0"}
    for form in forms.FORMS:
        write_model(forms.build(recurrence, form, "huge", metadata), tmp_path / "huge.onnx")
        with pytest.raises(ExportError, match="more than 1073741824 elements"):
            load(tmp_path / "huge.onnx")


def test_every_graph_that_is_written_can_be_read(tmp_path: Path) -> None:
    for seed in range(15):
        rng = np.random.default_rng([12, seed])
        program = random_graph(rng)
        inputs = random_inputs(rng, program, 4, 2)
        for form in ("scan", "step"):
            export_onnx(program, tmp_path / "net.onnx", form)
            found = OnnxNetwork.open(tmp_path / "net.onnx", threads=1).run(inputs, "all")
            assert_same_trace(emulate(program, inputs, "all", backend="numpy"), found, f"seed {seed}, {form}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hypr.inputs", "[]"),
        ("hypr.inputs", '[{"name": "left", "size": 2, "low": -5, "high": 200000000}]'),
        ("hypr.inputs", '[{"name": "left", "size": 2, "low": 0, "high": 1}, {"name": "right", "size": 3}]'),
        ("hypr.history", '{"left": 4611686018427387904}'),
        ("hypr.history", '{"left": -1}'),
        ("hypr.history", '{"nobody": 2}'),
        ("hypr.history", "[3]"),
        ("hypr.initial", '{"u/a": [1, 2, 3]}'),
        ("hypr.initial", '{"u/z": 1}'),
        ("hypr.initial", '{"u/a": 1e400}'),
        ("hypr.initial", '{"u/a": [[1], [2]]}'),
        ("hypr.outputs", '["u/z"]'),
        ("hypr.outputs", '{"u/a": 1}'),
        ("hypr.decision", '{"output": "u/a"}'),
        ("hypr.decision", "[]"),
        ("hypr.trace", "[" * 100_000),
    ],
)
def test_damaged_metadata_of_a_graph_is_one_line(tmp_path: Path, key: str, value: str) -> None:
    path, graph = tmp_path / "net.onnx", model(branching())
    changed = {**properties(graph), key: value}
    del graph.metadata_props[:]
    helper.set_model_props(graph, changed)
    write_model(graph, path)
    with pytest.raises(ExportError, match="metadata") as caught:
        OnnxNetwork.open(path)
    assert "\n" not in str(caught.value)
