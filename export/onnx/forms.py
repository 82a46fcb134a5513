"""The two forms of a recurrent ONNX model: a single step, and a ``Scan`` of the same body over time.

Both name their tensors like a trace: ``output``, ``spikes/<layer>``, ``<state>/<layer>``. The step form takes the
values of the step before as ``previous/<name>``; the Scan form starts all of them at 0 and returns every one of them at
every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper

from export.errors import ExportError
from export.onnx.builder import GraphBuilder, Value

OPSET = 21
IR_VERSION = 10
FORMS = ("scan", "step")
PREVIOUS = "previous/"


@dataclass(frozen=True)
class Tensor:
    """Element type (of ``onnx.TensorProto``) and number of elements per sample."""

    type: int
    size: int


@dataclass(frozen=True)
class Recurrence:
    """A network as one step of a recurrence.

    Attributes:
        x: the input of a step. output: the output of a step.
        carried: trace name -> spikes and states that a step hands to the next.
        body: appends the step to a graph: ``body(graph, x, previous) -> (output, now)``, `previous` and `now` by trace
            name.
    """

    x: Tensor
    output: Tensor
    carried: Mapping[str, Tensor]
    body: Callable[[GraphBuilder, Value, Mapping[str, Value]], tuple[Value, Mapping[str, Value]]]


def build(recurrence: Recurrence, form: str, name: str, metadata: Mapping[str, str]) -> ModelProto:
    """The model in the given form, checked by ONNX's checker and shape inference.

    Raises:
        ExportError: unknown form.
    """
    if form not in FORMS:
        raise ExportError(f"ONNX form '{form}' is unknown; forms are {', '.join(FORMS)}")
    graph = GraphBuilder(f"{name}_{form}")
    (_step if form == "step" else _scan)(graph, recurrence)
    model = helper.make_model(
        graph.build(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hypr"
    )
    helper.set_model_props(model, {**metadata, "hypr.form": form})
    checker.check_model(model, full_check=True)
    return model


def _step(graph: GraphBuilder, recurrence: Recurrence) -> None:
    x = graph.input("x", recurrence.x.type, ("B", recurrence.x.size))
    previous = {name: graph.input(PREVIOUS + name, t.type, ("B", t.size)) for name, t in recurrence.carried.items()}
    output, now = recurrence.body(graph, x, previous)
    graph.output(output, "output", recurrence.output.type, ("B", recurrence.output.size))
    for name, t in recurrence.carried.items():
        graph.output(now[name], name, t.type, ("B", t.size))


def _scan(graph: GraphBuilder, recurrence: Recurrence) -> None:
    carried = recurrence.carried
    x = graph.input("x", recurrence.x.type, ("T", "B", recurrence.x.size))
    # Inputs and outputs of a Scan's body: what is carried first, then the slices of each step.
    body = GraphBuilder("body", outer=graph)
    previous = {name: body.input(PREVIOUS + name, t.type, ("B", t.size)) for name, t in carried.items()}
    x_now = body.input("x_now", recurrence.x.type, ("B", recurrence.x.size))
    output, now = recurrence.body(body, x_now, previous)
    for prefix in ("next", "now"):
        for name, t in carried.items():
            body.output(now[name], f"{prefix}/{name}", t.type, ("B", t.size))
    body.output(output, "now/output", recurrence.output.type, ("B", recurrence.output.size))

    start = [_zeros(graph, x, t) for t in carried.values()]
    results = [f"last/{name}" for name in carried] + [f"all/{name}" for name in (*carried, "output")]
    graph.nodes("Scan", *start, x, outputs=results, body=body.build(), num_scan_inputs=1)
    for name, t in {"output": recurrence.output, **carried}.items():
        graph.output(Value(graph, f"all/{name}"), name, t.type, ("T", "B", t.size))


def _zeros(graph: GraphBuilder, x: Value, t: Tensor) -> Value:
    """(B, size) zeros, B taken from x (T, B, n_in)."""
    batch = graph.node("Shape", x, start=1, end=2)
    shape = graph.node("Concat", batch, graph.constant(f"int64_vector_{t.size}", np.array([t.size], np.int64)), axis=0)
    zero: TensorProto = helper.make_tensor("zero", t.type, [1], [0])
    return graph.node("ConstantOfShape", shape, value=zero)
