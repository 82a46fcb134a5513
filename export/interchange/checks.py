"""Checks on NIR files and graphs that come from elsewhere. Each failure is one line: what, where, limit, actual value,
fix."""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np

from export.errors import ExportError, GraphError
from export.interchange.hdf5 import refuse_foreign_storage
from export.interchange.linear import size_of
from export.interchange.wiring import declared_shape, without_leading

MAX_DEPTH = 8
_IGNORED = {"input_type", "output_type", "metadata"}


def scan_file(path: Path) -> None:
    """Look at the structure of an HDF5 file before any array is read.

    Raises:
        GraphError: no such file, no HDF5 or truncated, no NIR graph, links out of the file, arrays too large, an
            unknown node type.
    """
    if not path.is_file():
        raise GraphError(f"{path}: no such file; check the path")
    try:
        with h5py.File(path, "r") as file:
            refuse_foreign_storage(file, path)
            root = file.get("node")
            if not isinstance(root, h5py.Group):
                raise GraphError(
                    f"{path}: no NIR graph in this HDF5 file (group 'node' is missing); export it with nir.write"
                )
            if _text(root, "type") != "NIRGraph":
                raise GraphError(f"{path}: the root is '{_text(root, 'type')}'; it must be a NIRGraph")
            _scan_types(root, str(path), "")
    except ExportError as error:
        raise GraphError(str(error)) from None
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError, UnicodeDecodeError ... on damaged files
        detail = (str(error).splitlines() or [""])[0][:160]
        raise GraphError(f"{path}: damaged or not an HDF5 file ({detail}); copy or export it again") from None


def _text(group: h5py.Group, key: str) -> str:
    item = group.get(key)
    value = item[()] if isinstance(item, h5py.Dataset) else None
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)


def _scan_types(group: h5py.Group, where: str, prefix: str) -> None:
    nodes = group.get("nodes")
    if not isinstance(nodes, h5py.Group):
        raise GraphError(f"{where}: graph '{prefix or 'root'}' has no nodes; export it again")
    known = getattr(nir.ir, "__all_ir")
    for name, node in nodes.items():
        kind = _text(node, "type") if isinstance(node, h5py.Group) else "None"
        if kind not in known:
            raise GraphError(
                f"{where}: node '{prefix}{name}' has the unknown type '{kind}'; known types are "
                f"{', '.join(sorted(known))}"
            )
        if kind == "NIRGraph":
            _scan_types(node, where, f"{prefix}{name}.")


def check_graph(graph: nir.NIRGraph, prefix: str = "", depth: int = 0) -> None:
    """Structure, numbers and shapes of a graph in memory.

    Raises:
        GraphError: dangling or duplicate edges, numbers that are not finite, arrays that are not real, shapes that do
            not fit along an edge.
    """
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"expected a NIRGraph, got {type(graph).__name__}")
    if depth > MAX_DEPTH:
        raise GraphError(f"graphs are nested deeper than {MAX_DEPTH} levels; flatten the graph")
    seen: set[tuple[str, str]] = set()
    for a, b in graph.edges:
        for end in (a, b):
            if end not in graph.nodes:
                raise GraphError(
                    f"edge ('{prefix}{a}', '{prefix}{b}') names the node '{prefix}{end}', which does not exist; add "
                    "it or drop the edge"
                )
        if (a, b) in seen:
            raise GraphError(f"edge ('{prefix}{a}', '{prefix}{b}') occurs twice; drop one")
        seen.add((a, b))
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            check_graph(node, f"{prefix}{name}.", depth + 1)
        else:
            _check_node(node, f"{prefix}{name}")
    for a, b in graph.edges:
        _check_edge(graph, a, b, prefix)


def _check_node(node: nir.NIRNode, name: str) -> None:
    for key, value in vars(node).items():
        if key in _IGNORED or not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind not in "fiub":
            raise GraphError(f"node '{name}': {key} holds {value.dtype}, not real numbers; export it again")
        bad = ~np.isfinite(value)
        if bad.any():
            at = [int(i) for i in np.argwhere(bad)[0]]
            raise GraphError(
                f"node '{name}' ({type(node).__name__}): {key} is {value[tuple(at)]} at {at} ({int(bad.sum())} such "
                "values); repair or retrain"
            )
    if isinstance(node, (nir.Affine, nir.Linear)):
        if node.weight.ndim != 2 or 0 in node.weight.shape:
            raise GraphError(f"node '{name}': weight has shape {node.weight.shape}; expected (outputs, inputs)")
        if isinstance(node, nir.Affine) and node.bias.shape not in (node.weight.shape[:1], ()):
            raise GraphError(f"node '{name}': bias has shape {node.bias.shape}; expected {node.weight.shape[:1]}")


def _check_edge(graph: nir.NIRGraph, a: str, b: str, prefix: str) -> None:
    sent, expected = (declared_shape(graph.nodes[end], side) for end, side in ((a, "output"), (b, "input")))
    if sent is None or expected is None or sent == expected or 1 in (size_of(sent), size_of(expected)):
        return
    pictured = isinstance(graph.nodes[b], (nir.Conv1d, nir.Conv2d)) and len(sent) == 1
    if pictured and size_of(sent) == size_of(expected):  # a flat neuron that a convolution takes as a picture
        return
    ends = (isinstance(graph.nodes[a], nir.Input), isinstance(graph.nodes[b], nir.Output))
    if (ends[0] and without_leading(sent, expected)) or (ends[1] and without_leading(expected, sent)):
        return
    raise GraphError(
        f"edge ('{prefix}{a}', '{prefix}{b}'): '{prefix}{a}' sends {sent} values and '{prefix}{b}' takes {expected}; "
        "shapes must agree"
    )
