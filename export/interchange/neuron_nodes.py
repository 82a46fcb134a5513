"""Populations as NIR neurons: LIF, CubaLIF and LI to be read with the explicit Euler scheme, our extension nodes for
the others. The exact decays and gains stand in the node's metadata."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.nodes import ALIF, BRF, INITIAL, OwnNeuron, SEAdLIF
from export.interchange.steps import StepPopulation
from export.interchange.time_constants import euler_time_constant, smallest_float_type
from hardware.own import OWN


def neuron_node(layer: StepPopulation, dt: float) -> nir.NIRNode:
    """The neuron of a population, its parameters flat.

    Raises:
        ExportError: what NIR and its metadata cannot say.
    """
    where = f"layer {layer.name}"
    if layer.late_bias:
        raise ExportError(f"{where}: a bias that starts late cannot be written as NIR")
    node = _node(layer, dt)
    for state, value in layer.initial.items():
        if np.any(value):  # NIR says nothing about where a state starts
            node.metadata[f"{INITIAL}{state}"] = np.array(np.broadcast_to(value, (layer.size,)), np.float64)
    return node


def _node(layer: StepPopulation, dt: float) -> nir.NIRNode:
    values = layer.parameters
    kind = smallest_float_type(*values.values())
    if layer.kind in ("brf", "se_adlif", "alif"):
        node: Any = {"brf": BRF, "se_adlif": SEAdLIF, "alif": ALIF}[layer.kind]
        return node(**{key: value.astype(kind) for key, value in values.items()}, **layer.options)
    if layer.kind in OWN:
        names = OWN[layer.kind].real.parameters
        rows = np.stack([values[name].astype(kind) for name in names]) if names else np.zeros((0, layer.size))
        return OwnNeuron(layer.kind, ",".join(names), rows)
    build = {"lif": _lif, "cuba_lif": _cuba_lif, "li": _li}[layer.kind]
    return build(layer, dt)


def _resistance(gain: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """r of the Euler reading; exactly 1 where the gain is one minus the decay."""
    return np.where(gain == 1.0 - decay, 1.0, gain / (1.0 - decay))


def _reset(layer: StepPopulation) -> dict[str, str]:
    """What a node does not say of its reset; the timing only where it is not the usual one."""
    timing = layer.options.get("reset_timing", "same_step")
    counts = {key: layer.options[key] for key in ("spikes", "spike_at", "max_spikes") if key in layer.options}
    return {
        "reset": layer.options["reset"],
        **({"reset_timing": timing} if timing != "same_step" else {}),
        **counts,
    }


def _lif(layer: StepPopulation, dt: float) -> nir.NIRNode:
    values = layer.parameters
    decay, gain = values["alpha"], values["gain"]
    metadata = {"decay": decay, "gain": gain, "leak": values["leak"], **_reset(layer)}
    tau = euler_time_constant(decay, dt, f"layer {layer.name}: alpha")  # refuses a decay of 1
    arrays = [_resistance(gain, decay), values["leak"] / (1.0 - decay), values["theta"], values["v_reset"]]
    r, v_leak, theta, v_reset = as_type(tau.dtype, *arrays)
    return nir.LIF(tau=tau, r=r, v_leak=v_leak, v_threshold=theta, v_reset=v_reset, metadata=metadata)


def _li(layer: StepPopulation, dt: float) -> nir.NIRNode:
    values = layer.parameters
    decay, gain = values["kappa"], values["gain"]
    tau = euler_time_constant(decay, dt, f"layer {layer.name}: kappa")
    r, v_leak = as_type(tau.dtype, _resistance(gain, decay), values["leak"] / (1.0 - decay))
    return nir.LI(tau=tau, r=r, v_leak=v_leak, metadata={"decay": decay, "gain": gain, "leak": values["leak"]})


def _cuba_lif(layer: StepPopulation, dt: float) -> nir.NIRNode:
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
        **_reset(layer),
    }
    arrays = [
        _resistance(values["syn_gain"], syn),
        _resistance(values["mem_gain"], mem),
        layer.bias / (1.0 - mem),
        values["theta"],
        values["v_reset"],
    ]
    kind = np.result_type(tau_syn, tau_mem)
    w_in, r, v_leak, theta, v_reset = as_type(kind, *arrays)
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


def as_type(kind: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays in `kind` where that is exact for each, else in float64."""
    return [array.astype(np.result_type(kind, smallest_float_type(array))) for array in arrays]
