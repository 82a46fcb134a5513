"""Axonal delays of a network's input channels, in NIR: one Delay node between the input and what hears it."""

from __future__ import annotations

from collections.abc import Sequence

import nir
import numpy as np

from export.interchange.canonical import canonical


def with_input_delays(graph: nir.NIRGraph, steps: Sequence[int], dt: float) -> nir.NIRGraph:
    """The same graph with every channel of its only input late.

    Args:
        graph: with the node ``input``, and ``input_scale`` behind it where inputs are scaled.
        steps: for each channel; with none of them above 0 the graph stays as it is.
        dt: seconds per step.
    """
    if not any(steps):
        return graph
    source = "input_scale" if "input_scale" in graph.nodes else "input"
    seconds = np.asarray(steps, np.float64) * dt
    nodes = {**graph.nodes, "input_delay": nir.Delay(delay=seconds)}
    edges = [("input_delay", b) if a == source else (a, b) for a, b in graph.edges]
    metadata = dict(graph.metadata)
    return canonical(
        nir.NIRGraph(nodes=nodes, edges=[*edges, (source, "input_delay")], metadata=metadata, type_check=False)
    )
