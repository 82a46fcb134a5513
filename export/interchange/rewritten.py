"""A NIR graph of this package, read and written again: what such a file can say, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir

from export.errors import GraphError
from export.interchange.discretise import discretise
from export.interchange.input_delays import with_input_delays, without_input_delays
from export.interchange.writer import FORMAT, steps_to_nir


def is_ours(graph: nir.NIRGraph) -> bool:
    """Whether a graph says that this package wrote it."""
    return (graph.metadata or {}).get("format") == FORMAT


def rewritten(graph: nir.NIRGraph, node_metadata: Mapping[str, dict[str, Any]] | None = None) -> nir.NIRGraph:
    """The graph as :func:`export.interchange.graph.to_nir` writes the network that it means.

    Args:
        graph: one of this package (:func:`is_ours`), from a file that may have been edited.
        node_metadata: layer name -> more metadata for its neuron node.

    Raises:
        ExportError: it means no network.
    """
    dt = (graph.metadata or {}).get("dt")
    if not isinstance(dt, (int, float)) or dt <= 0:
        raise GraphError("metadata dt is missing")
    plain, late = without_input_delays(graph, float(dt))
    return with_input_delays(steps_to_nir(discretise(plain), dict(node_metadata or {})), late, float(dt))
