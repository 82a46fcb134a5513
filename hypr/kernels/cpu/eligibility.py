"""Gradients and carried eligibilities on the CPU: one array for all parameters of a layer, of which the public fields
are views.

Rows (K, ..., N): inputs, recurrent neurons, the bias if it enters the current, the neuron's own effective parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.types import Eligibility
from hypr.neurons.base import Neuron


class PackedEligibility(Eligibility):
    """An eligibility kept as ``packed`` (B, K, S, N). The fields are views of it, made when somebody asks.

    Args:
        packed: the array.
        layer: whose eligibility it is.
        parameters: names of its effective parameters.
    """

    packed: np.ndarray

    def __init__(self, packed: np.ndarray, layer: Neuron, parameters: Iterable[str]) -> None:
        for name, value in (("packed", packed), ("_layer", layer), ("_parameters", tuple(parameters))):
            object.__setattr__(self, name, value)  # the class is frozen for its users

    def __getattr__(self, name: str) -> Any:
        if name not in ("weight", "recurrent", "bias", "parameters"):
            raise AttributeError(name)
        views = named(torch.from_numpy(self.packed).transpose(0, 1), self._layer, self._parameters)
        if name == "parameters":
            return {key: views[f"effective/{key}"] for key in self._parameters}
        return views.get("recurrent_weight" if name == "recurrent" else name)


def rows_of(layer: Neuron, parameters: Sized) -> int:
    """K of a layer with these effective parameters."""
    feedback = 0 if layer.recurrent_weight is None else layer.n
    return layer.n_in + feedback + layer.bias_in_current + len(parameters)


def named(rows: Tensor, layer: Neuron, parameters: Iterable[str]) -> dict[str, Tensor]:
    """Views of (K, ..., N) by name: ``weight`` and ``recurrent_weight`` (..., N, presynaptic), ``bias`` and
    ``effective/NAME`` (..., N).
    """
    values, row = {"weight": rows[: layer.n_in].movedim(0, -1)}, layer.n_in
    if layer.recurrent_weight is not None:
        values["recurrent_weight"] = rows[row : row + layer.n].movedim(0, -1)
        row += layer.n
    if layer.bias_in_current:
        values["bias"] = rows[row]
        row += 1
    return values | {f"effective/{name}": rows[row + k] for k, name in enumerate(parameters)}


def pack(value: Eligibility) -> np.ndarray:
    """(B, K, S, N), contiguous."""
    if isinstance(value, PackedEligibility):
        return value.packed
    synapses = [value.weight] if value.recurrent is None else [value.weight, value.recurrent]
    own = [] if value.bias is None else [value.bias]
    parts = [part.permute(0, 3, 1, 2) for part in synapses]
    parts += [part[:, None] for part in (*own, *value.parameters.values())]
    return torch.cat(parts, 1).detach().contiguous().numpy()
