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


def without_input_delays(graph: nir.NIRGraph, dt: float) -> tuple[nir.NIRGraph, tuple[int, ...]]:
    """The graph that :func:`with_input_delays` was given, and the steps; of any other graph itself, and none."""
    node = graph.nodes.get("input_delay")
    source = "input_scale" if "input_scale" in graph.nodes else "input"
    if not isinstance(node, nir.Delay) or ("input_delay", source) in graph.edges:
        return graph, ()
    nodes = {name: item for name, item in graph.nodes.items() if name != "input_delay"}
    edges = [(source if a == "input_delay" else a, b) for a, b in graph.edges if (a, b) != (source, "input_delay")]
    steps = tuple(int(value) for value in np.rint(np.ravel(np.asarray(node.delay, np.float64)) / dt))
    return canonical(nir.NIRGraph(nodes=nodes, edges=edges, metadata=dict(graph.metadata), type_check=False)), steps
