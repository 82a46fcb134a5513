"""The two forms of a recurrent ONNX model: a single step, and a ``Scan`` of the same body over time.

Both name their tensors like a trace: ``output``, ``spikes/<name>``, ``<state>/<name>``. The step form takes the values
of the step before as ``previous/<tensor>``. The Scan form begins with the network's own initial values and returns
every value of every step. What delays still need (``history/<source>``, the last steps of a source, oldest first) goes
in and out of the step form; the Scan form carries it, and returns the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, checker, helper

from export.errors import ExportError
from export.files import own_version
from export.onnx.builder import GraphBuilder, Value

OPSET = 21
IR_VERSION = 10
FORMS = ("scan", "step")
PREVIOUS = "previous/"
START = "start/"
Shape = tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of one step.

    Attributes:
        type: element type, of ``onnx.TensorProto``.
        size: number of elements per sample.
        steps: for a history, how many steps it holds; else 0.
        start: (size,), value before the first step; None stands for zeros.
        doc: what it is, for people.
    """

    type: int
    size: int
    steps: int = 0
    start: np.ndarray | None = None
    doc: str = ""

    @property
    def shape(self) -> Shape:
        return (self.steps, "B", self.size) if self.steps else ("B", self.size)


@dataclass(frozen=True)
class Recurrence:
    """A network as one step of a recurrence.

    Attributes:
        inputs: name of the ONNX input -> the input of a step. output: the output of a step.
        carried: trace name -> spikes and states that a step hands to the next.
        body: appends the step to a graph: ``body(graph, inputs, previous) -> (output, now)``, ``inputs`` by ONNX name,
            ``previous`` and ``now`` by name of what is carried and of the histories.
        histories: ``history/<source>`` -> what delays need besides.
        doc: what the network is, for people.
    """

    inputs: Mapping[str, Tensor]
    output: Tensor
    carried: Mapping[str, Tensor]
    body: Callable[[GraphBuilder, Mapping[str, Value], Mapping[str, Value]], tuple[Value, Mapping[str, Value]]]
    histories: Mapping[str, Tensor] = field(default_factory=dict)
    doc: str = ""

    @property
    def handed_on(self) -> dict[str, Tensor]:
        """All that a step takes from the step before."""
        return {**self.carried, **self.histories}


def build(recurrence: Recurrence, form: str, name: str, metadata: Mapping[str, str]) -> ModelProto:
    """The model in the given form, checked by ONNX's checker and shape inference.

    Raises:
        ExportError: unknown form.
    """
    if form not in FORMS:
        raise ExportError(f"ONNX form '{form}' is unknown; forms are {', '.join(FORMS)}")
    graph = GraphBuilder(f"{name}_{form}")
    (_step if form == "step" else _scan)(graph, recurrence)
    model = _model(graph.build(recurrence.doc))
    model.producer_version = own_version()
    helper.set_model_props(model, {**metadata, "hypr.form": form})
    checker.check_model(model, full_check=True)
    return model


def resumable(model: ModelProto) -> ModelProto:
    """A copy of a Scan form that takes ``start/<tensor>`` as inputs instead of its own initial values.

    Raises:
        ExportError: the model is no Scan form.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    scans = [node for node in copy.graph.node if node.op_type == "Scan"]
    if len(scans) != 1:
        raise ExportError("this ONNX graph has no Scan to start from given states; use the step form")
    (scan,) = scans
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    for index, item in enumerate(item for item in body.input if item.name.startswith(PREVIOUS)):
        scan.input[index] = START + item.name.removeprefix(PREVIOUS)
        outer = copy.graph.input.add()
        outer.CopyFrom(item)
        outer.name = scan.input[index]
    return copy


def _model(graph: GraphProto) -> ModelProto:
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="hypr")


def _step(graph: GraphBuilder, recurrence: Recurrence) -> None:
    inputs = {
        name: graph.input(name, t.type, t.shape, f"{t.doc}; (batch, {t.size})") for name, t in recurrence.inputs.items()
    }
    handed_on = recurrence.handed_on
    previous = {
        name: graph.input(PREVIOUS + name, t.type, t.shape, f"{t.doc}, of the step before{_start_doc(t)}")
        for name, t in handed_on.items()
    }
    output, now = recurrence.body(graph, inputs, previous)
    graph.output(output, "output", recurrence.output.type, recurrence.output.shape, recurrence.output.doc)
    for name, t in handed_on.items():
        graph.output(now[name], name, t.type, t.shape, f"{t.doc}, after the step")


def _scan(graph: GraphBuilder, recurrence: Recurrence) -> None:
    carried, handed_on = recurrence.carried, recurrence.handed_on
    inputs = {
        name: graph.input(name, t.type, ("T", *t.shape), f"{t.doc}; (steps, batch, {t.size})")
        for name, t in recurrence.inputs.items()
    }
    # Inputs and outputs of a Scan's body: what is carried first, then the slices of each step.
    body = GraphBuilder("body", outer=graph)
    previous = {name: body.input(PREVIOUS + name, t.type, t.shape) for name, t in handed_on.items()}
    slices = {name: body.input(_slice_name(name), t.type, t.shape) for name, t in recurrence.inputs.items()}
    output, now = recurrence.body(body, slices, previous)
    for prefix, tensors in (("next", handed_on), ("now", carried)):
        for name, t in tensors.items():
            body.output(now[name], f"{prefix}/{name}", t.type, t.shape)
    body.output(output, "now/output", recurrence.output.type, recurrence.output.shape)

    first = next(iter(inputs.values()))
    start = [_before_first_step(graph, first, name, t) for name, t in handed_on.items()]
    results = [f"last/{name}" for name in handed_on] + [f"all/{name}" for name in (*carried, "output")]
    graph.nodes("Scan", *start, *inputs.values(), outputs=results, body=body.build(), num_scan_inputs=len(inputs))
    for name, t in {"output": recurrence.output, **carried}.items():
        graph.output(Value(graph, f"all/{name}"), name, t.type, ("T", *t.shape), f"{t.doc}, after each step")
    for name, t in recurrence.histories.items():
        graph.output(Value(graph, f"last/{name}"), name, t.type, t.shape, f"{t.doc}, after the last step")


def _slice_name(name: str) -> str:
    first, _, rest = name.partition("/")
    return f"{first}_now/{rest}" if rest else f"{first}_now"


def _start_doc(t: Tensor) -> str:
    return "; zeros before the first" if t.start is None else "; initial values before the first"


def _before_first_step(graph: GraphBuilder, x: Value, name: str, t: Tensor) -> Value:
    """Initial value of a tensor, for as many samples as x (T, B, n_in) has."""
    batch = graph.node("Shape", x, start=1, end=2)
    size = graph.constant(f"int64_vector_{t.size}", np.array([t.size], np.int64))
    sides = [batch, size]
    if t.steps:
        sides = [graph.constant(f"int64_vector_{t.steps}", np.array([t.steps], np.int64)), *sides]
    shape = graph.node("Concat", *sides, axis=0)
    if t.start is None:
        zero: TensorProto = helper.make_tensor("zero", t.type, [1], [0])
        return graph.node("ConstantOfShape", shape, value=zero)
    row = np.asarray(t.start, dtype=helper.tensor_dtype_to_np_dtype(t.type)).reshape(1, t.size)
    return graph.node("Expand", graph.constant(f"initial/{name}", row), shape)
