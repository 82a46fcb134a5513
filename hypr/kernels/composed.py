"""The P-stage of one layer and window, put together from the single operations of a set of kernels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hypr.kernels.reference import start_eligibility
from hypr.kernels.types import (
    Boundary,
    Down,
    Eligibility,
    LayerCredit,
    LayerGradient,
    LayerTrajectory,
    Mode,
    WindowCredit,
)
from hypr.neurons.base import Neuron


class Operations(Protocol):
    """The single operations, as :mod:`hypr.kernels.reference` describes them."""

    def credit_layer(self, layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode) -> LayerCredit: ...

    def carry_eligibility(
        self,
        layer: Neuron,
        trajectory: LayerTrajectory,
        eligibility: Eligibility,
        spike_filters: tuple[float, ...],
        own_spike: bool,
    ) -> Eligibility: ...

    def boundary_gradient(self, adjoint: Tensor, eligibility: Eligibility) -> dict[str, Tensor]: ...


@torch.no_grad()
def credit_window(
    kernels: Operations,
    layer: Neuron,
    trajectory: LayerTrajectory,
    dz: Tensor,
    gradient: LayerGradient,
    mode: Mode,
    boundary: Boundary,
    down: Down,
) -> WindowCredit:
    """Credits a window, adds its gradients, and takes the eligibility over it.

    Args:
        kernels: whose operations.
        layer, trajectory, dz, mode: see :func:`hypr.kernels.reference.credit_layer`.
        gradient: added to, the part through the state at the window's start included.
        boundary: what passes the ends of the window.
        down: what the layer below needs; ``direct`` not in mode ``full``.
    """
    credit = kernels.credit_layer(layer, trajectory, dz, mode)
    error = credit.d_current.flatten(0, 1)
    gradient.add_product("weight", error.T, trajectory.pre.flatten(0, 1))
    if layer.recurrent_weight is not None:
        gradient.add_product("recurrent_weight", error.T, trajectory.spikes[:-1].flatten(0, 1))
    if layer.bias_in_current:
        gradient.add("bias", error.sum(0))
    for name, value in credit.d_parameters.items():
        gradient.add(f"effective/{name}", value)
    if boundary.before is not None:
        filtered = [credit.dz_start if value is None else value for value in boundary.filtered]
        parts = [credit.adjoint_start, *(value[:, None] for value in filtered if value is not None)]
        for name, value in kernels.boundary_gradient(torch.cat(parts, 1), boundary.before).items():
            gradient.add(name, value)
    after = None
    if boundary.onward:
        filters = boundary.spike_filters
        before = boundary.before or start_eligibility(layer, dz.shape[1], len(filters))
        after = kernels.carry_eligibility(layer, trajectory, before, filters, boundary.own_spike)
    parts_down = {"nothing": None, "direct": credit.d_direct, "whole": credit.d_current}
    return WindowCredit(parts_down[down], credit.adjoint_start, after)
