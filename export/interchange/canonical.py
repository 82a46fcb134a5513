"""One order of nodes and edges for every graph, whoever wrote it: files return nodes by name."""

from __future__ import annotations

import nir


def canonical(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The same graph with its nodes in order of evaluation from the input and its edges sorted accordingly (files
    return them by name)."""
    following: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        if a in following:
            following[a].append(b)
    order: list[str] = []
    queue = sorted(name for name, node in graph.nodes.items() if isinstance(node, nir.Input)) or sorted(graph.nodes)
    while queue:
        name = queue.pop(0)
        if name in order or name not in graph.nodes:
            continue
        order.append(name)
        queue += sorted(following[name], key=lambda n: (isinstance(graph.nodes.get(n), nir.Output), n))
    order += sorted(set(graph.nodes) - set(order))
    place = {name: i for i, name in enumerate(order)}
    edges = sorted(graph.edges, key=lambda edge: (place.get(edge[0], -1), place.get(edge[1], -1)))
    return nir.NIRGraph(
        nodes={name: graph.nodes[name] for name in order}, edges=edges, metadata=dict(graph.metadata), type_check=False
    )
