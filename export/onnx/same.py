"""Whether an ONNX file is the model that it should be: byte for byte, or, where another release of onnx or of this
package wrote it, by what its graph computes.

Two graphs compute the same where their outputs do, and a tensor is what it is computed from: operator, attributes,
inputs, and in the end the bytes of constants and the names of the graph's inputs; names of nodes and of tensors in
between mean nothing. The bodies of a Scan take what they are given by position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from export.errors import ExportError
from export.onnx.foreign import refuse_outside_parts
from export.onnx.model_file import first_line, parsed

LATER_METADATA = frozenset(f"hypr.{key}" for key in ("history", "inputs", "outputs", "initial", "decision"))
"""What files of version 0.1 do not say of themselves; they lack all of it."""


def difference(path: Path, expected: ModelProto) -> str | None:
    """How a file differs from the model that it should be, in a few words; None where it does not.

    Args:
        path: an ONNX file that nobody vouches for; nothing of it is run.
        expected: made here, from the network itself.

    Raises:
        ExportError: the file cannot be read, or is no ONNX file.
    """
    content, found = parsed(path)
    same = ModelProto()
    same.CopyFrom(expected)
    same.producer_version = found.producer_version
    if content == same.SerializeToString(deterministic=True):
        return None
    known = ModelProto()
    known.CopyFrom(found)
    known.DiscardUnknownFields()
    if known.ByteSize() != found.ByteSize():
        return "holds fields that ONNX does not have"
    try:
        refuse_outside_parts(found)
        return _other_metadata(found, expected) or _other_words(found, expected) or _other_graph(found, expected)
    except ExportError as error:
        return str(error)
    except Exception as error:  # a tensor whose bytes are not what its shape says, and the like
        return f"holds something that cannot be compared ({first_line(error)})"


def fingerprint(model: ModelProto) -> str:
    """SHA-256 over what a model computes and says: the same for every release of onnx and every order of its nodes."""
    computed = _outputs(model.graph, {}, "x")
    parts = [part for item in _ends(model.graph) for part in (item.name.encode(), _type(item))]
    parts += [computed[item.name] for item in model.graph.output]
    parts += [f"{key}={value}".encode() for key, value in sorted(_properties(model).items())]
    return _hash(*parts).hex()


def _properties(model: ModelProto) -> dict[str, str]:
    if len({item.key for item in model.metadata_props}) != len(model.metadata_props):
        raise ExportError("has metadata of which a key stands there twice")
    return {item.key: item.value for item in model.metadata_props}


def _other_metadata(found: ModelProto, expected: ModelProto) -> str | None:
    ours, theirs = _properties(expected), _properties(found)
    of_version_01 = not LATER_METADATA & set(theirs)
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key) and not (of_version_01 and key in LATER_METADATA):
            return f"metadata '{key}' is not that of the network"
    opsets = [sorted((item.domain, item.version) for item in model.opset_import) for model in (found, expected)]
    if opsets[0] != opsets[1]:
        return f"uses operators of {opsets[0]}, not {opsets[1]}"
    return "is said to be written by something else" if found.producer_name != expected.producer_name else None


def _other_words(found: ModelProto, expected: ModelProto) -> str | None:
    """Texts for people, which are claims as well; version 0.1 wrote others, and they are not compared then."""
    if not LATER_METADATA & set(_properties(found)):
        return None
    texts = [[model.doc_string, model.domain, *_words(model.graph)] for model in (found, expected)]
    return "describes itself in other words" if texts[0] != texts[1] else None


def _words(graph: GraphProto) -> list[str]:
    nodes = [text for node in graph.node for text in (node.doc_string, *(item.doc_string for item in node.attribute))]
    inner = [text for node in graph.node for item in node.attribute if item.HasField("g") for text in _words(item.g)]
    named = [item.doc_string for item in (*graph.initializer, *graph.value_info)]
    silent = [text for text in (*nodes, *named) if text]  # how many there are is the graph's own affair
    return [graph.doc_string, *(item.doc_string for item in _ends(graph)), *silent, *inner]


def _ends(graph: GraphProto) -> list[ValueInfoProto]:
    return [*graph.input, *graph.output]


def _other_graph(found: ModelProto, expected: ModelProto) -> str | None:
    theirs, ours = _outputs(found.graph, {}, "x"), _outputs(expected.graph, {}, "x")
    ends = [[(item.name, _type(item)) for item in _ends(model.graph)] for model in (found, expected)]
    if ends[0] != ends[1]:
        return "has other inputs or outputs, or others in shape or type"
    for item in expected.graph.output:
        if theirs[item.name] != ours[item.name]:
            return f"computes '{item.name}' in another way"
    return None


def _type(item: ValueInfoProto) -> bytes:
    result: bytes = item.type.SerializeToString(deterministic=True)
    return result


def _outputs(graph: GraphProto, outer: Mapping[str, bytes], place: str) -> dict[str, bytes]:
    """Name of an output -> hash of what it is computed from; inputs by name outside, by position in a body."""
    known = dict(outer)
    constants: set[str] = set()
    for tensor in graph.initializer:
        known[tensor.name] = _tensor(tensor)
        constants.add(tensor.name)
    for index, item in enumerate(graph.input):
        if item.name in constants:
            raise ExportError(f"has an input '{item.name}' with a value of its own")
        name = item.name if place == "x" else str(index)
        known[item.name] = _hash(b"input", place.encode(), name.encode(), _type(item))
    for node in graph.node:
        base = _hash(b"node", _node(node, known, place))
        for index, name in enumerate(node.output):
            if name:
                known[name] = _hash(base, str(index).encode())
    missing = [item.name for item in graph.output if item.name not in known]
    if missing:
        raise ExportError(f"computes no '{missing[0]}'")
    return {item.name: known[item.name] for item in graph.output}


def _node(node: NodeProto, known: Mapping[str, bytes], place: str) -> bytes:
    missing = [name for name in node.input if name and name not in known]
    if missing:
        raise ExportError(f"reads '{missing[0]}', which nothing computes before")
    inputs = [known[name] if name else b"none" for name in node.input]
    ordered = sorted(node.attribute, key=lambda item: item.name)
    attributes = [_attribute(item, known, place) for item in ordered]
    domain = "" if node.domain == "ai.onnx" else node.domain
    return _hash(node.op_type.encode(), domain.encode(), _hash(*inputs), _hash(*attributes))


def _attribute(item: AttributeProto, known: Mapping[str, bytes], place: str) -> bytes:
    name = item.name.encode()
    if item.type == AttributeProto.GRAPH:
        body = _outputs(item.g, known, f"{place}.{item.name}")
        ends = [body[end.name] for end in item.g.output] + [_type(end) for end in item.g.output]
        return _hash(b"graph", name, str(len(item.g.input)).encode(), *ends)
    if item.type == AttributeProto.TENSOR:
        return _hash(b"tensor", name, _tensor(item.t))
    plain = AttributeProto()
    plain.CopyFrom(item)
    plain.ClearField("doc_string")
    return _hash(b"plain", plain.SerializeToString(deterministic=True))


def _tensor(tensor: TensorProto) -> bytes:
    array = numpy_helper.to_array(tensor)
    shape = ",".join(map(str, array.shape))
    return _hash(b"constant", str(tensor.data_type).encode(), shape.encode(), array.tobytes())


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(_framed(parts))).digest()


def _framed(parts: Iterable[bytes]) -> Iterable[bytes]:
    for part in parts:
        yield len(part).to_bytes(8, "little")
        yield part
