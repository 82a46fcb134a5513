"""Leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hypr.neurons.base import Neuron, Range, one_of, pair, positive
from hypr.neurons.jacobians import Jacobians, column, stack
from hypr.neurons.surrogate import Surrogate


class LIF(Neuron):
    """State u, the membrane before its reset (``'`` = previous step; alpha = exp(-1/tau))::

        reset zero      u = alpha u' (1 - z') + (1 - alpha) I
        reset subtract  u = alpha (u' - theta z') + (1 - alpha) I
        both            z = H(u - theta)

    The spikes are those of a membrane that is reset within the step that spiked; ``after_reset`` gives that membrane.
    Written this way the reset enters through z', which rule ``hypr`` holds constant as it does for SE-adLIF and ALIF.

    Args:
        n_in, n, recurrent, surrogate, generator, mask, recurrent_mask: see :class:`Neuron`.
        reset: what a spike does to the membrane.
        theta: threshold.
        tau_range: time constants in steps: initial values, uniform, and the limits they are clipped to.
    """

    kind = "lif"
    state_names: ClassVar[tuple[str, ...]] = ("u",)
    tau: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        reset: Literal["zero", "subtract"] = "zero",
        theta: float = 1.0,
        tau_range: tuple[float, float] = (5.0, 25.0),
        surrogate: str | Surrogate | dict[str, Any] = "slayer_narrow",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        positive("LIF", theta=theta)
        super().__init__(n_in, n, recurrent, surrogate, generator, mask, recurrent_mask)
        self.reset = one_of("LIF", "reset", reset, ("zero", "subtract"))
        self.moved_by_own_spike = self.reset == "subtract"
        self.theta, self.tau_range = float(theta), pair("LIF", "tau_range", tau_range)
        positive("LIF", tau=self.tau_range[0])
        self._declare("tau", Range(self.tau_range, *self.tau_range), generator)

    def effective(self) -> dict[str, Tensor]:
        return {"alpha": torch.exp(-1.0 / self.tau)}

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        alpha = parameters["alpha"]
        u = alpha * self._after_reset(state[0], z) + (1.0 - alpha) * current
        return (u,), self.spike(u - self.theta)

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        u, alpha = state[:, :, 0], parameters["alpha"]
        left = self._after_reset(u, spikes)
        psi = self.surrogate.psi(alpha * left + (1.0 - alpha) * current - self.theta)
        kept, lost = (
            (1.0 - spikes, -u) if self.reset == "zero" else (torch.ones_like(u), -self.theta * torch.ones_like(u))
        )
        return Jacobians(
            A=stack([[alpha * kept]], u),
            B=column([1.0 - alpha], u),
            C=column([psi * alpha * kept], u),
            D=psi * (1.0 - alpha),
            E=column([alpha * lost], u),
            F=psi * alpha * lost,
            states={"alpha": column([left - current], u)},
            spikes={"alpha": psi * (left - current)},
        )

    def _after_reset(self, u: Tensor, z: Tensor) -> Tensor:
        return u * (1.0 - z) if self.reset == "zero" else u - self.theta * z

    def constants(self) -> dict[str, float]:
        return {"theta": self.theta}

    def options(self) -> dict[str, str]:
        return {"reset": self.reset}

    def settings(self) -> dict[str, Any]:
        return {"reset": self.reset, "theta": self.theta, "tau_range": list(self.tau_range)}

    def after_reset(self, states: Tensor, spikes: Tensor) -> Tensor:
        return self._after_reset(states, spikes[..., None, :])
