"""Integer step of each neuron model, on NumPy arrays: the specification (FP-3.x), readable line by line.

Every step has the same form::

    states', spikes = step(n, states, spikes_before, drive)

where ``n`` are the constants of the layer (:func:`constants`: int64 (N,) parameters and bias, int shifts, str options),
``states`` an int64 array (B, N) for each state of the model in the model's order, ``spikes_before`` a bool array (B, N)
of the layer's own spikes one step earlier, and ``drive`` the synaptic current int64 (B, N) without bias (FP-2.1).
``spikes`` is a bool array, or None for a leaky integrator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hardware.chain import Layer
from hardware.fixed_point import mulsh, sat, shz, wrap_once
from hardware.models import MOST_SPIKES
from hardware.populations import Population

States = tuple[np.ndarray, ...]
Step = Callable[[Mapping[str, Any], States, np.ndarray, np.ndarray], tuple[States, "np.ndarray | None"]]


def constants(layer: Layer | Population) -> dict[str, Any]:
    """Parameters and bias as int64, shifts and options, under their own names."""
    values: dict[str, Any] = {name: array.astype(np.int64) for name, array in layer.parameters.items()}
    values.update(layer.shifts)
    values.update(layer.options)
    values["bias"] = layer.bias.astype(np.int64)
    return values


def brf(
    n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[States, np.ndarray]:
    """FP-3.1, balanced resonate-and-fire: a damped rotation of (u, v) with a refractory q that also damps."""
    u, v, q = states
    current = drive + n["bias"]
    d = np.maximum(0, n["C"] - mulsh(q, n["D"], n["Kd"]))
    u_new = sat(mulsh(u, d, n["K"]) - mulsh(v, n["S"], n["K"]) + current)
    v_new = sat(mulsh(u, n["S"], n["K"]) + mulsh(v, d, n["K"]))
    z = (u_new - q) > n["TH"]
    q_new = sat(mulsh(q, n["R"], n["KR"]) + n["J"] * z)
    return (u_new, v_new, q_new), z


def se_adlif(
    n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[States, np.ndarray]:
    """FP-3.2, adaptive LIF in symplectic-Euler form: w follows the new u; reset to zero in the same step."""
    u, w = states
    current = drive + n["bias"]
    u_new = sat(mulsh(u, n["A"], n["K"]) - shz(w, n["g"]) + current)
    z = u_new > n["TH"]
    u_new = np.where(z, 0, u_new)
    adapting = z if n["adaptation_spike"] == "current" else spikes_before
    w_new = sat(mulsh(w, n["Be"], n["K"]) + mulsh(u_new, n["At"], n["Ka"]) + n["Bt"] * adapting)
    return (u_new, w_new), z


def alif(
    n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[States, np.ndarray]:
    """FP-3.3, LIF with an adaptive threshold; the reset subtracts the new threshold after a spike of the step
    before."""
    a, u = states
    current = drive + n["bias"]
    a_new = sat(mulsh(a, n["Rho"], n["K"]) + n["Ja"] * spikes_before)
    threshold = n["B0"] + a_new
    u_new = sat(mulsh(u, n["A"], n["K"]) + current - threshold * spikes_before)
    return (a_new, u_new), u_new > threshold


def fire(
    n: Mapping[str, Any], threshold: np.ndarray, x: np.ndarray, x_before: np.ndarray, spikes_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """FP-3.7 to FP-3.9: membrane after its reset, and spikes. ``x`` is the membrane after decay and input, ``x_before``
    what the step before left; ``reset`` says what a reset does, ``reset_at`` when, ``fires`` whether the threshold
    itself fires, ``spikes`` how often in a step."""
    if n["spikes"] != "one":
        count = np.minimum(np.maximum(x, 0) // threshold, MOST_SPIKES[n["spikes"]])
        return x - count * threshold, count
    edge = threshold - (n["fires"] == "at")  # integers above it fire
    after = {"zero": np.zeros_like(x), "subtract": sat(x - threshold), "none": x}[n["reset"]]
    if n["reset_at"] == "next":
        x = np.where(spikes_before, after, x)
        return x, x > edge
    tested = x - threshold * (x_before > edge) if n["reset_at"] == "carried" else x
    z = tested > edge
    return np.where(z, after, x), z


def lif(
    n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[States, np.ndarray]:
    """FP-3.4, leaky integrate-and-fire."""
    (u,) = states
    u_new = sat(mulsh(u, n["A"], n["K"]) + drive + n["bias"])
    u_new, z = fire(n, n["TH"], u_new, u, spikes_before)
    return (u_new,), z


def cuba_lif(
    n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[States, np.ndarray]:
    """FP-3.5, current-based LIF exactly as Lava 0.10's fixed-point LIF; the bias enters v, u wraps instead of
    saturating."""
    u, v = states
    u_new = wrap_once(mulsh(u, 4096 - (n["du"] + 1), 12) + (drive << 6))
    v_new = sat(mulsh(v, 4096 - n["dv"], 12) + u_new + n["bias"])
    v_new, z = fire(n, n["vth"] << 6, v_new, v, spikes_before)
    return (u_new, v_new), z


def li(n: Mapping[str, Any], states: States, spikes_before: np.ndarray, drive: np.ndarray) -> tuple[States, None]:
    """FP-3.6, leaky integrator (readout): no spikes, the output is u."""
    (u,) = states
    return (sat(mulsh(u, n["A"], n["K"]) + drive + n["bias"]),), None


STEPS: Mapping[str, Step] = {"brf": brf, "se_adlif": se_adlif, "alif": alif, "lif": lif, "cuba_lif": cuba_lif, "li": li}

CLAUSES: Mapping[str, str] = {
    "brf": "FP-3.1",
    "se_adlif": "FP-3.2",
    "alif": "FP-3.3",
    "lif": "FP-3.4",
    "cuba_lif": "FP-3.5",
    "li": "FP-3.6",
}
"""Clause of each model's step, cited in divergence reports."""
