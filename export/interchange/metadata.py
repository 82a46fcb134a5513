"""What metadata of a file that nobody vouches for must be before anything reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nir
import numpy as np

from export.errors import GraphError

ONE_VALUE = (
    "format",
    "dt",
    "scheme",
    "order",
    "recurrence",
    "input_low",
    "input_high",
    "decision_rule",
    "decision_ignore_first",
    "decision_output",
    "reset",
    "reset_timing",
    "spikes",
    "spike_at",
    "max_spikes",
    "connectivity",
)
"""Keys that this package reads as one text or number."""


def check_metadata(graph: nir.NIRGraph) -> None:
    """Refuse lists and groups where one text or number is read.

    Raises:
        GraphError: names the node and the key.
    """
    for where, metadata in _all(graph):
        for key in ONE_VALUE:
            value = metadata.get(key)
            if isinstance(value, Mapping) or np.ndim(value) != 0:  # type: ignore[arg-type]
                found = "a group" if isinstance(value, Mapping) else f"a list of shape {np.shape(value)}"  # type: ignore[arg-type]
                raise GraphError(f"{where}metadata {key} is {found}; it must be one text or number: remove it")


def _all(graph: nir.NIRGraph) -> Iterable[tuple[str, Mapping[str, Any]]]:
    yield "", graph.metadata or {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from ((f"node '{name}': {where}", metadata) for where, metadata in _all(node))
        else:
            yield f"node '{name}': ", getattr(node, "metadata", None) or {}
