"""Engine ``float``: NumPy simulation of a NIR graph in float64, all neuron models, the equations of
:mod:`export.interchange.steps` line by line.

States are recorded as the integer engines record them, after the reset that belongs to the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.discretise import Reading, discretise
from export.interchange.steps import STATES, StepLayer, StepNetwork
from hardware.trace import Trace

State = dict[str, np.ndarray]
Step = Callable[[StepLayer, State, np.ndarray, np.ndarray], tuple[State, np.ndarray]]


def run(
    network: nir.NIRGraph | StepNetwork,
    inputs: Any,
    record: Sequence[str] | str = (),
    reading: Reading | None = None,
    state_units: Mapping[str, np.ndarray] | None = None,
) -> Trace:
    """Run a network in float64.

    Args:
        network: a NIR graph, or its difference equations.
        inputs: (T, B, N_in), integers or bool (spikes, graded payloads) within the network's input range.
        record: state names (``"u"``: of every layer that has it), ``"u/hidden0"``, or ``"all"``.
        reading: conventions for a graph from elsewhere.
        state_units: layer name -> (N,); states are cut toward zero to multiples of it after every step (a study of
            state precision).

    Returns:
        Trace of engine ``float``: spikes uint8, output (of a leaky integrator) and states float64.

    Raises:
        ExportError: inputs of the wrong shape or out of range; an unknown state name; a state that overflows.
    """
    steps = network if isinstance(network, StepNetwork) else discretise(network, reading)
    values = check_inputs(steps, inputs)
    wanted = recorded_states(steps, record)
    signal = values.astype(np.float64) * steps.input_scale
    spikes: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    for layer in steps.layers:
        kept = [key.partition("/")[0] for key in wanted if key.endswith(f"/{layer.name}")]
        output, trajectories = _run_layer(layer, signal, kept, (state_units or {}).get(layer.name))
        for key, value in trajectories.items():
            states[f"{key}/{layer.name}"] = value
        if layer.spiking:
            spikes[layer.name] = output.astype(np.uint8)
        signal = output
    last = steps.layers[-1]
    return Trace(engine="float", output=spikes[last.name] if last.spiking else signal, spikes=spikes, states=states)


def check_inputs(network: StepNetwork, inputs: Any) -> np.ndarray:
    """Inputs as an array (T, B, N_in) of numbers in the network's range; ExportError otherwise."""
    values = np.asarray(inputs)
    if values.dtype.kind not in "iubf":
        raise ExportError(f"inputs hold {values.dtype}; they must be integers (spikes or payloads)")
    if values.ndim != 3 or 0 in values.shape or values.shape[2] != network.input_size:
        raise ExportError(
            f"inputs have shape {values.shape}; expected (steps, samples, {network.input_size}), each at least 1"
        )
    low, high = network.input_format
    if not np.isfinite(values).all() or values.min() < low or values.max() > high:
        raise ExportError(f"inputs reach from {values.min()} to {values.max()}; the network takes {low} to {high}")
    return values


def recorded_states(network: StepNetwork, record: Sequence[str] | str) -> list[str]:
    """``<state>/<layer>`` for every state asked for; ExportError for a name that no layer has."""
    every = [f"{state}/{layer.name}" for layer in network.layers for state in STATES[layer.kind]]
    if record == "all":
        return every
    wanted: list[str] = []
    for item in [record] if isinstance(record, str) else record:
        found = [key for key in every if key == item or key.partition("/")[0] == item]
        if not found:
            raise ExportError(f"no layer has the state '{item}'; states are {', '.join(every)}")
        wanted += [key for key in found if key not in wanted]
    return wanted


