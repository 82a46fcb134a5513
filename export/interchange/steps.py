"""A network in difference-equation form: what the float engine runs and what quantization turns into integers.

The values are those of :mod:`export.interchange.source`, with what a NIR file can say beyond a trained network:

``lif``
    ``u = alpha u' + gain I + leak``, spike ``u > theta``; reset by options ``reset`` (``zero``: to v_reset,
    ``subtract``: theta) and ``reset_timing`` (:class:`export.interchange.discretise.Reading`).
``cuba_lif``
    ``u = alpha_syn u' + syn_gain (W x + R z' + b_syn)``; ``v = alpha_mem v' + mem_gain u + b``, reset as lif.
``li``
    ``u = kappa u' + gain I + leak``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export.errors import ExportError
from export.interchange.source import NetworkArrays

STATES: Mapping[str, tuple[str, ...]] = {
    "brf": ("u", "v", "q"),
    "se_adlif": ("u", "w"),
    "alif": ("a", "u"),
    "lif": ("u",),
    "cuba_lif": ("u", "v"),
    "li": ("u",),
}
"""State names of each kind, as in ``hardware.models``."""


@dataclass(frozen=True)
class StepLayer:
    """One layer. Arrays are float64; `parameters` are (N,) each.

    Attributes:
        name: as in traces.
        kind: key of :data:`STATES`.
        weight: (N, n_in). recurrent_weight: (N, N) or None. bias: (N,), in the current (``cuba_lif``: in the membrane).
        parameters: values of the difference equation.
        options: named options.
    """

    name: str
    kind: str
    weight: np.ndarray
    recurrent_weight: np.ndarray | None
    bias: np.ndarray
    parameters: Mapping[str, np.ndarray]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(self.weight.shape[0])

    @property
    def spiking(self) -> bool:
        return self.kind != "li"


@dataclass(frozen=True)
class StepNetwork:
    """A chain of layers with its input and decision conventions.

    Attributes:
        dt: seconds per step; None where nobody said.
        input_scale: factor on the input integers. input_format: (low, high) of these integers.
        decision: ``{"rule": ..., "ignore_first": ...}``.
    """

    layers: tuple[StepLayer, ...]
    dt: float | None = None
    input_scale: float = 1.0
    input_format: tuple[int, int] = (0, 1)
    decision: Mapping[str, Any] = field(default_factory=lambda: {"rule": "per_step", "ignore_first": 0})

    @property
    def input_size(self) -> int:
        return int(self.layers[0].weight.shape[1])

    def layer(self, name: str) -> StepLayer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ExportError(f"no layer '{name}'; layers are {', '.join(la.name for la in self.layers)}")

    def with_layers(self, layers: tuple[StepLayer, ...]) -> StepNetwork:
        return replace(self, layers=layers)


def from_arrays(network: NetworkArrays, dt: float | None) -> StepNetwork:
    """The difference equations of a trained network: gains are one minus the decay."""
    layers = []
    for name, layer in zip(network.layer_names(), network.layers, strict=True):
        parameters = dict(layer.parameters)
        if layer.kind in ("lif", "li"):
            parameters["gain"] = 1.0 - parameters["alpha" if layer.kind == "lif" else "kappa"]
            parameters["leak"] = np.zeros(layer.size)
        if layer.kind in ("lif", "cuba_lif"):
            parameters["v_reset"] = np.zeros(layer.size)
        if layer.kind == "cuba_lif":
            parameters["b_syn"] = np.zeros(layer.size)
        options = dict(layer.options)
        if layer.kind == "cuba_lif":
            options["reset"] = "zero"
        layers.append(
            StepLayer(name, layer.kind, layer.weight, layer.recurrent_weight, layer.bias, parameters, options)
        )
    return StepNetwork(tuple(layers), dt, network.input_scale, network.input_format, network.decision)
