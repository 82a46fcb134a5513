"""A network as a NIR file that another tool reads as this network: :func:`nir_for`.

NIR leaves open what its importers do (time step, gains, reset); a file that is right for one is wrong in another, and
none of them says so. Here the values are chosen so that the named tool's importer, at the version named, gives the
same difference equations; where it cannot, the refusal says why.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from export.errors import ExportError, UnsupportedError
from export.files import write_atomically
from export.interchange.canonical import canonical
from export.interchange.discretise import discretise
from export.interchange.plain_layers import PlainLayer, plain_layers
from export.interchange.presets import reading_of
from export.interchange.reading import Reading
from export.interchange.steps import StepNetwork
from export.interchange.tool_nodes import IMPORTERS, REFUSED, Importer

TOOLS = (*IMPORTERS, *REFUSED)
"""Tools that a network can be asked for."""


@dataclass(frozen=True, eq=False)
class Outgoing:
    """A file for a tool.

    Attributes:
        graph: what :func:`export.write` writes. tool, version: for which it is right. dt: seconds per step of the file.
        reading: the conventions by which the tool reads it; :func:`export.discretise` with them gives the network back.
        call: how to read it in the tool. notes: what else to know, a line each. without: see :meth:`write`.
    """

    graph: nir.NIRGraph
    tool: str
    version: str
    dt: float
    reading: Reading
    call: str
    notes: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, as :func:`export.write` does, without fields that the tool's version of NIR refuses.

        Raises:
            ExportError: the path cannot be written.
        """
        content = io.BytesIO()
        nir.write(content, self.graph)
        if self.without:
            with h5py.File(content, "r+") as file:
                for node in file["node/nodes"].values():
                    for key in self.without:
                        if key in node:
                            del node[key]
        write_atomically(path, lambda part: _put(part, content.getvalue()))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def nir_for(network: StepNetwork | nir.NIRGraph, tool: str) -> Outgoing:
    """The NIR graph that `tool` reads as this network.

    Args:
        network: a graph of :func:`export.to_nir`, or difference equations, from :func:`export.discretise` or
            :func:`export.quantization.dequantize.integer_steps`.
        tool: one of :data:`TOOLS`.

    Raises:
        UnsupportedError: the tool, or its importer, has no such network; says why and of which version.
        ExportError: an unknown tool.
    """
    if tool in REFUSED:
        raise UnsupportedError(REFUSED[tool])
    if tool not in IMPORTERS:
        near = get_close_matches(tool, TOOLS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ExportError(f"files are not written for '{tool}'{hint}; tools are {', '.join(TOOLS)}")
    importer = IMPORTERS[tool]
    network = discretise(network) if isinstance(network, nir.NIRGraph) else network
    layers = plain_layers(network)
    for layer in layers:
        _check(layer, importer)
    lag = _lag(layers, importer)
    options = _resets(layers, importer)
    dt = importer.dt or network.dt or importer.usual_dt
    graph = _graph(layers, importer, dt)
    call = importer.call.format(
        dt=f"{dt:.9g}",
        options=", reset_method=norse.torch.functional.reset.reset_subtract"
        if options.get("reset") == "subtract"
        else "",
    )
    reading = reading_of(importer.preset, **{"dt": dt, **importer.options, **options})
    notes = _notes(network, importer, dt, lag)
    return Outgoing(graph, importer.tool, importer.version, dt, reading, call, notes, importer.without)


def _refuse(layer: PlainLayer, importer: Importer, why: str) -> UnsupportedError:
    return UnsupportedError(f"layer {layer.name}: {importer.tool} {importer.version} {why}")


def _check(layer: PlainLayer, importer: Importer) -> None:
    if layer.kind == "li":
        if not importer.readout:
            raise _refuse(
                layer, importer, "reads no leaky integrator (LI) from NIR; end the network in spiking neurons"
            )
    elif layer.kind not in importer.resets:
        raise _refuse(layer, importer, f"has no reader that works for this neuron ({layer.kind})")
    else:
        _check_firing(layer, importer)
    if layer.recurrent is not None and importer.recurrent is not None:
        raise _refuse(layer, importer, f"cannot read recurrent layers from NIR: {importer.recurrent}")
    if np.any(layer.decay == 1.0) and layer.kind not in importer.forgets_nothing:
        raise _refuse(layer, importer, "needs a finite time constant, and this membrane forgets nothing (decay 1)")
    if layer.late_bias is not None and not importer.lag and not (importer.late_bias and layer.recurrent is not None):
        raise _refuse(layer, importer, "has no bias that is absent at the first step")
    if importer.late_bias and layer.kind == "lif" and 0 < np.count_nonzero(layer.decay == 1.0) < layer.decay.size:
        raise _refuse(layer, importer, "has no layer in which some membranes forget and others do not")


def _check_firing(layer: PlainLayer, importer: Importer) -> None:
    wanted = ("multi", "threshold") if importer.several else ("single", "above")
    either = importer.at_threshold and layer.spikes == "single"
    if (layer.spikes, layer.spike_at) != wanted and not either:
        means = {
            "multi": "several spikes per step, at v >= threshold",
            "single": "one spike per step, above the threshold",
        }
        raise _refuse(
            layer,
            importer,
            f"reads every neuron as one that sends {means[wanted[0]]}; this one has spikes {layer.spikes}, spike_at "
            f"{layer.spike_at}",
        )
    allowed = importer.resets[layer.kind]
    if (layer.reset, layer.timing) not in allowed:
        known = " or ".join(f"{reset} ({timing})" for reset, timing in allowed)
        raise _refuse(
            layer,
            importer,
            f"resets a {layer.kind} that it reads from NIR by {known}; this one has {layer.reset} ({layer.timing})",
        )
    assert layer.theta is not None
    if np.any(layer.theta <= 0):
        raise _refuse(layer, importer, f"needs thresholds above the reset value; the least is {layer.theta.min():.6g}")


def _resets(layers: list[PlainLayer], importer: Importer) -> dict[str, Any]:
    """The reset as an option of the reading, where the tool has more than one."""
    chosen = {layer.reset for layer in layers if len(importer.resets.get(layer.kind, ())) > 1}
    if len(chosen) > 1:
        raise UnsupportedError(
            f"{importer.tool} {importer.version} reads a file with one reset for all CubaLIF layers; these have "
            f"{' and '.join(sorted(chosen))}"
        )
    if not chosen or "reset" in importer.options:
        return {}
    named = zip(_names(layers), layers, strict=True)
    own = {name: {"reset": layer.reset} for name, layer in named if layer.reset not in chosen and layer.kind != "li"}
    return {"reset": next(iter(chosen)), **({"layers": own} if own else {})}


def _lag(layers: list[PlainLayer], importer: Importer) -> int:
    """Steps by which the tool's output comes later than this network's."""
    late = [layer for layer in layers if layer.delay]
    if not importer.lag:
        if late:
            raise _refuse(late[0], importer, f"has no delays; its input comes {late[0].delay} steps late")
        return 0
    if all(layer.delay == importer.lag for layer in layers):
        early = [layer for layer in layers if np.any(layer.bias)]
        if early:
            raise _refuse(early[0], importer, "shows a layer one step late, its bias included; this bias acts at once")
        return 0
    if late:
        raise _refuse(late[0], importer, "has one step of lag in every layer; this network has delays in some")
    odd = [layer for layer in layers[1:] if np.any(layer.bias)] + [la for la in layers if la.late_bias is not None]
    if odd:
        raise _refuse(odd[0], importer, "starts the bias of a later layer before its input can have arrived")
    return len(layers) * importer.lag


def _graph(layers: list[PlainLayer], importer: Importer, dt: float) -> nir.NIRGraph:
    size = layers[0].weight.shape[1]
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(input_type={"input": np.array([size])})}
    edges, source = [], "input"
    for layer, name in zip(layers, _names(layers), strict=True):
        scaled, node = importer.node(layer.with_one_threshold() if importer.one_threshold else layer, dt)
        late = scaled.late_bias if scaled.late_bias is not None else np.zeros(scaled.bias.shape)
        of_input, of_loop = (scaled.bias + late, None) if importer.lag else (scaled.bias, late)
        nodes[f"{name}_in"] = _synapses(scaled.weight, of_input, importer.affine)
        nodes[name] = node
        edges += [(source, f"{name}_in"), (f"{name}_in", name)]
        if scaled.recurrent is not None:
            nodes[f"{name}_rec"] = _synapses(scaled.recurrent, of_loop, importer.affine)
            edges += [(name, f"{name}_rec"), (f"{name}_rec", name)]
        source = name
    nodes["output"] = nir.Output(output_type={"output": np.array([layers[-1].bias.size])})
    edges.append((source, "output"))
    said = {"written_for": f"{importer.tool} {importer.version}", "dt": float(dt)}
    return canonical(nir.NIRGraph(nodes=nodes, edges=edges, metadata=said, type_check=False))


