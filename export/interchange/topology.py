"""The graph of populations inside a NIR graph: which neuron hears which, through which weights, how many steps late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from export.interchange.compose import add, compact
from export.interchange.linear import size_of
from export.interchange.order import Edge, evaluation_order, levels
from export.interchange.signals import Constant, Signal, Signals, Term
from export.interchange.weights import Weights, identity
from export.interchange.wiring import Wiring, wiring_of


@dataclass(frozen=True)
class Connection:
    """``W s(t - delay)`` from a source into a neuron; delay in steps, ``feedback`` where the order gave it one."""

    source: str
    weights: Weights
    delay: int
    feedback: bool = False


@dataclass(frozen=True)
class Stage:
    """One neuron node with what it hears.

    Attributes:
        name: node name. node: the neuron, or None for a bare linear readout.
        integrator: of a Threshold, the node whose membrane it reads.
        size: number of neurons.
        connections: from other neurons, inputs and itself.
        bias: (N,), from the first step on. recurrent_bias: (N,), of synapses that hear only feedback.
        late_bias: step -> (N,), what Delay nodes let through from that step on.
    """

    name: str
    node: nir.NIRNode | None
    integrator: nir.NIRNode | None
    size: int
    connections: tuple[Connection, ...]
    bias: np.ndarray
    recurrent_bias: np.ndarray
    late_bias: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def recurrent(self) -> bool:
        return any(item.source == self.name for item in self.connections)


@dataclass(frozen=True)
class Topology:
    """Inputs (name, size, scale), stages in order of evaluation, outputs (Output node -> stage), notes."""

    inputs: tuple[tuple[str, int, float], ...]
    stages: tuple[Stage, ...]
    outputs: dict[str, str]
    notes: tuple[str, ...]


def topology_of(graph: nir.NIRGraph, dt: float | None = None, order: Sequence[str] = ()) -> Topology:
    """Populations and connections of a graph.

    Args:
        dt: seconds per step, needed for Delay nodes.
        order: names of neurons in the order in which a step evaluates them, where a cycle leaves two.

    Raises:
        GraphError: no input or output, an unconnected neuron, shapes that do not fit.
        UnsupportedError: what no population or projection can be; the message names the node and the reason.
    """
    wiring = wiring_of(graph)
    signals = Signals(wiring, dt)
    readouts = {name: _readout(wiring, signals, name) for name in wiring.outputs}
    bare = {name: heard for name, heard in readouts.values() if heard is not None}
    heard = {name: _checked(wiring, signals, name) for name in wiring.neurons} | bare
    outputs = {output: name for output, (name, _) in readouts.items()}
    for name, signal in heard.items():
        _check_sources(wiring, bare, name, signal)
    names = list(heard)
    edges = [(term.source, name) for name, signal in heard.items() for term in signal.terms]
    level = levels(wiring.inputs, edges)
    for name in names:
        if name not in level:
            raise GraphError(f"neuron '{name}' has no input: nothing leads to it from an Input node; connect it")
    undelayed = {(t.source, name) for name, signal in heard.items() for t in signal.terms if t.delay == 0}
    inner = [edge for edge in dict.fromkeys(edges) if edge in undelayed and edge[0] in heard]
    in_order, back = evaluation_order(sorted(names, key=lambda n: level[n]), inner, level, order)
    stages = tuple(_stage(wiring, name, heard[name], back) for name in in_order)
    inputs = tuple((n, size_of(signals.shape_of(n)), wiring.scales.get(n, 1.0)) for n in wiring.inputs)
    notes = [*wiring.notes, *_notes(wiring, heard, outputs, edges, back)]
    return Topology(inputs, stages, outputs, tuple(notes))


def _readout(wiring: Wiring, signals: Signals, output: str) -> tuple[str, Signal | None]:
    """The neuron that an Output node shows, or a bare linear readout and what it hears."""
    feeding = wiring.before[output]
    if len(feeding) != 1:
        raise GraphError(f"the output node '{output}' is fed by {len(feeding)} nodes; exactly one is supported")
    signal = signals.of(feeding[0])
    plain = [term for term in signal.terms if term.weights is None and term.delay == 0]
    if len(signal.terms) == 1 and plain and not signal.constants:
        if plain[0].source in wiring.inputs:
            raise UnsupportedError(
                f"the graph has no neurons between '{plain[0].source}' and '{output}'; there is nothing to run"
            )
        return plain[0].source, None
    return feeding[0], signal


def _checked(wiring: Wiring, signals: Signals, name: str) -> Signal:
    """What a neuron hears, of its width."""
    if not wiring.before[name]:
        raise GraphError(f"neuron '{name}' has no input; connect it to the input node or to another neuron")
    heard, size = signals.heard(name), size_of(signals.shape_of(name))
    if size_of(heard.shape) != size:
        raise GraphError(
            f"neuron '{name}' has {size} units but its synapses give {size_of(heard.shape)} values; shapes must agree"
        )
    return heard


def _check_sources(wiring: Wiring, bare: dict[str, Signal], name: str, signal: Signal) -> None:
    for term in signal.terms:
        if not wiring.spiking(term.source):
            raise UnsupportedError(
                f"node '{term.source}' does not spike but feeds '{name}'; a leaky integrator can only be read by an "
                "Output or a Threshold"
            )


def _stage(wiring: Wiring, name: str, signal: Signal, back: set[Edge]) -> Stage:
    node = None if name not in wiring.neurons else wiring.nodes[name]
    size = size_of(signal.shape)
    grouped: dict[tuple[str, int, bool], list[Weights]] = {}
    for term in signal.terms:
        feedback = term.delay == 0 and (term.source, name) in back
        key = (term.source, term.delay + feedback, feedback)
        weights = identity(size) if term.weights is None else term.weights
        _add(grouped.setdefault(key, []), weights)
    connections = tuple(
        Connection(source, compact(weights), delay, feedback)
        for (source, delay, feedback), found in grouped.items()
        for weights in found
    )
    bias, recurrent = np.zeros(size), np.zeros(size)
    late: dict[int, np.ndarray] = {}
    for constant in signal.constants:
        if constant.start:
            late[constant.start] = late.get(constant.start, np.zeros(size)) + constant.values
        elif _only_feedback(constant, signal.terms, name, back):
            recurrent = recurrent + constant.values
        else:
            bias = bias + constant.values
    return Stage(name, node, wiring.integrators.get(name), size, connections, bias, recurrent, late)


def _add(found: list[Weights], weights: Weights) -> None:
    for index, other in enumerate(found):
        together = add(other, weights)
        if together is not None:
            found[index] = together
            return
    found.append(weights)


def _only_feedback(constant: Constant, terms: Sequence[Term], name: str, back: set[Edge]) -> bool:
    """Whether the synapses that add a bias hear nothing but feedback."""
    return bool(constant.sources) and all((source, name) in back for source in constant.sources)


def _notes(
    wiring: Wiring, heard: dict[str, Signal], outputs: dict[str, str], edges: Sequence[Edge], back: set[Edge]
) -> list[str]:
    """What nobody asked for but happens."""
    notes = [f"feedback {a} -> {b}: one step of delay" for a, b in edges if (a, b) in back]
    useful, queue = set(outputs.values()), list(outputs.values())
    for name in queue:
        more = [a for a, b in edges if b == name and a not in useful]
        useful.update(more)
        queue += more
    notes += [
        f"neuron '{name}' leads to no output; it runs, but nothing reads it" for name in heard if name not in useful
    ]
    read = {name for feeding in wiring.before.values() for name in feeding}
    for name in wiring.nodes:
        if name not in read and name not in (*wiring.outputs, *wiring.neurons, *wiring.wires):
            notes.append(f"node '{name}' feeds nothing; it is left out")
    return list(dict.fromkeys(notes))
