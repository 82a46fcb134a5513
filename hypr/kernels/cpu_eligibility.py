"""Gradients and carried eligibilities on the CPU: one array for all parameters of a layer, of which the public fields
are views.

Rows (K, ..., N): inputs, recurrent neurons, the bias if it enters the current, the neuron's own effective parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.types import Eligibility
from hypr.neurons.base import Neuron


@dataclass(frozen=True)
class _Packed(Eligibility):
    """An eligibility whose fields are views of ``packed`` (B, K, S, N).

    ``dataclasses.replace`` drops the array, so it never goes stale.
    """

    packed: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)


def rows_of(layer: Neuron) -> int:
    """K of a layer."""
    feedback = 0 if layer.recurrent_weight is None else layer.n
    return layer.n_in + feedback + layer.bias_in_current + len(layer.effective())


def named(rows: Tensor, layer: Neuron, parameters: Iterable[str]) -> dict[str, Tensor]:
    """Views of (K, ..., N) by name: ``weight`` and ``recurrent_weight`` (N, ..., presynaptic), ``bias`` and
    ``effective/NAME`` (..., N).
    """
    values, row = {"weight": rows[: layer.n_in].transpose(0, -1)}, layer.n_in
    if layer.recurrent_weight is not None:
        values["recurrent_weight"] = rows[row : row + layer.n].transpose(0, -1)
        row += layer.n
    if layer.bias_in_current:
        values["bias"] = rows[row]
        row += 1
    return values | {f"effective/{name}": rows[row + k] for k, name in enumerate(parameters)}


def pack(value: Eligibility) -> np.ndarray:
    """(B, K, S, N), contiguous."""
    if isinstance(value, _Packed) and value.packed is not None:
        return value.packed
    synapses = [value.weight] if value.recurrent is None else [value.weight, value.recurrent]
    own = [] if value.bias is None else [value.bias]
    parts = [part.permute(0, 3, 1, 2) for part in synapses]
    parts += [part[:, None] for part in (*own, *value.parameters.values())]
    return torch.cat(parts, 1).detach().contiguous().numpy()


def unpack(packed: np.ndarray, layer: Neuron, parameters: tuple[str, ...]) -> Eligibility:
    """The eligibility of which ``packed`` (B, K, S, N) is the array."""
    rows = torch.from_numpy(packed)
    synapses = rows.permute(0, 2, 3, 1)
    own = rows.unbind(1)[layer.n_in + (0 if layer.recurrent_weight is None else layer.n) :]
    result = _Packed(
        synapses[..., : layer.n_in],
        None if layer.recurrent_weight is None else synapses[..., layer.n_in : layer.n_in + layer.n],
        own[0] if layer.bias_in_current else None,
        dict(zip(parameters, own[layer.bias_in_current :], strict=True)),
    )
    object.__setattr__(result, "packed", packed)  # the class is frozen for its users
    return result
