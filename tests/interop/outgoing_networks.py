"""Random networks of this package that a tool should be able to hold, and some that it should not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.interchange.steps import StepLayer, StepNetwork

_HOLDS: Mapping[str, Mapping[str, Any]] = {
    "snntorch": {"kinds": ("lif", "cuba_lif", "if"), "reset": "zero"},
    "norse": {"kinds": ("lif", "cuba_lif", "if"), "reset": "either", "recurrent": True, "late": True},
    "spikingjelly": {"kinds": ("lif", "cuba_lif", "if"), "reset": "zero", "uniform": True, "recurrent": True},
    "sinabs": {"kinds": ("lif",), "reset": "subtract", "multi": True, "readout": True},
    "spyx": {"kinds": ("lif", "cuba_lif"), "reset": "subtract", "lag": True},
    "rockpool": {"kinds": ("cuba_lif",), "reset": "subtract", "multi": True},
}


def random_network(tool: str, rng: np.random.Generator) -> StepNetwork:
    """A chain of one to three layers with the resets and decays that `tool` knows, with gains, leaks and biases."""
    holds = _HOLDS[tool]
    count = int(rng.integers(1, 4))
    sizes = [int(n) for n in rng.integers(3, 12, count + 1)]
    cuba_reset = str(rng.choice(["zero", "subtract"]))
    layers = []
    for index in range(count):
        kind = str(rng.choice(holds["kinds"]))
        reset = ("zero" if kind != "cuba_lif" else cuba_reset) if holds["reset"] == "either" else holds["reset"]
        biased = not holds.get("lag") or index == 0
        back = bool(holds.get("recurrent")) and rng.random() < 0.5
        layer = _layer(f"layer-{index}", kind, sizes[index], sizes[index + 1], reset, rng, holds, biased, back)
        layers.append(layer)
    if holds.get("readout") and rng.random() < 0.5:
        last = layers[-1]
        values = {key: last.parameters[key] for key in ("gain", "leak")}
        values["kappa"] = last.parameters["alpha"]
        layers[-1] = StepLayer(last.name, "li", last.weight, None, last.bias, values)
    return StepNetwork.chain(layers, float(rng.choice([1e-4, 1e-3])))


def _layer(
    name: str,
    kind: str,
    below: int,
    size: int,
    reset: str,
    rng: np.random.Generator,
    holds: Mapping[str, Any],
    biased: bool,
    back: bool,
) -> StepLayer:
    def values(low: float, high: float) -> np.ndarray:
        one = holds.get("uniform") or kind == "if"
        return np.full(size, rng.uniform(low, high)) if one else rng.uniform(low, high, size)

    options = {"reset": reset}
    if reset == "subtract" and kind == "lif" and holds.get("lag"):
        options["reset_timing"] = "next_step"
    if holds.get("multi"):
        options |= {"spikes": "multi", "spike_at": "threshold"}
    bias = rng.uniform(-0.2, 0.3, size) if biased and rng.random() < 0.7 else np.zeros(size)
    parameters = {"theta": rng.uniform(0.5, 1.5, size), "v_reset": np.zeros(size)}
    if kind == "cuba_lif":
        parameters |= {"alpha_syn": values(0.2, 0.8), "alpha_mem": values(0.4, 0.95), "b_syn": bias}
        parameters |= {"syn_gain": rng.uniform(0.3, 1, size), "mem_gain": rng.uniform(0.3, 1, size)}
        bias = np.zeros(size)
    else:
        decay = np.ones(size) if kind == "if" else values(0.4, 0.95)
        leak = rng.uniform(-0.05, 0.1, size) if biased else np.zeros(size)
        parameters |= {"alpha": decay, "gain": rng.uniform(0.3, 1, size), "leak": leak}
    weight = rng.normal(0.3, 1.0, (size, below))
    recurrent = rng.normal(0.0, 0.5, (size, size)) if back else None
    if back and holds.get("late") and rng.random() < 0.5:
        parameters["recurrent_bias"] = rng.uniform(-0.2, 0.2, size)
    return StepLayer(name, "lif" if kind == "if" else kind, weight, recurrent, bias, parameters, options)
