"""Recurrent layers as Spyx 1.0 writes them: its ``to_nir`` leads the layer's input through the recurrent weights."""

from __future__ import annotations

import nir

from export.errors import GraphError


def with_spyx_recurrence(graph: nir.NIRGraph) -> tuple[nir.NIRGraph, tuple[str, ...]]:
    """The graph as Spyx runs it, and a warning for each layer that was rewired.

    Spyx writes a recurrent layer as a nested graph ``input -> w_rec -> lif -> w_rec``; it runs ``input -> lif`` with
    ``w_rec`` on the spikes alone.

    Raises:
        GraphError: the layer's input does not have the width of its neurons.
    """
    nodes, warnings = {}, []
    for name, node in graph.nodes.items():
        found = _rewired(name, node) if isinstance(node, nir.NIRGraph) else None
        nodes[name] = node if found is None else found
        if found is not None:
            warnings.append(
                f"layer '{name}': Spyx writes the input of a recurrent layer into its recurrent weights; read as it "
                "runs, the input goes to the neurons directly"
            )
    if not warnings:
        return graph, ()
    return nir.NIRGraph(nodes=nodes, edges=list(graph.edges), metadata=graph.metadata, type_check=False), tuple(
        warnings
    )


def _rewired(name: str, layer: nir.NIRGraph) -> nir.NIRGraph | None:
    kinds = {key: type(node).__name__ for key, node in layer.nodes.items()}
    for entry, weights in layer.edges:
        if kinds[entry] != "Input" or kinds[weights] not in ("Linear", "Affine"):
            continue
        neurons = [b for a, b in layer.edges if a == weights and kinds[b] in ("LIF", "CubaLIF")]
        if len(neurons) != 1 or (neurons[0], weights) not in layer.edges:
            continue
        size = layer.nodes[weights].weight.shape
        if size[0] != size[1]:
            raise GraphError(f"layer '{name}': its recurrent weights are {size}; they must be square")
        edges = [edge for edge in layer.edges if edge != (entry, weights)] + [(entry, neurons[0])]
        return nir.NIRGraph(nodes=dict(layer.nodes), edges=edges, metadata=layer.metadata, type_check=False)
    return None
