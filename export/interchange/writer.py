"""Difference equations as a NIR graph: synapses, neurons, delays, and what NIR cannot say in the metadata.

A chain is written as :mod:`export.interchange.graph` says. In any other graph the synapses of a population are
``<name>.synapses<k>`` and those from itself one step earlier ``<name>.recurrent<k>``; every other delay, feedback
between populations included, is a Delay node of its own, so that nothing is left to a reader's order of evaluation.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.canonical import canonical
from export.interchange.neuron_nodes import neuron_node
from export.interchange.steps import StepNetwork, StepPopulation, StepProjection
from export.interchange.time_constants import smallest_float_type
from export.interchange.weights import ConvolutionWeights, SparseWeights, Weights, matrix_of

FORMAT = "hypr-1"
"""Version of the metadata conventions."""

SPARSE = {"connectivity": "sparse"}
"""Metadata of a Linear or Affine node whose zeros are synapses that are not there."""

_LARGEST_MATRIX = 2**28


def steps_to_nir(network: StepNetwork, node_metadata: dict[str, dict[str, Any]] | None = None) -> nir.NIRGraph:
    """NIR graph of a network in difference-equation form, nodes in canonical order.

    Args:
        node_metadata: layer name -> more metadata for its neuron node.

    Raises:
        ExportError: no dt, or what NIR and its metadata cannot say; names the layer.
    """
    if network.dt is None:
        raise ExportError("the network has no dt; give the seconds per step")
    return _Writer(network, network.dt).graph(node_metadata or {})


class _Writer:
    def __init__(self, network: StepNetwork, dt: float) -> None:
        self.network, self.dt, self.chain = network, dt, network.is_chain
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.sends: dict[str, str] = {}  # source -> node that sends its values
        self.shapes = _shapes(network)

    def graph(self, node_metadata: dict[str, dict[str, Any]]) -> nir.NIRGraph:
        for item in self.network.inputs:
            self._input(item.name, item.scale, (item.low, item.high))
        for population in self.network.populations:
            self.sends[population.name] = population.name
        for population in self.network.populations:
            self._population(population)
            self.nodes[population.name].metadata.update(node_metadata.get(population.name, {}))
        for index, name in enumerate(self.network.outputs):
            node = "output" if len(self.network.outputs) == 1 else f"output{index:03d}"
            self.nodes[node] = nir.Output(output_type={"output": np.array(self.shapes[name])})
            self.edges.append((name, node))
        graph = nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=self._metadata(), type_check=False)
        return canonical(graph)

    def _metadata(self) -> dict[str, Any]:
        network = self.network
        low, high = (network.inputs[0].low, network.inputs[0].high) if len(network.inputs) == 1 else (0, 1)
        found: dict[str, Any] = {
            "format": FORMAT,
            "dt": network.dt,
            "scheme": "euler",
            "recurrence": "previous_step",
            "input_low": int(low),
            "input_high": int(high),
            "decision_rule": str(network.decision["rule"]),
            "decision_ignore_first": int(network.decision["ignore_first"]),
        }
        if not self.chain:
            found["order"] = ",".join(population.name for population in network.populations)
        if "output" in network.decision:
            found["decision_output"] = str(network.decision["output"])
        return found

    def _input(self, name: str, scale: float, accepted: tuple[int, int]) -> None:
        shape, one = self.shapes[name], len(self.network.inputs) == 1
        node = "input" if one else name
        metadata = {} if one else {"input_low": int(accepted[0]), "input_high": int(accepted[1])}
        self.nodes[node] = nir.Input(input_type={"input": np.array(shape)}, metadata=metadata)
        self.sends[name] = node
        if scale != 1.0:
            values = np.full(shape, scale)
            self.nodes[f"{node}_scale"] = nir.Scale(scale=values.astype(smallest_float_type(values)))
            self.edges.append((node, f"{node}_scale"))
            self.sends[name] = f"{node}_scale"

    def _population(self, population: StepPopulation) -> None:
        into = self.network.into(population.name)
        names = _names(population.name, into, self.chain)
        carrier, bias, population = _placed_bias(population, into)
        for index, (item, name) in enumerate(zip(into, names, strict=True)):
            self._projection(item, name, bias if index == carrier else None)
        self.nodes[population.name] = _shaped(neuron_node(population, self.dt), self.shapes[population.name])

    def _projection(self, item: StepProjection, name: str, bias: np.ndarray | None) -> None:
        source, shape = self.sends[item.source], self.shapes[item.source]
        if item.delay and not name.rpartition(".")[2].startswith("recurrent"):
            seconds = np.full(shape, item.delay * self.dt)
            source = self._then(source, f"{name}.delay", nir.Delay(delay=seconds))
        picture = isinstance(item.weights, ConvolutionWeights)
        if not picture and len(shape) > 1:
            declared = {"input": np.array(shape)}
            source = self._then(source, f"{name}.flat", nir.Flatten(input_type=declared, start_dim=0))
        end = self._then(source, name, _synapses(item.weights, bias, name))
        if isinstance(item.weights, ConvolutionWeights) and len(self.shapes[item.target]) == 1:
            declared = {"input": np.array(item.weights.out_shape)}
            end = self._then(end, f"{name}.flattened", nir.Flatten(input_type=declared, start_dim=0))
        self.edges.append((end, item.target))

    def _then(self, source: str, name: str, node: nir.NIRNode) -> str:
        self.nodes[name] = node
        self.edges.append((source, name))
        return name


def _names(target: str, into: tuple[StepProjection, ...], chain: bool) -> list[str]:
    """Names of synapse nodes; those of recurrence without a Delay node begin with ``recurrent``."""
    found, counts = [], {"synapses": 0, "recurrent": 0}
    for item in into:
        kind = "recurrent" if item.source == target and item.delay == 1 else "synapses"
        found.append(f"{target}.{kind}" + ("" if chain else f"{counts[kind]:03d}"))
        counts[kind] += 1
    return found


def _placed_bias(
    population: StepPopulation, into: tuple[StepProjection, ...]
) -> tuple[int | None, np.ndarray | None, StepPopulation]:
    """Which projection's node holds the bias of the current, that bias, and the population that is left to write."""
    cuba = population.kind == "cuba_lif"
    bias = population.parameters["b_syn"] if cuba else population.bias
    if not bias.any():
        return None, None, population
    for index, item in enumerate(into):
        if item.source == population.name:
            continue
        if not isinstance(item.weights, ConvolutionWeights):
            return index, bias, population
        channels = item.weights.by_channel(bias)
        if channels is not None:
            return index, channels, population
    if "leak" not in population.parameters:
        raise ExportError(
            f"layer {population.name}: a bias that differs within the channels of a convolution cannot be written as "
            f"NIR for '{population.kind}'"
        )
    leak = population.parameters["leak"] + bias * population.parameters["gain"]
    rest = {**population.parameters, "leak": leak}
    return (
        None,
        None,
        StepPopulation(
            population.name, population.kind, np.zeros(population.size), rest, population.options, population.late_bias
        ),
    )


