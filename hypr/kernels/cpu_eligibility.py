"""Carried eligibilities on the CPU: one array for all parameters of a layer, of which the public fields are views."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu_carry import carry_over, meet, mostly_zero
from hypr.kernels.cpu_threads import each_range, flushed
from hypr.kernels.types import Eligibility, LayerTrajectory

_SPARSE_TO = 0.25  # share of nonzero inputs up to which adding events beats a matrix product over time


@dataclass(frozen=True)
class _Packed(Eligibility):
    """An eligibility whose fields are views of ``packed`` (B, K, S, N), rows in the order of the fields.

    ``dataclasses.replace`` drops the array, so it never goes stale.
    """

    packed: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)


def carry(
    gains: np.ndarray,
    onward: np.ndarray,
    sums: np.ndarray,
    mixing: np.ndarray,
    trajectory: LayerTrajectory,
    before: Eligibility,
) -> Eligibility:
    """``onward before + sum_t gains^t pre^t``.

    Args:
        gains: (S, T, F). onward: (S, S, F). sums: (S, k, F), of the scans.
        mixing: (P, k, N), sums to gradients by the effective parameters, in the order of ``before.parameters``.
        trajectory: the window, for its inputs and spikes.
        before: the eligibility at its start.
    """
    (steps, batch, n), old = trajectory.current.shape, _pack(before)
    new, pre = np.empty_like(old), trajectory.pre.detach().contiguous().numpy()
    spikes = np.empty((0, 0, 0), pre.dtype)
    if before.recurrent is not None:
        spikes = trajectory.spikes[:-1].detach().contiguous().numpy()
    few = [bool(mostly_zero(values.reshape(-1), _SPARSE_TO)) for values in (pre, spikes)]
    arguments = (gains, onward, sums, mixing, before.bias is not None, few[0], pre, few[1], spikes, old, new)
    with flushed():
        each_range(steps, batch, n, lambda low, high: carry_over(*arguments, low, high))
    for values, start, sparse in ((pre, 0, few[0]), (spikes, pre.shape[2], few[1])):
        if not sparse:
            over_time = torch.from_numpy(gains).view(-1, steps, batch, n).permute(2, 1, 0, 3).flatten(2)
            rows = torch.from_numpy(new)[:, start : start + values.shape[2]].flatten(2)
            rows.baddbmm_(torch.from_numpy(values).permute(1, 2, 0), over_time)
    return _unpack(new, before)


def boundary_gradient(adjoint: Tensor, eligibility: Eligibility) -> dict[str, Tensor]:
    """See :func:`hypr.kernels.reference.boundary_gradient`."""
    packed = _pack(eligibility)
    gradient = np.zeros((packed.shape[1], packed.shape[3]), packed.dtype)
    with flushed():
        meet(adjoint.detach().contiguous().numpy(), packed, gradient)
    total, row = torch.from_numpy(gradient), eligibility.weight.shape[3]
    gradients = {"weight": total[:row].T}
    if eligibility.recurrent is not None:
        gradients["recurrent_weight"] = total[row : row + total.shape[1]].T
        row += total.shape[1]
    if eligibility.bias is not None:
        gradients["bias"] = total[row]
        row += 1
    return gradients | {f"effective/{name}": total[row + k] for k, name in enumerate(eligibility.parameters)}


def _pack(value: Eligibility) -> np.ndarray:
    if isinstance(value, _Packed) and value.packed is not None:
        return value.packed
    synapses = [value.weight] if value.recurrent is None else [value.weight, value.recurrent]
    own = [] if value.bias is None else [value.bias]
    parts = [part.permute(0, 3, 1, 2) for part in synapses]
    parts += [part[:, None] for part in (*own, *value.parameters.values())]
    return torch.cat(parts, 1).detach().contiguous().numpy()


def _unpack(packed: np.ndarray, like: Eligibility) -> Eligibility:
    rows, row = torch.from_numpy(packed), like.weight.shape[3]
    weight, recurrent, bias = rows[:, :row].permute(0, 2, 3, 1), None, None
    if like.recurrent is not None:
        recurrent = rows[:, row : row + rows.shape[3]].permute(0, 2, 3, 1)
        row += rows.shape[3]
    if like.bias is not None:
        bias = rows[:, row]
        row += 1
    result = _Packed(weight, recurrent, bias, {name: rows[:, row + k] for k, name in enumerate(like.parameters)})
    object.__setattr__(result, "packed", packed)  # the class is frozen for its users
    return result
