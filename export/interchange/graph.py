"""Trained network -> NIR graph -> file, and back.

Every layer becomes ``<name>.synapses`` (Affine, or Linear without bias), ``<name>`` (the neuron) and, where it is
recurrent, a cycle through ``<name>.recurrent`` (Linear), which delivers the spikes of the previous step. A
power-of-two ``input_scale`` becomes a Scale node. LIF, CubaLIF and LI are NIR's own nodes, to be read with the
explicit Euler scheme; BRF, SE-adLIF and ALIF are the extension nodes of :mod:`export.interchange.nodes`. What NIR
cannot express (dt, scheme, reset, delay of recurrence, input integers, decision) stands in the metadata of the graph
and its nodes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError
from export.files import write_atomically
from export.interchange.checks import check_graph, scan_file
from export.interchange.nodes import ALIF, BRF, SEAdLIF
from export.interchange.source import network_arrays
from export.interchange.steps import StepLayer, StepNetwork, from_arrays
from export.interchange.time_constants import euler_time_constant, smallest_float_type

FORMAT = "hypr-1"
"""Version of the metadata conventions below."""


def to_nir(network: Any, dt: float = 1e-3) -> nir.NIRGraph:
    """NIR graph of a trained network.

    Args:
        network: a hypr.Network, or its arrays (:mod:`export.interchange.source`).
        dt: seconds per step; sets the time constants of LIF, CubaLIF and LI, and is recorded in the metadata.

    Raises:
        ExportError: a value that is not finite, a shape that does not fit, a decay that has no time constant.
    """
    if not np.isfinite(dt) or dt <= 0:
        raise ExportError(f"dt is {dt}; it must be a positive number of seconds per step")
    return steps_to_nir(from_arrays(network_arrays(network), float(dt)))


def steps_to_nir(network: StepNetwork, node_metadata: dict[str, dict[str, Any]] | None = None) -> nir.NIRGraph:
    """NIR graph of a network in difference-equation form, nodes in canonical order.

    Args:
        node_metadata: layer name -> more metadata for its neuron node.
    """
    if network.dt is None:
        raise ExportError("the network has no dt; give the seconds per step")
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(input_type={"input": np.array([network.input_size])})}
    edges: list[tuple[str, str]] = []
    source = "input"
    if network.input_scale != 1.0:
        scale = np.full(network.input_size, network.input_scale)
        nodes["input_scale"] = nir.Scale(scale=scale.astype(smallest_float_type(scale)))
        edges.append(("input", "input_scale"))
        source = "input_scale"
    for layer in network.layers:
        _add_layer(nodes, edges, layer, source, network.dt)
        nodes[layer.name].metadata.update((node_metadata or {}).get(layer.name, {}))
        source = layer.name
    nodes["output"] = nir.Output(output_type={"output": np.array([network.layers[-1].size])})
    edges.append((source, "output"))
    metadata = {
        "format": FORMAT,
        "dt": network.dt,
        "scheme": "euler",
        "recurrence": "previous_step",
        "input_low": int(network.input_format[0]),
        "input_high": int(network.input_format[1]),
        "decision_rule": str(network.decision["rule"]),
        "decision_ignore_first": int(network.decision["ignore_first"]),
    }
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def _add_layer(
    nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], layer: StepLayer, source: str, dt: float
) -> None:
    synapses, neuron, recurrent = f"{layer.name}.synapses", layer.name, f"{layer.name}.recurrent"
    current_bias = np.zeros(layer.size) if layer.kind == "cuba_lif" else layer.bias
    if layer.kind == "cuba_lif":
        current_bias = layer.parameters["b_syn"]
    nodes[synapses] = _synapses(layer.weight, current_bias)
    nodes[neuron] = _neuron(layer, dt)
    edges += [(source, synapses), (synapses, neuron)]
    if layer.recurrent_weight is not None:
        nodes[recurrent] = _synapses(layer.recurrent_weight, None)
        edges += [(neuron, recurrent), (recurrent, neuron)]


def _synapses(weight: np.ndarray, bias: np.ndarray | None) -> nir.NIRNode:
    if bias is None or not bias.any():
        return nir.Linear(weight=weight.astype(smallest_float_type(weight)))
    kind = smallest_float_type(weight, bias)
    return nir.Affine(weight=weight.astype(kind), bias=bias.astype(kind))


def _neuron(layer: StepLayer, dt: float) -> nir.NIRNode:
    values = layer.parameters
    kind = smallest_float_type(*values.values())
    if layer.kind in ("brf", "se_adlif", "alif"):
        node: Any = {"brf": BRF, "se_adlif": SEAdLIF, "alif": ALIF}[layer.kind]
        return node(**{key: value.astype(kind) for key, value in values.items()}, **layer.options)
    build = {"lif": _lif, "cuba_lif": _cuba_lif, "li": _li}[layer.kind]
    return build(layer, dt)


def _resistance(gain: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """r of the Euler reading; exactly 1 where the gain is one minus the decay."""
    return np.where(gain == 1.0 - decay, 1.0, gain / (1.0 - decay))


def _lif(layer: StepLayer, dt: float) -> nir.NIRNode:
    values = layer.parameters
    if layer.options.get("reset_timing", "same_step") != "same_step":
        raise ExportError(f"layer {layer.name}: a reset at the next step cannot be written as NIR; convert it first")
    decay, gain = values["alpha"], values["gain"]
    metadata = {"decay": decay, "gain": gain, "leak": values["leak"], "reset": layer.options["reset"]}
    arrays = [_resistance(gain, decay), values["leak"] / (1.0 - decay), values["theta"], values["v_reset"]]
    tau = euler_time_constant(decay, dt, f"layer {layer.name}: alpha")
    r, v_leak, theta, v_reset = _as(tau.dtype, *arrays)
    return nir.LIF(tau=tau, r=r, v_leak=v_leak, v_threshold=theta, v_reset=v_reset, metadata=metadata)


def _li(layer: StepLayer, dt: float) -> nir.NIRNode:
    values = layer.parameters
    decay, gain = values["kappa"], values["gain"]
    tau = euler_time_constant(decay, dt, f"layer {layer.name}: kappa")
    r, v_leak = _as(tau.dtype, _resistance(gain, decay), values["leak"] / (1.0 - decay))
    return nir.LI(tau=tau, r=r, v_leak=v_leak, metadata={"decay": decay, "gain": gain, "leak": values["leak"]})


def _cuba_lif(layer: StepLayer, dt: float) -> nir.NIRNode:
    values = layer.parameters
    syn, mem = values["alpha_syn"], values["alpha_mem"]
    tau_syn = euler_time_constant(syn, dt, f"layer {layer.name}: alpha_syn")
    tau_mem = euler_time_constant(mem, dt, f"layer {layer.name}: alpha_mem")
    metadata = {
        "decay_syn": syn,
        "decay": mem,
        "gain_syn": values["syn_gain"],
        "gain": values["mem_gain"],
        "leak": layer.bias,
        "reset": layer.options["reset"],
    }
    arrays = [
        _resistance(values["syn_gain"], syn),
        _resistance(values["mem_gain"], mem),
        layer.bias / (1.0 - mem),
        values["theta"],
        values["v_reset"],
    ]
    kind = np.result_type(tau_syn, tau_mem)
    w_in, r, v_leak, theta, v_reset = _as(kind, *arrays)
    tau_syn, tau_mem = tau_syn.astype(kind), tau_mem.astype(kind)
    return nir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=r,
        v_leak=v_leak,
        v_threshold=theta,
        v_reset=v_reset,
        w_in=w_in,
        metadata=metadata,
    )


def _as(kind: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays in `kind` where that is exact for each, else in float64."""
    return [array.astype(np.result_type(kind, smallest_float_type(array))) for array in arrays]


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