def _synapses(weights: Weights, bias: np.ndarray | None, name: str) -> nir.NIRNode:
    given = None if bias is None or not bias.any() else bias
    if isinstance(weights, ConvolutionWeights):
        values = np.zeros(weights.out_shape[0]) if given is None else given
        kind = smallest_float_type(weights.kernel, values)
        return nir.Conv2d(
            input_shape=weights.in_shape[1:],
            weight=weights.kernel.astype(kind),
            stride=weights.stride,
            padding=weights.padding,
            dilation=weights.dilation,
            groups=weights.groups,
            bias=values.astype(kind),
        )
    if weights.shape[0] * weights.shape[1] > _LARGEST_MATRIX:
        raise ExportError(
            f"synapses {name}: NIR has no sparse synapses, and a matrix of {weights.shape} is too large to write"
        )
    metadata = dict(SPARSE) if isinstance(weights, SparseWeights) else {}
    matrix = matrix_of(weights)
    if given is None:
        return nir.Linear(weight=matrix.astype(smallest_float_type(matrix)), metadata=metadata)
    kind = smallest_float_type(matrix, given)
    return nir.Affine(weight=matrix.astype(kind), bias=given.astype(kind), metadata=metadata)


def _shapes(network: StepNetwork) -> dict[str, tuple[int, ...]]:
    """Shapes as nodes declare them: a picture where convolutions alone write it, or alone read an input."""
    shapes: dict[str, tuple[int, ...]] = {}
    for source in network.inputs:
        read = {_picture(p, "in_shape") for p in network.projections if p.source == source.name}
        shapes[source.name] = _only(read, source.size)
    for population in network.populations:
        shapes[population.name] = _only(
            {_picture(item, "out_shape") for item in network.into(population.name)}, population.size
        )
    return shapes


def _picture(item: StepProjection, side: str) -> tuple[int, ...] | None:
    return getattr(item.weights, side) if isinstance(item.weights, ConvolutionWeights) else None


def _only(found: set[tuple[int, ...] | None], size: int) -> tuple[int, ...]:
    shape = next(iter(found)) if len(found) == 1 else None
    return (size,) if shape is None else shape


def _shaped(node: nir.NIRNode, shape: tuple[int, ...]) -> nir.NIRNode:
    """The node with its parameters in the shape of a picture."""
    if len(shape) > 1:
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.size == int(np.prod(shape)):
                setattr(node, key, value.reshape(shape))
        node.input_type = {"input": np.array(shape)}
        node.output_type = {"output": np.array(shape)}
    return node
