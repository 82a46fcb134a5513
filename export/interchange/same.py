"""Whether two NIR graphs are the same: nodes, every array to the bit, edges and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

Change = Callable[[str, Any], Any]
"""``change(key, value)`` of an item of metadata before it is compared."""

_NOT_CONTENT = ("input_type", "output_type", "pre_nodes", "post_nodes", "metadata")
"""Attributes that follow from others, and metadata, which are compared on their own."""


def difference(found: nir.NIRGraph, expected: nir.NIRGraph, change: Change | None = None) -> str | None:
    """How a graph differs from another, in a few words; None where it does not.

    Args:
        found, expected: graphs whose nodes lie side by side (:func:`export.interchange.graph.read` gives such).
        change: for items of metadata that may be written in more than one way.
    """
    for name in sorted(set(found.nodes) | set(expected.nodes)):
        if name not in found.nodes or name not in expected.nodes:
            return f"node '{name}' is {'missing' if name in expected.nodes else 'one too many'}"
        one, other = found.nodes[name], expected.nodes[name]
        if type(one) is not type(other):
            return f"node '{name}' is a {type(one).__name__}, not a {type(other).__name__}"
        what = _other_values(vars(one), vars(other)) or _other_types(one, other)
        what = what or _other_metadata(one.metadata, other.metadata, change)
        if what is not None:
            return f"node '{name}': {what}"
    if sorted(map(tuple, found.edges)) != sorted(map(tuple, expected.edges)):
        return "other edges"
    return _other_metadata(found.metadata, expected.metadata, change)


def objects_of(path: Path) -> set[str]:
    """Every object of an HDF5 file with its attributes, and what stands around them, in words."""
    found: set[str] = set()
    with h5py.File(path, "r") as file:
        if file.userblock_size or file.id.get_filesize() != path.stat().st_size:
            found.add("bytes around the HDF5 file")

        def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found.add(f"{name} {'group' if isinstance(item, h5py.Group) else 'dataset'} {sorted(item.attrs)}")

        file.visititems(note)
        found.add(f"root {sorted(file.attrs)}")
    return found


def _other_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    for key in sorted(set(one) | set(other)):
        if key not in _NOT_CONTENT and not _same(one.get(key), other.get(key)):
            return f"another {key}"
    return None


def _other_types(one: nir.NIRNode, other: nir.NIRNode) -> str | None:
    """Shapes that Input, Output and Flatten declare; those of other nodes follow from their arrays."""
    if not isinstance(one, (nir.Input, nir.Output, nir.Flatten)):
        return None
    return None if _same(one.input_type, other.input_type) else "another shape"


def _other_metadata(one: Any, other: Any, change: Change | None) -> str | None:
    one, other = one or {}, other or {}
    for key in sorted(set(one) | set(other)):
        if key not in one or key not in other:
            return f"metadata '{key}' is {'missing' if key in other else 'one too many'}"
        pair = (one[key], other[key]) if change is None else (change(key, one[key]), change(key, other[key]))
        if not _same(*pair):
            return f"metadata '{key}' is another"
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (np.ndarray, np.generic)) or isinstance(other, (np.ndarray, np.generic)):
        a, b = np.asarray(one), np.asarray(other)
        if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
            return bool(a.shape == b.shape and (a == b).all())
        return a.size == b.size and np.ravel(a).astype(b.dtype).tobytes() == np.ravel(b).tobytes() and _one_type(a, b)
    return bool(one == other)


def _one_type(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have a shape in common, where HDF5 turns scalars into arrays of one element."""
    return a.dtype == b.dtype and (a.shape == b.shape or a.size == 1)
