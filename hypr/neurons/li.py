"""Leaky integrator, the readout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hypr.neurons.base import Neuron, Range, pair, positive
from hypr.neurons.jacobians import Jacobians, column, stack

_SHORTEST_TAU = 0.1  # steps; shorter is indistinguishable from no memory and makes exp(-1/tau) lose its slope


class LI(Neuron):
    """State u: ``u = kappa u' + (1 - kappa) I``, ``kappa = exp(-1/tau)``; the output is u itself.

    Args:
        n_in, n, generator, mask: see :class:`Neuron`; a readout is never recurrent.
        tau_range: initial time constant in steps, uniform, one per output and trainable.
        interpolate: train a position in [0, 1] between the bounds of ``tau_range`` instead of tau itself.
        clip: keep tau inside ``tau_range`` (the authors leave the readout free; it always stays above 0.1 steps).
    """

    kind = "li"
    state_names: ClassVar[tuple[str, ...]] = ("u",)
    spiking = False
    tau: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        tau_range: tuple[float, float] = (15.0, 25.0),
        interpolate: bool = False,
        clip: bool = False,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__(n_in, n, False, "slayer", generator, mask)
        self.tau_range = pair("LI", "tau_range", tau_range)
        positive("LI", tau=self.tau_range[0])
        self.interpolate, self.clip = bool(interpolate), bool(clip)
        low, high = self.tau_range
        if interpolate:
            floor = 0.0 if clip else -math.inf if high == low else (_SHORTEST_TAU - low) / (high - low)
            limits = Range((0.0, 1.0), floor, 1.0 if clip else math.inf)
        else:
            limits = Range(self.tau_range, low if clip else _SHORTEST_TAU, high if clip else math.inf)
        self._declare("tau", limits, generator)

    def effective(self) -> dict[str, Tensor]:
        low, high = self.tau_range
        tau = low + (high - low) * self.tau if self.interpolate else self.tau
        return {"kappa": torch.exp(-1.0 / tau)}

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        kappa = parameters["kappa"]
        u = kappa * state[0] + (1.0 - kappa) * current
        return (u,), u

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        u, kappa = state[:, :, 0], parameters["kappa"]
        keep, gain = column([kappa], u), column([1.0 - kappa], u)
        zero = torch.zeros_like(u)
        return Jacobians(
            A=stack([[kappa]], u),
            B=gain,
            C=keep,
            D=gain[:, :, 0],
            E=torch.zeros_like(state),
            F=zero,
            states={"kappa": column([u - current], u)},
            spikes={"kappa": u - current},
        )

    def settings(self) -> dict[str, Any]:
        return {"tau_range": list(self.tau_range), "interpolate": self.interpolate, "clip": self.clip}
