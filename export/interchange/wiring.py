"""NIR graph -> flat table of nodes: nested graphs opened, inputs and outputs found, thresholds joined with the
integrator that they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from export.interchange.linear import LINEAR, Shape

NEURONS = ("LIF", "CubaLIF", "LI", "IF", "I", "CubaLI", "BRF", "SEAdLIF", "ALIF", "OwnNeuron", "Threshold")
SILENT = ("LI", "I", "CubaLI")
"""Neurons that send no spikes."""


@dataclass
class Wiring:
    """Nodes and what feeds them.

    Attributes:
        nodes: by name, nested ones as ``graph.node``. before: what feeds each node.
        inputs, outputs: names of the Input and Output nodes of the outermost graph, sorted.
        wires: nodes that pass on what they get: ends of nested graphs, and a power-of-two Scale behind an input.
        scales: input -> power of two that was taken out of such a Scale.
        integrators: Threshold -> the integrator whose membrane it reads.
        notes: what was decided, a line each.
    """

    nodes: dict[str, nir.NIRNode]
    before: dict[str, list[str]]
    inputs: list[str]
    outputs: list[str]
    wires: set[str]
    scales: dict[str, float] = field(default_factory=dict)
    integrators: dict[str, nir.NIRNode] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def neurons(self) -> list[str]:
        """Neurons of the graph, in its order."""
        return [name for name, node in self.nodes.items() if type(node).__name__ in NEURONS]

    def spiking(self, name: str) -> bool:
        return name in self.inputs or type(self.nodes[name]).__name__ not in SILENT


def wiring_of(graph: nir.NIRGraph) -> Wiring:
    """The flat table.

    Raises:
        GraphError: an edge to a node that does not exist. UnsupportedError: no Input or Output node, a type of node
            that nothing here can run.
    """
    nodes, edges, wires = _opened(graph)
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        if a not in nodes or b not in nodes:
            raise GraphError(f"edge ('{a}', '{b}') names a node that does not exist; drop it")
        for node, end, way in ((a, nir.Output, "leads out of an Output"), (b, nir.Input, "leads into an Input")):
            if isinstance(nodes[node], end) and node not in wires:
                raise GraphError(f"edge ('{a}', '{b}') {way} node; drop it")
        before[b].append(a)
    ends = {
        kind: sorted(name for name, node in nodes.items() if isinstance(node, kind) and name not in wires)
        for kind in (nir.Input, nir.Output)
    }
    for kind, found in ends.items():
        if not found:
            raise UnsupportedError(f"the graph has no {kind.__name__} node; at least one is needed")
    for name, node in nodes.items():
        if not isinstance(node, (nir.Input, nir.Output, nir.Delay, *LINEAR)) and type(node).__name__ not in NEURONS:
            raise UnsupportedError(
                f"node '{name}' is a {type(node).__name__}; supported are Affine, Linear, Scale, Conv1d, Conv2d, "
                f"SumPool2d, AvgPool2d, Flatten, Delay, {', '.join(NEURONS)}"
            )
    wiring = Wiring(nodes, before, ends[nir.Input], ends[nir.Output], wires)
    _take_scales(wiring)
    _join_thresholds(wiring)
    return wiring


def _opened(graph: nir.NIRGraph, prefix: str = "") -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]], set[str]]:
    """Nodes, edges and the ends of nested graphs, which only pass on what they get."""
    nodes: dict[str, nir.NIRNode] = {}
    wires: set[str] = set()
    entry: dict[str, str] = {}
    exit_: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if not isinstance(node, nir.NIRGraph):
            nodes[full] = node
            continue
        inner, inner_edges, inner_wires = _opened(node, f"{full}.")
        ends = [
            [n for n, item in inner.items() if isinstance(item, kind) and n not in inner_wires]
            for kind in (nir.Input, nir.Output)
        ]
        if len(ends[0]) != 1 or len(ends[1]) != 1:
            raise UnsupportedError(
                f"nested graph '{full}' has {len(ends[0])} inputs and {len(ends[1])} outputs; its edges name neither, "
                "so one each is supported"
            )
        entry[full], exit_[full] = ends[0][0], ends[1][0]
        nodes.update(inner)
        edges += inner_edges
        wires |= inner_wires | {entry[full], exit_[full]}
    edges += [(exit_.get(prefix + a, prefix + a), entry.get(prefix + b, prefix + b)) for a, b in graph.edges]
    return nodes, edges, wires


def opened_nodes(graph: nir.NIRGraph) -> list[nir.NIRNode]:
    """All nodes, those of nested graphs included."""
    return list(_opened(graph)[0].values())


def _take_scales(wiring: Wiring) -> None:
    """A Scale node behind an input that holds one power of two is an input scale; any other is folded into weights."""
    for source in wiring.inputs:
        following = [name for name, feeding in wiring.before.items() if source in feeding]
        if len(following) != 1 or wiring.before[following[0]] != [source]:
            continue
        node = wiring.nodes[following[0]]
        if isinstance(node, nir.Scale):
            values = np.unique(np.asarray(node.scale, dtype=np.float64))
            if values.size == 1 and values[0] > 0 and np.frexp(values[0])[0] == 0.5:
                wiring.scales[source] = float(values[0])
                wiring.wires.add(following[0])


def _join_thresholds(wiring: Wiring) -> None:
    """A Threshold that reads an integrator is a neuron without a reset; the integrator alone stays only where something
    else reads it."""
    for name, node in wiring.nodes.items():
        feeding = wiring.before[name]
        if isinstance(node, nir.Threshold) and len(feeding) == 1 and not wiring.spiking(feeding[0]):
            wiring.integrators[name] = wiring.nodes[feeding[0]]
            wiring.before[name] = list(wiring.before[feeding[0]])
    for name in [n for n in wiring.nodes if type(wiring.nodes[n]).__name__ in SILENT]:
        read = any(name in feeding for feeding in wiring.before.values())
        if not read and any(wiring.nodes[name] is node for node in wiring.integrators.values()):
            del wiring.nodes[name], wiring.before[name]


def declared_shape(node: nir.NIRNode, side: str = "input") -> Shape | None:
    """Shape that a node declares, None where it declares none or leaves it to its surroundings.

    A convolution's own declaration forgets groups and takes pictures for square; here they count.
    """
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        if side != "input" or node.input_shape is None:
            return None
        groups, weight = np.ravel(np.asarray(node.groups)), np.shape(node.weight)
        if groups.size != 1 or groups.dtype.kind not in "iu" or len(weight) < 2:
            return None  # what is wrong with them is said where they are read
        return (int(weight[1]) * int(groups[0]), *_sizes(node, side, node.input_shape))
    types: Mapping[str, object] = getattr(node, f"{side}_type", None) or {}
    shape = next(iter(types.values()), None) if len(types) == 1 else None
    return None if shape is None else _sizes(node, side, shape)


def _sizes(node: nir.NIRNode, side: str, shape: object) -> Shape:
    sizes = np.atleast_1d(np.asarray(shape))
    numbers = sizes.ndim == 1 and sizes.dtype.kind in "iuf" and bool(np.isfinite(sizes).all())
    if not numbers or np.any(sizes != np.floor(sizes)) or np.any(sizes < 0):
        raise GraphError(
            f"a {type(node).__name__} declares the {side} shape {_short(sizes)}; a shape is a list of whole numbers: "
            "export it again"
        )
    return tuple(int(n) for n in sizes)


def _short(values: np.ndarray) -> str:
    return " ".join(str(values).split())[:60]


def without_leading(shape: Shape, expected: Shape) -> Shape | None:
    """``shape`` without a leading dimension of batch or time that ``expected`` does not have; None where that is not
    the difference. One such dimension may have any length, further ones only 1."""
    extra = len(shape) - len(expected)
    if extra < 0 or not expected or shape[extra:] != expected:
        return None
    return expected if sum(n != 1 for n in shape[:extra]) <= 1 else None