def write(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph to an HDF5 file; the file is complete or absent.

    Raises:
        ExportError: the graph is not valid, or the path cannot be written.
    """
    check_graph(graph)
    vector = nir.NIRGraph(
        nodes={name: _without_scalars(node) for name, node in graph.nodes.items()},
        edges=list(graph.edges),
        metadata=_plain_metadata(graph.metadata),
        type_check=False,
    )
    write_atomically(path, lambda part: nir.write(str(part), vector))


def _without_scalars(node: nir.NIRNode) -> nir.NIRNode:
    """A copy of the node that HDF5 can hold: 0-d arrays become arrays of one element (metadata: plain numbers)."""
    if isinstance(node, nir.NIRGraph):
        return nir.NIRGraph(
            nodes={name: _without_scalars(inner) for name, inner in node.nodes.items()},
            edges=list(node.edges),
            metadata=_plain_metadata(node.metadata),
            type_check=False,
        )
    changed = {
        key: value.reshape(1) for key, value in vars(node).items() if isinstance(value, np.ndarray) and value.ndim == 0
    }
    copy = object.__new__(type(node))
    copy.__dict__.update(vars(node))
    copy.__dict__.update(changed)
    copy.metadata = _plain_metadata(node.metadata)
    return copy


def _plain_metadata(metadata: Any) -> Any:
    if isinstance(metadata, dict):
        return {str(key): _plain_metadata(value) for key, value in metadata.items()}
    if isinstance(metadata, (np.ndarray, np.generic)) and np.ndim(metadata) == 0:
        return metadata.item()
    return metadata


def read(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """Read a NIR file that nobody vouches for.

    Returns:
        The graph in canonical node order; every array finite, every edge between existing nodes, shapes consistent.

    Raises:
        GraphError: the file is absent, truncated or no HDF5; a node type is unknown; a value is not finite; an edge or
            shape does not fit.
    """
    where = Path(path)
    scan_file(where)
    try:
        graph = nir.read(str(where), type_check=False)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
    except Exception as error:  # the reader raises whatever h5py, numpy or a node's assertion raises
        detail = (str(error).splitlines() or [""])[0][:200]
        raise GraphError(
            f"{where}: not a readable NIR graph ({type(error).__name__}: {detail}); export it again"
        ) from None
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{where}: the root is a {type(graph).__name__}; it must be a NIRGraph")
    try:
        check_graph(graph)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None
    return canonical(graph)
