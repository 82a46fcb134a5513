"""Trained network -> NIR graph -> file, and back.

Every layer of a chain becomes ``<name>.synapses`` (Affine, or Linear without bias), ``<name>`` (the neuron) and, where
it is recurrent, a cycle through ``<name>.recurrent`` (Linear), which delivers the spikes of the previous step. A
power-of-two ``input_scale`` becomes a Scale node, delays of input channels a Delay node behind it; synapses that a
mask leaves out are zeros in the matrix, whose metadata says so. LIF, CubaLIF and LI are NIR's own nodes, to be read
with the explicit Euler scheme; BRF, SE-adLIF and ALIF are the extension nodes of :mod:`export.interchange.nodes`. What
NIR cannot express (dt, scheme, reset, delay of recurrence, input integers, decision) stands in the metadata of the
graph and its nodes.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError
from export.files import write_atomically
from export.interchange.canonical import canonical
from export.interchange.checks import check_graph, scan_file
from export.interchange.input_delays import with_input_delays
from export.interchange.source import network_arrays
from export.interchange.steps import from_arrays
from export.interchange.writer import steps_to_nir

__all__ = ["canonical", "read", "steps_to_nir", "to_nir", "write"]


def to_nir(network: Any, dt: float = 1e-3) -> nir.NIRGraph:
    """NIR graph of a trained network.

    Args:
        network: a hypr.Network, or its arrays (:mod:`export.interchange.source`).
        dt: seconds per step; sets the time constants of LIF, CubaLIF and LI, and is recorded in the metadata.

    Raises:
        ExportError: a value that is not finite, a shape that does not fit, a decay that has no time constant.
    """
    if not np.isfinite(dt) or dt <= 0:
        raise ExportError(f"dt is {dt}; it must be a positive number of seconds per step")
    arrays = network_arrays(network)
    return with_input_delays(steps_to_nir(from_arrays(arrays, float(dt))), arrays.input_delays, float(dt))


def write(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph to an HDF5 file; the file is complete or absent.

    Raises:
        ExportError: the graph is not valid, or the path cannot be written.
    """
    check_graph(graph)
    vector = nir.NIRGraph(
        nodes={name: _without_scalars(node) for name, node in graph.nodes.items()},
        edges=list(graph.edges),
        metadata=_plain_metadata(graph.metadata),
        type_check=False,
    )
    # In memory first: HDF5 does not survive a full disk.
    content = io.BytesIO()
    nir.write(content, vector)
    write_atomically(path, lambda part: _put(part, content.getvalue()))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _without_scalars(node: nir.NIRNode) -> nir.NIRNode:
    """A copy of the node that HDF5 can hold: 0-d arrays become arrays of one element (metadata: plain numbers)."""
    if isinstance(node, nir.NIRGraph):
        return nir.NIRGraph(
            nodes={name: _without_scalars(inner) for name, inner in node.nodes.items()},
            edges=list(node.edges),
            metadata=_plain_metadata(node.metadata),
            type_check=False,
        )
    changed = {
        key: value.reshape(1) for key, value in vars(node).items() if isinstance(value, np.ndarray) and value.ndim == 0
    }
    copy = object.__new__(type(node))
    copy.__dict__.update(vars(node))
    copy.__dict__.update(changed)
    copy.metadata = _plain_metadata(node.metadata)
    return copy


def _plain_metadata(metadata: Any) -> Any:
    if isinstance(metadata, dict):
        return {str(key): _plain_metadata(value) for key, value in metadata.items()}
    if isinstance(metadata, (np.ndarray, np.generic)) and np.ndim(metadata) == 0:
        return metadata.item()
    return metadata


def read(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """Read a NIR file that nobody vouches for.

    Args:
        path: an HDF5 file, usually ``.nir``.

    Returns:
        The graph in canonical node order; every array finite, every edge between existing nodes, shapes consistent.

    Raises:
        GraphError: the file is absent, truncated or no HDF5; a node type is unknown; a value is not finite; an edge or
            shape does not fit.
    """
    where = Path(path)
    scan_file(where)
    try:
        graph = nir.read(str(where), type_check=False)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
    except Exception as error:  # the reader raises whatever h5py, numpy or a node's assertion raises
        detail = (str(error).splitlines() or [""])[0][:200]
        raise GraphError(
            f"{where}: not a readable NIR graph ({type(error).__name__}: {detail}); export it again"
        ) from None
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{where}: the root is a {type(graph).__name__}; it must be a NIRGraph")
    try:
        check_graph(graph)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
    return canonical(graph)
