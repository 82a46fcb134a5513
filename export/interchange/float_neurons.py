"""One float64 step of each neuron kind: the equations of :mod:`export.interchange.steps` line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from export.interchange.steps import StepPopulation
from hardware.own import OWN

State = dict[str, np.ndarray]
Step = Callable[[StepPopulation, State, np.ndarray, np.ndarray], tuple[State, np.ndarray]]
"""``step(population, states before, spikes before (B, N), current (B, N)) -> (states, spikes)``."""


def _brf(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
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


def _se_adlif(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    alpha, beta = p["alpha"], p["beta"]
    u = alpha * s["u"] + (1.0 - alpha) * (current - s["w"])
    spike = (u - p["theta"] > 0).astype(np.float64)
    counted = spike if layer.options["adaptation_spike"] == "current" else z
    u = u * (1.0 - spike)  # the factor (1 - z') of the next step, applied where the integers apply it
    w = beta * s["w"] + (1.0 - beta) * (p["a"] * u + p["b"] * counted) * p["rho"]
    return {"u": u, "w": w}, spike


def _alif(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    alpha, rho = p["alpha"], p["rho"]
    if layer.options.get("reset") == "same":
        a = rho * s["a"] + (1.0 - rho) * z
        u, threshold = alpha * s["u"] + (1.0 - alpha) * current, p["b0"] + p["beta"] * a
        spike = (u - threshold > 0).astype(np.float64)
        return {"a": a, "u": u - threshold * spike}, spike
    a = rho * s["a"] + (1.0 - rho) * z
    threshold = p["b0"] + p["beta"] * a
    u = alpha * s["u"] + (1.0 - alpha) * current - threshold * z
    return {"a": a, "u": u}, (u - threshold > 0).astype(np.float64)


def _fire(layer: StepPopulation, u: np.ndarray, u_before: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spike test and reset in the order that the layer's options name.

    Args:
        u: membrane after decay and input. u_before: recorded membrane of the previous step. z: spikes of the previous
            step.
    """
    theta, v_reset = layer.parameters["theta"], layer.parameters["v_reset"]
    timing = layer.options.get("reset_timing", "same_step")
    if layer.options["reset"] == "none":
        return u, _spikes(layer, u)
    subtract = layer.options["reset"] == "subtract"
    if timing == "next_step":
        u = u - theta * z if subtract else np.where(z > 0, v_reset, u)
        return u, _spikes(layer, u)
    tested = u - theta * (u_before > theta) if timing == "carried_over" else u
    spike = _spikes(layer, tested)
    return u - theta * spike if subtract else np.where(spike > 0, v_reset, u), spike


def _spikes(layer: StepPopulation, u: np.ndarray) -> np.ndarray:
    """Number of spikes: one above the threshold (or at it), or as many as the membrane holds thresholds."""
    theta = layer.parameters["theta"]
    fires = u - theta >= 0 if layer.options.get("spike_at") == "threshold" else u - theta > 0
    if layer.options.get("spikes") == "multi":
        count = np.where(fires, np.trunc(u / theta), 0.0)
        return np.minimum(count, float(layer.options.get("max_spikes", "inf")))
    result: np.ndarray = fires.astype(np.float64)
    return result


def _lif(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    u = p["alpha"] * s["u"] + p["gain"] * current + p["leak"]
    u, spike = _fire(layer, u, s["u"], z)
    return {"u": u}, spike


def _cuba_lif(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    u = p["alpha_syn"] * s["u"] + p["syn_gain"] * (current + p["b_syn"])
    v = p["alpha_mem"] * s["v"] + p["mem_gain"] * u + layer.bias
    v, spike = _fire(layer, v, s["v"], z)
    return {"u": u, "v": v}, spike


def _li(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    p = layer.parameters
    return {"u": p["kappa"] * s["u"] + p["gain"] * current + p["leak"]}, z


STEPS: Mapping[str, Step] = {
    "brf": _brf,
    "se_adlif": _se_adlif,
    "alif": _alif,
    "lif": _lif,
    "cuba_lif": _cuba_lif,
    "li": _li,
}


def step_of(kind: str) -> Step:
    """The step of a kind, also of a neuron of someone's own."""
    return STEPS.get(kind) or _own


def _own(layer: StepPopulation, s: State, z: np.ndarray, current: np.ndarray) -> tuple[State, np.ndarray]:
    neuron = OWN[layer.kind]
    names = neuron.spec.states
    new, spikes = neuron.real.step(layer.parameters, tuple(s[name] for name in names), z, current)
    return dict(zip(names, new, strict=True)), spikes
