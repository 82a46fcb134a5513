"""The chain of layers inside a NIR graph: which neuron reads which, through which weights."""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError

NEURONS = ("LIF", "CubaLIF", "LI", "IF", "I", "CubaLI", "BRF", "SEAdLIF", "ALIF")
_LINEAR = (nir.Affine, nir.Linear, nir.Scale, nir.Flatten)


@dataclass(frozen=True)
class Connection:
    """All synapses from one source: ``W s + bias``; float64 (n_out, n_in) and (n_out,)."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Stage:
    """One neuron node with what it reads.

    Attributes:
        name: node name. node: the neuron, or None for a bare linear readout.
        forward: from the stage below (or the input). recurrent: from this node's own spikes, or None.
    """

    name: str
    node: nir.NIRNode | None
    forward: Connection
    recurrent: Connection | None


@dataclass(frozen=True)
class Chain:
    """Stages in order of evaluation; input_size channels; input_scale is a power of two taken out of a Scale node
    behind the input."""

    stages: tuple[Stage, ...]
    input_size: int
    input_scale: float


def chain_of(graph: nir.NIRGraph) -> Chain:
    """Order the neurons of a graph into a chain.

    Raises:
        GraphError: no input or output, an unconnected neuron, shapes that do not fit.
        UnsupportedError: node types, skip or feedback connections that the chain cannot express; the message says
            which.
    """
    nodes, edges = _flatten(graph)
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        before[b].append(a)
    source, target = _only(nodes, nir.Input, "Input"), _only(nodes, nir.Output, "Output")
    for name, node in nodes.items():
        if not isinstance(node, (nir.Input, nir.Output, *_LINEAR)) and type(node).__name__ not in NEURONS:
            raise UnsupportedError(
                f"node '{name}' is a {type(node).__name__}; supported are Affine, Linear, Scale, Flatten, "
                f"{', '.join(NEURONS)}"
            )
    scale, scale_node = _input_scale(nodes, edges, source)
    stages: list[Stage] = []
    current = _last_neuron(nodes, before, target)
    n_in = int(np.prod(_shape(nodes[source], source)))
    visited: set[str] = set()
    while current != source:
        if current in visited:
            raise UnsupportedError(
                f"node '{current}' takes part in feedback between layers; only recurrence within a layer is supported"
            )
        visited.add(current)
        stage, current = _stage(nodes, before, current, source, scale_node)
        stages.insert(0, stage)
    unused = [name for name, node in nodes.items() if type(node).__name__ in NEURONS and name not in visited]
    if unused:
        raise UnsupportedError(
            f"neuron '{unused[0]}' is not on the path from input to output; remove it or connect it in a chain"
        )
    if not stages:
        raise UnsupportedError("the graph has no neurons between input and output; there is nothing to run")
    width = n_in
    for stage in stages:
        if stage.forward.weight.shape[1] != width:
            raise GraphError(
                f"node '{stage.name}' reads {stage.forward.weight.shape[1]} values but the stage below has {width}; "
                "shapes must agree"
            )
        width = stage.forward.weight.shape[0]
    return Chain(tuple(stages), n_in, scale)


def _flatten(graph: nir.NIRGraph, prefix: str = "") -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    """Nodes and edges without nested graphs: a nested Input or Output is replaced by its neighbours."""
    nodes: dict[str, nir.NIRNode] = {}
    edges = [(f"{prefix}{a}", f"{prefix}{b}") for a, b in graph.edges]
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if not isinstance(node, nir.NIRGraph):
            nodes[full] = node
            continue
        inner_nodes, inner_edges = _flatten(node, f"{full}.")
        entries = [n for n, inner in inner_nodes.items() if isinstance(inner, nir.Input)]
        exits = [n for n, inner in inner_nodes.items() if isinstance(inner, nir.Output)]
        if len(entries) != 1 or len(exits) != 1:
            raise UnsupportedError(
                f"nested graph '{full}' has {len(entries)} inputs and {len(exits)} outputs; one each is supported"
            )
        firsts = [b for a, b in inner_edges if a == entries[0]]
        lasts = [a for a, b in inner_edges if b == exits[0]]
        edges += [(a, b) for a, b in inner_edges if a != entries[0] and b != exits[0]]
        nodes.update({n: inner for n, inner in inner_nodes.items() if n not in (entries[0], exits[0])})
        edges = [e for a, b in edges for e in ([(a, first) for first in firsts] if b == full else [(a, b)])]
        edges = [e for a, b in edges for e in ([(last, b) for last in lasts] if a == full else [(a, b)])]
    return nodes, edges


def _only(nodes: dict[str, nir.NIRNode], kind: type, label: str) -> str:
    found = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise UnsupportedError(f"the graph has {len(found)} {label} nodes; exactly one is supported")
    return found[0]


def _shape(node: nir.NIRNode, name: str) -> np.ndarray:
    shape = next(iter((node.input_type or {}).values()), None)
    if shape is None or np.size(shape) == 0 or np.any(np.asarray(shape) < 1):
        raise GraphError(f"node '{name}' has no shape; write the number of channels in its input type")
    return np.asarray(shape)


def _input_scale(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], source: str) -> tuple[float, str | None]:
    """A Scale node behind the input that holds one power of two is an input scale; any other is folded into the
    weights."""
    following = [b for a, b in edges if a == source]
    if len(following) == 1 and isinstance(nodes[following[0]], nir.Scale):
        values = np.unique(np.asarray(nodes[following[0]].scale, dtype=np.float64))
        if values.size == 1 and values[0] > 0 and np.frexp(values[0])[0] == 0.5:
            return float(values[0]), following[0]
    return 1.0, None


def _last_neuron(nodes: dict[str, nir.NIRNode], before: dict[str, list[str]], target: str) -> str:
    feeding = before[target]
    if len(feeding) != 1:
        raise GraphError(f"the output node '{target}' is fed by {len(feeding)} nodes; exactly one is supported")
    return feeding[0]


def _stage(
    nodes: dict[str, nir.NIRNode], before: dict[str, list[str]], name: str, source: str, scale_node: str | None
) -> tuple[Stage, str]:
    """The stage of neuron `name` and the name of the stage below it."""
    node: nir.NIRNode | None = nodes[name]
    if isinstance(node, _LINEAR):
        node, feeding = None, [name]
    else:
        feeding = before[name]
    width = None if node is None else int(np.prod(_shape(node, name)))
    forward: list[Connection] = []
    recurrent: list[Connection] = []
    below: set[str] = set()
    if not feeding:
        raise GraphError(f"neuron '{name}' has no input; connect it to the input node or to another neuron")
    for start in feeding:
        connection, origin = _trace_back(nodes, before, start, name, source, scale_node)
        if origin == name:
            recurrent.append(connection)
        else:
            forward.append(connection)
            below.add(origin)
    if len(below) != 1:
        listed = ", ".join(sorted(below)) or "only itself"
        raise UnsupportedError(
            f"neuron '{name}' reads {listed}; a layer must read exactly one layer below it (no skip connections)"
        )
    merged = _merge(forward, width, name)
    return Stage(
        name, node, merged, _merge(recurrent, merged.weight.shape[0], name) if recurrent else None
    ), below.pop()


def _trace_back(
    nodes: dict[str, nir.NIRNode],
    before: dict[str, list[str]],
    start: str,
    end: str,
    source: str,
    scale_node: str | None,
) -> tuple[Connection, str]:
    """Compose the linear nodes from `start` backwards until a neuron or the input is reached."""
    linear: list[nir.NIRNode] = []
    name = start
    while isinstance(nodes[name], _LINEAR):
        if len(linear) > len(nodes):
            raise UnsupportedError(f"node '{name}' is part of a loop without a neuron; a loop needs a neuron in it")
        if name != scale_node:
            linear.insert(0, nodes[name])
        if len(before[name]) != 1:
            raise UnsupportedError(
                f"node '{name}' is fed by {len(before[name])} nodes; give each source its own synapses into '{end}'"
            )
        name = before[name][0]
    n_in = int(np.prod(_shape(nodes[name], name)))
    weight, bias = None, np.zeros(1)
    for node in linear:
        weight, bias = _apply_linear(node, weight, bias, n_in, end)
    if weight is None:
        weight = np.eye(n_in)
    return Connection(weight, np.broadcast_to(bias, weight.shape[:1]).copy()), name


def _apply_linear(
    node: nir.NIRNode, weight: np.ndarray | None, bias: np.ndarray, n_in: int, end: str
) -> tuple[np.ndarray | None, np.ndarray]:
    if isinstance(node, nir.Flatten):
        return weight, bias
    if isinstance(node, nir.Scale):
        scale = np.asarray(node.scale, dtype=np.float64).reshape(-1)
        rows = n_in if weight is None else weight.shape[0]
        if scale.size not in (1, rows):
            raise GraphError(
                f"a Scale of {scale.size} values on the way to '{end}' meets {rows} signals; shapes must agree"
            )
        scale = np.broadcast_to(scale, (rows,))
        return (np.diag(scale) if weight is None else weight * scale[:, None]), bias * scale
    matrix = np.asarray(node.weight, dtype=np.float64)
    rows = n_in if weight is None else weight.shape[0]
    if matrix.shape[1] != rows:
        raise GraphError(
            f"synapses on the way to '{end}' take {matrix.shape[1]} values but receive {rows}; shapes must agree"
        )
    own = np.asarray(node.bias, dtype=np.float64) if isinstance(node, nir.Affine) else np.zeros(1)
    if weight is None:
        return matrix, matrix.sum(axis=1) * 0.0 + own
    return matrix @ weight, matrix @ np.broadcast_to(bias, (rows,)) + own


def _merge(connections: list[Connection], width: int | None, name: str) -> Connection:
    """The sum of several connections from the same source."""
    first = connections[0].weight.shape
    for connection in connections:
        if connection.weight.shape != first or (width is not None and width not in (1, first[0])):
            raise GraphError(
                f"neuron '{name}' has {width} units but its synapses have shape {connection.weight.shape}; shapes "
                "must agree"
            )
    if len(connections) == 1:
        return connections[0]
    return Connection(np.sum([c.weight for c in connections], axis=0), np.sum([c.bias for c in connections], axis=0))
