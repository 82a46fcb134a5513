"""A neuron class with an integer step of its own becomes known to engines and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from hardware.models import ModelSpec, ParameterSpec
from hardware.own import OwnNeuron, RealForm, register
from hypr.errors import HyprError

Arrays = Mapping[str, np.ndarray]


def register_class(kind: type[Any]) -> None:
    """Register the integer step of a neuron class.

    Raises:
        HyprError: it lacks ``quantize``, or gives no ranges for its integer parameters.
    """
    step, quantize = kind.integer_step, kind.quantize
    if step is None or quantize is None:
        raise HyprError(f"{kind.__name__}: has an integer_step but no quantize(parameters, unit, shifts); give both")
    shifts = tuple(kind.integer_shifts)
    parameters = {
        name: ParameterSpec(low, high, f"integer parameter {name}")
        for name, (low, high) in kind.integer_parameters.items()
    }
    spec = ModelSpec(kind.kind, tuple(kind.state_names), kind.spiking, parameters, shifts)
    register(OwnNeuron(spec, step, kind.integer_scalar_step, _real_form(kind, quantize)))


def _real_form(kind: type[Any], quantize: Callable[..., Any]) -> RealForm:
    single: list[Any] = []

    def neuron() -> Any:
        if not single:
            single.append(kind(1, 1))
        return single[0]

    def step(
        parameters: Arrays, states: tuple[np.ndarray, ...], z: np.ndarray, current: np.ndarray
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        with torch.no_grad():
            values = {name: torch.from_numpy(np.array(value, np.float64)) for name, value in parameters.items()}
            tensors = [torch.from_numpy(np.array(value, np.float64)) for value in (*states, z, current)]
            new, spikes = neuron().step(tuple(tensors[: len(states)]), tensors[-2], tensors[-1], values)
        return tuple(value.numpy() for value in new), spikes.numpy()

    def gain(parameters: Arrays) -> np.ndarray:
        found = kind.input_gain(parameters)
        size = len(next(iter(parameters.values()))) if parameters else 1
        return np.broadcast_to(np.asarray(found, np.float64), (size,))

    names = tuple(neuron_parameters(kind))
    return RealForm(names, step, quantize, kind.dequantize, gain)


def neuron_parameters(kind: type[Any]) -> list[str]:
    """Names of the effective parameters of a class."""
    return list(kind(1, 1).effective())


def check_exportable(layer: Any) -> None:
    """An exported neuron of one's own takes everything that varies from ``effective()``.

    Raises:
        HyprError: it has settings or a bias besides.
    """
    given: dict[str, Any] = layer.settings()
    if given or not layer.bias_in_current:
        what = f"settings ({', '.join(given)})" if given else "a bias outside its current"
        raise HyprError(
            f"{type(layer).__name__}: a neuron of your own with {what} cannot be exported; let step read what varies "
            "from "
            "its parameters (effective())"
        )
