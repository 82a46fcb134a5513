"""A small builder that lets ONNX graphs be written like the equations they stand for.

A :class:`Value` is the name of a tensor in a :class:`GraphBuilder`; arithmetic on values appends nodes. Only operators
that ONNX defines for int64 are used, so that no product of a 24-bit state and a 16-bit coefficient is ever rounded or
wrapped (int32 ``Mul`` wraps silently).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

INT64 = TensorProto.INT64
INT32 = TensorProto.INT32
UINT8 = TensorProto.UINT8
BOOL = TensorProto.BOOL
DOUBLE = TensorProto.DOUBLE
FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Value:
    """A tensor of the graph under construction; operators append one node each.

    Attributes:
        graph: the builder that the tensor belongs to.
        name: name of the tensor.
    """

    graph: GraphBuilder
    name: str

    def __add__(self, other: Value) -> Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Value) -> Value:
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: Value) -> Value:
        return self.graph.node("Mul", self, other)

    def __gt__(self, other: Value) -> Value:
        return self.graph.node("Greater", self, other)

    def __matmul__(self, other: Value) -> Value:
        return self.graph.node("MatMul", self, other)

    def cast(self, to: int) -> Value:
        """The tensor in another element type (an ``onnx.TensorProto`` type)."""
        return self.graph.node("Cast", self, to=to)


class GraphBuilder:
    """Collects nodes, inputs, outputs and initialisers of one graph.

    A graph that is the body of a ``Scan`` shares its initialisers with the graph around it: pass that one as `outer`,
    and constants land there, once, instead of being copied into every step.
    """

    def __init__(self, name: str, outer: GraphBuilder | None = None) -> None:
        self.name = name
        self._outer = outer
        self._nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._initialisers: dict[str, TensorProto] = {}
        self._scalars: dict[tuple[int | float, str], Value] = {}
        self._counter = 0

    def input(self, name: str, element_type: int, shape: tuple[int | str, ...], doc: str = "") -> Value:
        """Declares a graph input; a string in `shape` is a dynamic dimension, `doc` is for people."""
        self._inputs.append(helper.make_tensor_value_info(name, element_type, shape, doc))
        return Value(self, name)

    def output(self, value: Value, name: str, element_type: int, shape: tuple[int | str, ...], doc: str = "") -> None:
        """Declares a graph output `name` with the content of `value`."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name], name=f"output:{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, element_type, shape, doc))

    def constant(self, name: str, array: np.ndarray) -> Value:
        """An initialiser under a readable name; the same name twice must hold the same integers."""
        owner = self._outer or self
        tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
        known = owner._initialisers.setdefault(name, tensor)
        if known.raw_data != tensor.raw_data:
            raise AssertionError(f"two different constants are called '{name}'")
        return Value(self, name)

    def scalar(self, value: int | float, dtype: str = "int64") -> Value:
        """A constant of shape (1,), shared by all its uses."""
        key = (value, dtype)
        if key not in self._scalars:
            label = f"minus_{-value}" if value < 0 else str(value)
            self._scalars[key] = self.constant(f"{dtype}_{label}", np.array([value], dtype=dtype))
        return self._scalars[key]

    def index(self, value: int, dtype: str = "int64") -> Value:
        """A constant of shape (), for operators that want one."""
        return self.constant(f"{dtype}_index_{value}", np.array(value, dtype=dtype))

    def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Appends a node with one output and returns that output."""
        return self.nodes(operator, *inputs, outputs=[self._fresh(operator)], **attributes)[0]

    def nodes(self, operator: str, *inputs: Value, outputs: list[str], **attributes: Any) -> list[Value]:
        """Appends a node with the given output names."""
        names = [value.name for value in inputs]
        self._nodes.append(helper.make_node(operator, names, outputs, name=f"{operator}:{outputs[0]}", **attributes))
        return [Value(self, name) for name in outputs]

    def where(self, condition: Value, yes: Value, no: Value) -> Value:
        return self.node("Where", condition, yes, no)

    def build(self, doc: str | None = None) -> GraphProto:
        """The finished graph."""
        initialisers = list(self._initialisers.values())
        return helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, initialisers, doc)

    def _fresh(self, operator: str) -> str:
        self._counter += 1
        return f"{self.name}:{operator.lower()}_{self._counter}"
