"""Random networks of every neuron model as plain arrays, in the form in which a trained network arrives
(``export.interchange.source``)."""

from __future__ import annotations

from typing import Any

import numpy as np

SPIKING = ("brf", "se_adlif", "alif", "lif", "cuba_lif")


def random_network(
    rng: np.random.Generator, kinds: tuple[str, ...] | None = None, size: int = 7, n_in: int = 5
) -> dict[str, Any]:
    """A chain of one to three layers that spikes; float32 values, as trained ones are.

    Args:
        kinds: one kind per layer, or None for a random chain.
        size: largest number of neurons per layer.
    """
    if kinds is None:
        count = int(rng.integers(1, 4))
        kinds = (*(str(rng.choice(SPIKING)) for _ in range(count - 1)), str(rng.choice((*SPIKING, "li"))))
    low, high, scale = [(0, 1, 1.0), (0, 16, 1 / 16), (-8, 7, 1 / 8)][int(rng.integers(3))]
    layers, below = [], n_in
    for kind in kinds:
        layers.append(random_layer(rng, kind, below, int(rng.integers(1, size + 1))))
        below = len(layers[-1]["bias"])
    return {
        "layers": layers,
        "input_scale": scale,
        "input_format": {"low": low, "high": high},
        "decision": {"rule": "per_step" if kinds[-1] == "li" else "spike_count", "ignore_first": int(rng.integers(3))},
    }


def random_layer(rng: np.random.Generator, kind: str, n_in: int, n: int) -> dict[str, Any]:
    """One layer with weights of a size at which most neurons spike now and then."""
    strength = {"brf": 60.0, "se_adlif": 8.0, "alif": 8.0, "lif": 4.0, "cuba_lif": 1.5, "li": 1.0}[kind]
    recurrent = None if kind == "li" or rng.random() < 0.2 else _single(rng.normal(size=(n, n)) * strength / np.sqrt(n))
    options: dict[str, str] = {}
    if kind == "brf":
        options = {"variant": "euler"}
    elif kind == "se_adlif":
        options = {"adaptation_spike": str(rng.choice(("current", "previous")))}
    elif kind == "lif":
        options = {"reset": str(rng.choice(("zero", "subtract")))}
    return {
        "kind": kind,
        "weight": _single(rng.normal(size=(n, n_in)) * strength / np.sqrt(n_in)),
        "bias": _single(rng.normal(size=n) * 0.1),
        "recurrent_weight": recurrent,
        "parameters": {key: _single(value) for key, value in _parameters(rng, kind, n).items()},
        "options": options,
    }


def _parameters(rng: np.random.Generator, kind: str, n: int) -> dict[str, np.ndarray]:
    def decay(low: float, high: float) -> np.ndarray:
        return np.exp(-1.0 / rng.uniform(low, high, n))

    if kind == "brf":
        return {
            "omega": rng.uniform(3, 50, n),
            "b_offset": rng.uniform(0.1, 3, n),
            "theta": np.ones(n),
            "gamma": np.full(n, 0.9),
            "dt": np.full(n, 0.01),
        }
    if kind == "se_adlif":
        return {
            "alpha": decay(5, 25),
            "beta": decay(60, 300),
            "a": rng.uniform(0, 1, n),
            "b": rng.uniform(0, 2, n),
            "rho": np.full(n, 120.0),
            "theta": np.ones(n),
        }
    if kind == "alif":
        return {
            "alpha": decay(5, 25),
            "rho": decay(60, 300),
            "beta": rng.uniform(0.5, 2, n),
            "b0": rng.uniform(0.01, 1, n),
        }
    if kind == "lif":
        return {"alpha": decay(1, 25), "theta": rng.uniform(0.5, 1.5, n)}
    if kind == "cuba_lif":
        gains = {"syn_gain": np.ones(n), "mem_gain": rng.uniform(0.1, 1, n)}
        return {"alpha_syn": decay(1, 5), "alpha_mem": decay(2, 25), **gains, "theta": np.ones(n)}
    return {"kappa": decay(2, 25)}


def random_inputs(rng: np.random.Generator, network: dict[str, Any], steps: int, batch: int) -> np.ndarray:
    """Integers (T, B, N_in) in the network's input range."""
    low, high = network["input_format"]["low"], network["input_format"]["high"]
    values = rng.integers(low, high + 1, size=(steps, batch, network["layers"][0]["weight"].shape[1]))
    return values * (rng.random(values.shape) < 0.5)


def _single(value: np.ndarray) -> np.ndarray:
    return np.asarray(value, dtype=np.float32).astype(np.float64)
