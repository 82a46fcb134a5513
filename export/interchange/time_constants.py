"""Between a decay per step and NIR's continuous-time parameters, in the explicit-Euler reading ``decay = 1 - dt/tau``,
``gain = r dt/tau``."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.errors import GraphError, UnsupportedError

SCHEMES = ("euler", "euler_unit_gain", "exponential", "exponential_unit_gain")
_NEIGHBOURS = 4


def smallest_float_type(*arrays: np.ndarray) -> type[np.floating[Any]]:
    """float32 where every value is exactly a float32 number, else float64."""
    for array in arrays:
        with np.errstate(over="ignore"):
            if not np.array_equal(array.astype(np.float32).astype(np.float64), array):
                return np.float64
    return np.float32


def euler_time_constant(decay: np.ndarray, dt: float, what: str) -> np.ndarray:
    """tau with ``1 - dt/tau == decay`` in the arithmetic of its own type, wherever such a number exists; else the
    nearest.

    float32 decays give float32 time constants, so that a reader that works in float32 gets the very decay that was
    trained. A float64 decay below 0.5 may have no such tau: the exact decay stands in the node's metadata.

    Raises:
        UnsupportedError: a decay of exactly 1 (infinite tau).
    """
    if np.any(decay >= 1.0):
        i = int(np.argmax(decay >= 1.0))
        raise UnsupportedError(
            f"{what} of neuron {i} is {decay[i]:.9g}: no finite time constant gives it; keep decays below 1"
        )
    kind = smallest_float_type(decay)
    tau = (dt / (1.0 - decay)).astype(kind)
    best = np.abs(_euler_decay(tau, dt) - decay)
    lower, upper = tau, tau
    for _ in range(_NEIGHBOURS):
        lower, upper = np.nextafter(lower, kind(0)), np.nextafter(upper, kind(np.inf))
        for candidate in (lower, upper):
            error = np.abs(_euler_decay(candidate, dt) - decay)
            tau = np.where(error < best, candidate, tau)
            best = np.minimum(error, best)
    return tau


def _euler_decay(tau: np.ndarray, dt: float) -> np.ndarray:
    """``1 - dt/tau`` in the type of tau, as float64."""
    one = tau.dtype.type(1)
    result: np.ndarray = (one - tau.dtype.type(dt) / tau).astype(np.float64)
    return result


def decay_and_gain(tau: np.ndarray, r: np.ndarray, dt: float, scheme: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Decay and input gain per step of ``tau dv/dt = -v + r i``, float64.

    `scheme` ``euler``: ``1 - dt/tau`` and ``r dt/tau``; ``exponential``: ``exp(-dt/tau)`` and ``r (1 - exp(-dt/tau))``
    (exact for constant i); ``exponential_unit_gain``: ``exp(-dt/tau)`` and 1; ``euler_unit_gain``: ``1 - dt/tau``, 1.
    Computed in the type of tau, as other readers do; a gain within rounding of 1 (r chosen as tau/dt) is 1.

    Raises:
        GraphError: tau is not positive, or dt is larger than tau (euler: the state would overshoot).
    """
    if np.any(tau <= 0):
        i = int(np.argmax(tau <= 0))
        raise GraphError(f"{what}: tau of neuron {i} is {float(tau[i]):.9g}; a time constant must be positive")
    if scheme.startswith("exponential"):
        decay = np.exp(-dt / tau.astype(np.float64))
        unit = scheme == "exponential_unit_gain"
        return decay, np.ones(decay.shape) if unit else r.astype(np.float64) * (1.0 - decay)
    decay = _euler_decay(tau, dt)
    epsilon = float(np.finfo(tau.dtype).eps)
    decay = np.where(np.abs(decay) <= epsilon, 0.0, decay)
    if np.any(decay < 0):
        i = int(np.argmax(decay < 0))
        raise GraphError(
            f"{what}: dt = {dt:.9g} s is larger than tau = {float(tau[i]):.9g} s of neuron {i}; give the dt of the "
            "network (--dt)"
        )
    if scheme == "euler_unit_gain":
        return decay, np.ones(decay.shape)
    wide = tau.astype(np.float64)
    gain = np.where(r == 1, 1.0 - decay, r.astype(np.float64) * (dt / wide))
    return decay, np.where(np.abs(gain - 1.0) <= 4 * max(epsilon, float(np.finfo(r.dtype).eps)), 1.0, gain)
