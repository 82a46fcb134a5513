"""What an ONNX file from elsewhere may hold before anything of it is run.

Only what :mod:`export.onnx.integer` can have written: operators of a short list, at most one Scan and that over time,
no weights in other files, divisors above 0, shapes that are constants or the number of samples. So a damaged or forged
file is refused, or is a network whose time and memory grow with its own size and with the inputs given.

Functions raise ExportError with the beginning of a line; the caller knows the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from export.errors import ExportError

MAX_ELEMENTS = 2**30
"""Elements of a tensor for one sample and step."""

_ARITHMETIC = ("Add", "Cast", "Clip", "CumSum", "Div", "Greater", "LessOrEqual", "Max", "Mod", "Mul", "Sub", "Where")
_PRODUCTS = ("ConvInteger", "MatMul", "MatMulInteger")
_PLACES = ("Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Unsqueeze")
OPERATORS = frozenset((*_ARITHMETIC, *_PRODUCTS, *_PLACES, "ConstantOfShape", "Scan", "Shape"))
_ATTRIBUTES = (AttributeProto.INT, AttributeProto.INTS, AttributeProto.TENSOR)
_CONSTANT_SHAPES = ("Reshape", "Slice", "Pad", "Unsqueeze")
"""Operators whose further inputs must be constants: they say how large the result is."""


def refuse_foreign_parts(loaded: onnx.ModelProto) -> None:
    """Weights in other files could name any file of this machine; loops could run for ever; other operators have no
    meaning here.

    Raises:
        ExportError: the beginning of a line that says what was found.
    """
    if loaded.functions or loaded.training_info:
        raise ExportError("defines operators or training of its own, which is not run here")
    constants: set[str] = set()
    positive: set[str] = set()
    for graph, inner in _graphs(loaded.graph):
        if graph.sparse_initializer or graph.quantization_annotation:
            raise ExportError("holds sparse or annotated weights, which no integer graph of hypr has")
        for tensor in graph.initializer:
            _check_tensor(tensor)
        constants |= {item.name for item in graph.initializer}
        positive |= {item.name for item in graph.initializer if _is_positive(item)}
        for node in graph.node:
            _check_node(node)
            if node.op_type in ("Div", "Mod") and (len(node.input) != 2 or node.input[1] not in positive):
                raise ExportError(f"operator {node.op_type} divides by something that is not a constant above 0")
        scans = [node for node in graph.node if node.op_type == "Scan"]
        if len(scans) > (0 if inner else 1):
            raise ExportError("runs a Scan inside another or several of them, which no integer graph of hypr does")
        _check_shapes(graph, constants, scans)


def refuse_outside_parts(loaded: onnx.ModelProto) -> None:
    """Operators of one's own, and weights in other files, in a model of any operators that is compared and not run.

    Raises:
        ExportError: the beginning of a line that says what was found.
    """
    if loaded.functions or loaded.training_info:
        raise ExportError("defines operators or training of its own")
    for graph, _ in _graphs(loaded.graph):
        if graph.sparse_initializer or graph.quantization_annotation:
            raise ExportError("holds sparse or annotated weights")
        for tensor in graph.initializer:
            _check_tensor(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                others = (attribute.graphs, attribute.tensors, attribute.sparse_tensors, attribute.type_protos)
                if attribute.ref_attr_name or any(others) or attribute.HasField("sparse_tensor"):
                    raise ExportError(f"has an attribute {attribute.name} of a kind that hypr does not write")
                if attribute.HasField("t"):
                    _check_tensor(attribute.t)


def refuse_huge_tensors(loaded: onnx.ModelProto) -> None:
    """Tensors that one sample and step could fill memory with.

    Raises:
        ExportError: the beginning of a line that names the tensor.
    """
    inferred = onnx.shape_inference.infer_shapes(loaded, check_type=True, strict_mode=True, data_prop=True)
    for graph, _ in _graphs(inferred.graph):
        for item in (*graph.value_info, *graph.input, *graph.output):
            sides = [dimension.dim_value for dimension in item.type.tensor_type.shape.dim]
            if math.prod(max(1, side) for side in sides) > MAX_ELEMENTS:
                raise ExportError(f"tensor '{item.name}' has sides {sides}, more than {MAX_ELEMENTS} elements")


def _graphs(outermost: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, bool]]:
    """The graph, then the bodies of its nodes (with True); bodies inside bodies are refused."""
    yield outermost, False
    for node in outermost.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g, True


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        raise ExportError(f"operator {name} is none that an integer graph of hypr has")
    for attribute in node.attribute:
        is_body = node.op_type == "Scan" and attribute.name == "body" and attribute.type == AttributeProto.GRAPH
        others = (attribute.graphs, attribute.tensors, attribute.sparse_tensors, attribute.type_protos)
        foreign = attribute.ref_attr_name or any(others) or attribute.HasField("sparse_tensor")
        if foreign or (not is_body and (attribute.type not in _ATTRIBUTES or attribute.HasField("g"))):
            raise ExportError(f"attribute {attribute.name} of operator {node.op_type} is none that hypr writes")
        if attribute.HasField("t"):
            _check_tensor(attribute.t)


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ExportError("keeps weights in other files, which is not read here")


def _check_shapes(graph: onnx.GraphProto, constants: set[str], scans: list[onnx.NodeProto]) -> None:
    """How large something is must not be the result of a computation: constants, and once the number of samples."""
    inputs = {item.name for item in graph.input}
    batches = {n.output[0] for n in graph.node if n.op_type == "Shape" and set(n.input) <= inputs and _is_batch(n)}
    shapes = set()
    for node in graph.node:
        if node.op_type == "Shape" and node.output[0] not in batches:
            raise ExportError("asks for a shape other than the number of samples, which no integer graph of hypr does")
        if node.op_type == "Concat":
            computed = [name for name in node.input if name not in constants]
            if len(computed) <= 1 and set(computed) <= batches:
                shapes.add(node.output[0])
        computed = list(node.input[1:]) if node.op_type in _CONSTANT_SHAPES else []
        if any(name not in constants for name in computed):
            raise ExportError(f"operator {node.op_type} has a computed shape, which no integer graph of hypr has")
        side = {"Expand": node.input[1:2], "ConstantOfShape": node.input[:1]}.get(node.op_type, [])
        if any(name not in shapes for name in side):
            raise ExportError(f"operator {node.op_type} has a computed shape, which no integer graph of hypr has")
    for scan in scans:
        count = next((attribute.i for attribute in scan.attribute if attribute.name == "num_scan_inputs"), 0)
        if not 0 < count <= len(scan.input) or not set(scan.input[-count:]) <= inputs:
            raise ExportError("runs a Scan over something that is no input, which no integer graph of hypr does")


def _is_batch(node: onnx.NodeProto) -> bool:
    return sorted((attribute.name, attribute.i) for attribute in node.attribute) == [("end", 2), ("start", 1)]


def _is_positive(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is int64 above 0, at least one of them."""
    if tensor.data_type != TensorProto.INT64 or math.prod(tensor.dims) < 1 or tensor.external_data:
        return False
    try:
        return bool(np.all(numpy_helper.to_array(tensor) > 0))
    except Exception:  # damaged; ONNX's checker says how
        return False