def _run_layer(
    layer: StepLayer, signal: np.ndarray, kept: list[str], unit: np.ndarray | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Output (T, B, N) float64 and the trajectories of the states asked for."""
    steps, batch, _ = signal.shape
    current = np.matmul(signal.reshape(steps * batch, -1), layer.weight.T).reshape(steps, batch, layer.size)
    late = layer.parameters.get("recurrent_bias")
    state: State = {name: np.zeros((batch, layer.size)) for name in STATES[layer.kind]}
    z = np.zeros((batch, layer.size))
    output = np.empty((steps, batch, layer.size))
    trajectories = {name: np.empty((steps, batch, layer.size)) for name in kept}
    bias = 0.0 if layer.kind == "cuba_lif" else layer.bias
    step = _STEPS[layer.kind]
    for t in range(steps):
        total = current[t] + bias
        if layer.recurrent_weight is not None:
            total = total + z @ layer.recurrent_weight.T
        if late is not None and t > 0:
            total = total + late
        state, z = step(layer, state, z, total)
        if unit is not None:
            state = {name: np.trunc(value / unit) * unit for name, value in state.items()}
        output[t] = z if layer.spiking else state["u"]
        for name in kept:
            trajectories[name][t] = state[name]
    final = [value for value in state.values() if not np.isfinite(value).all()]
    if final:
        neuron = int(np.argwhere(~np.isfinite(final[0]))[0][1])
        raise ExportError(
            f"layer {layer.name}: neuron {neuron} overflows within {steps} steps; the float network is unstable: "
            "check its weights"
        )
    return output, trajectories


def _brf(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    dt, omega = p["dt"], p["omega"]
    if layer.options["variant"] == "euler":
        c = (-1.0 + np.sqrt(np.maximum(1.0 - (dt * omega) ** 2, 0.0))) / dt - p["b_offset"] - s["q"]
        u = s["u"] + dt * (c * s["u"] - omega * s["v"] + current)
        v = s["v"] + dt * (omega * s["u"] + c * s["v"])
    else:
        rotated = np.exp(dt * (-p["b_offset"] - s["q"] + 1j * omega)) * (s["u"] + 1j * s["v"])
        u, v = rotated.real + dt * current, rotated.imag
    spike = (u - p["theta"] - s["q"] > 0).astype(np.float64)
    return {"u": u, "v": v, "q": p["gamma"] * s["q"] + spike}, spike


def _se_adlif(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    alpha, beta = p["alpha"], p["beta"]
    u = alpha * s["u"] + (1.0 - alpha) * (current - s["w"])
    spike = (u - p["theta"] > 0).astype(np.float64)
    counted = spike if layer.options["adaptation_spike"] == "current" else z
    u = u * (1.0 - spike)  # the factor (1 - z') of the next step, applied where the integers apply it
    w = beta * s["w"] + (1.0 - beta) * (p["a"] * u + p["b"] * counted) * p["rho"]
    return {"u": u, "w": w}, spike


def _alif(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    alpha, rho = p["alpha"], p["rho"]
    a = rho * s["a"] + (1.0 - rho) * z
    threshold = p["b0"] + p["beta"] * a
    u = alpha * s["u"] + (1.0 - alpha) * current - threshold * z
    return {"a": a, "u": u}, (u - threshold > 0).astype(np.float64)


def _fire(layer: StepLayer, u: np.ndarray, u_before: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spike test and reset in the order that the layer's options name.

    Args:
        u: membrane after decay and input. u_before: recorded membrane of the previous step. z: spikes of the previous
            step.
    """
    theta, v_reset = layer.parameters["theta"], layer.parameters["v_reset"]
    timing = layer.options.get("reset_timing", "same_step")
    subtract = layer.options["reset"] == "subtract"
    if timing == "next_step":
        u = u - theta * z if subtract else np.where(z > 0, v_reset, u)
        return u, (u - theta > 0).astype(np.float64)
    tested = u - theta * (u_before > theta) if timing == "carried_over" else u
    spike = (tested - theta > 0).astype(np.float64)
    return u - theta * spike if subtract else np.where(spike > 0, v_reset, u), spike


def _lif(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    u = p["alpha"] * s["u"] + p["gain"] * current + p["leak"]
    u, spike = _fire(layer, u, s["u"], z)
    return {"u": u}, spike


def _cuba_lif(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    u = p["alpha_syn"] * s["u"] + p["syn_gain"] * (current + p["b_syn"])
    v = p["alpha_mem"] * s["v"] + p["mem_gain"] * u + layer.bias
    v, spike = _fire(layer, v, s["v"], z)
    return {"u": u, "v": v}, spike


def _li(layer: StepLayer, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    return {"u": p["kappa"] * s["u"] + p["gain"] * current + p["leak"]}, z


_STEPS: dict[str, Step] = {
    "brf": _brf,
    "se_adlif": _se_adlif,
    "alif": _alif,
    "lif": _lif,
    "cuba_lif": _cuba_lif,
    "li": _li,
}