def _names(layers: list[PlainLayer]) -> list[str]:
    """Names that are identifiers, as modules of torch need; unique."""
    found: list[str] = []
    for layer in layers:
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in layer.name)
        name = name if name[:1].isalpha() else f"layer_{name}"
        while any(other in found or other in ("input", "output") for other in (name, f"{name}_in", f"{name}_rec")):
            name += "x"
        found += [name, f"{name}_in", f"{name}_rec"]
    return found[::3]


def _synapses(matrix: np.ndarray, bias: np.ndarray | None, affine: bool) -> nir.NIRNode:
    weight = matrix.astype(np.float32)
    if not affine and (bias is None or not bias.any()):
        return nir.Linear(weight=weight)
    values = np.zeros(len(weight)) if bias is None else bias
    return nir.Affine(weight=weight, bias=values.astype(np.float32))


def _notes(network: StepNetwork, importer: Importer, dt: float, lag: int) -> tuple[str, ...]:
    found = [f"{importer.tool} {importer.version} computes in float32: membranes agree to rounding"]
    if network.dt is not None and network.dt != dt:
        unit = "one step" if dt == 1.0 else f"{dt:.6g} s"
        found.append(
            f"a step of the file is {unit} ({importer.tool} takes no other), of the network {network.dt:.6g} s"
        )
    if lag:
        found.append(f"{importer.tool} shows every layer one step late: its output comes {lag} steps later")
    return tuple(found)
