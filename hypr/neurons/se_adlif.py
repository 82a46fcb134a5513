"""Adaptive leaky integrate-and-fire neuron in symplectic-Euler form (Baronig et al. 2025), as HYPR uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hypr.neurons.base import Neuron, Range, one_of, pair, positive
from hypr.neurons.jacobians import Jacobians, column, stack
from hypr.neurons.surrogate import Surrogate


class SEAdLIF(Neuron):
    """States u, w (``'`` = previous step; alpha = exp(-1/tau_u), beta = exp(-1/tau_w))::

        u = alpha u' (1 - z') + (1 - alpha)(I - w');  z = H(u - theta)
        w = beta w' + (1 - beta)(a u (1 - z) + b z*) rho,   z* = z (current) or z' (previous)

    The raw tau_u and tau_w are positions in [0, 1] between the bounds of their ranges. theta is not trained.

    Args:
        n_in, n, recurrent, surrogate, generator, mask, recurrent_mask: see :class:`Neuron`.
        adaptation_spike: z* of the equations; HYPR's code uses the previous spike, the SE-adLIF paper the current one.
        theta: threshold.
        rho: strength of the adaptation.
        tau_u_range, tau_w_range: membrane and adaptation time constants in steps.
        a_range, b_range: initial values of a and b, uniform, and the limits they are clipped to.
    """

    kind = "se_adlif"
    state_names: ClassVar[tuple[str, ...]] = ("u", "w")
    tau_u: nn.Parameter
    tau_w: nn.Parameter
    a: nn.Parameter
    b: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        adaptation_spike: Literal["current", "previous"] = "previous",
        theta: float = 1.0,
        rho: float = 120.0,
        tau_u_range: tuple[float, float] = (5.0, 25.0),
        tau_w_range: tuple[float, float] = (60.0, 300.0),
        a_range: tuple[float, float] = (0.0, 1.0),
        b_range: tuple[float, float] = (0.0, 1.0),
        surrogate: str | Surrogate | dict[str, Any] = "slayer_narrow",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        positive("SEAdLIF", theta=theta, rho=rho)
        super().__init__(n_in, n, recurrent, surrogate, generator, mask, recurrent_mask)
        self.adaptation_spike = one_of("SEAdLIF", "adaptation_spike", adaptation_spike, ("current", "previous"))
        self.theta, self.rho = float(theta), float(rho)
        self.tau_u_range, self.tau_w_range = (
            pair("SEAdLIF", "tau_u_range", tau_u_range),
            pair("SEAdLIF", "tau_w_range", tau_w_range),
        )
        positive("SEAdLIF", tau_u=self.tau_u_range[0], tau_w=self.tau_w_range[0])
        self.a_range, self.b_range = pair("SEAdLIF", "a_range", a_range), pair("SEAdLIF", "b_range", b_range)
        self._declare("tau_u", Range((0.0, 1.0), 0.0, 1.0), generator)
        self._declare("tau_w", Range((0.0, 1.0), 0.0, 1.0), generator)
        self._declare("a", Range(self.a_range, *self.a_range), generator)
        self._declare("b", Range(self.b_range, *self.b_range), generator)

    def effective(self) -> dict[str, Tensor]:
        return {
            "alpha": torch.exp(-1.0 / _between(self.tau_u_range, self.tau_u)),
            "beta": torch.exp(-1.0 / _between(self.tau_w_range, self.tau_w)),
            "a": self.a,
            "b": self.b,
        }

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        u, w = state
        alpha, beta = parameters["alpha"], parameters["beta"]
        u = alpha * u * (1.0 - z) + (1.0 - alpha) * (current - w)
        spike = self.spike(u - self.theta)
        adapting = spike if self.adaptation_spike == "current" else z
        w = beta * w + (1.0 - beta) * self.rho * (parameters["a"] * u * (1.0 - spike) + parameters["b"] * adapting)
        return (u, w), spike

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        u, w = state.unbind(2)
        alpha, beta, a, b = (parameters[name] for name in ("alpha", "beta", "a", "b"))
        kept = u * (1.0 - spikes)
        new_u = alpha * kept + (1.0 - alpha) * (current - w)
        spike, psi = (new_u > self.theta).to(u.dtype), self.surrogate.psi(new_u - self.theta)
        gain = (1.0 - beta) * self.rho
        # dw/du of the new u, through a u (1 - z) and, for the current spike, b z
        slope = gain * (a * (1.0 - spike - new_u * psi) + (b * psi if self.adaptation_spike == "current" else 0.0))
        adapting = spike if self.adaptation_spike == "current" else spikes
        by_u, by_w, by_current, by_spike = alpha * (1.0 - spikes), alpha - 1.0, 1.0 - alpha, -alpha * u
        by_alpha = kept - current + w
        w_spike = slope * by_spike + (0.0 if self.adaptation_spike == "current" else gain * b)
        filled = a * new_u * (1.0 - spike) + b * adapting
        return Jacobians(
            A=stack([[by_u, by_w], [slope * by_u, slope * by_w + beta]], u),
            B=column([by_current, slope * by_current], u),
            C=column([psi * by_u, psi * by_w], u),
            D=psi * by_current,
            E=column([by_spike, w_spike], u),
            F=psi * by_spike,
            states={
                "alpha": column([by_alpha, slope * by_alpha], u),
                "beta": column([0.0, w - self.rho * filled], u),
                "a": column([0.0, gain * new_u * (1.0 - spike)], u),
                "b": column([0.0, gain * adapting], u),
            },
            spikes={"alpha": psi * by_alpha, **{name: torch.zeros_like(u) for name in ("beta", "a", "b")}},
        )

    def constants(self) -> dict[str, float]:
        return {"rho": self.rho, "theta": self.theta}

    def options(self) -> dict[str, str]:
        return {"adaptation_spike": self.adaptation_spike}

    def settings(self) -> dict[str, Any]:
        ranges = {name: list(getattr(self, name)) for name in ("tau_u_range", "tau_w_range", "a_range", "b_range")}
        return {"adaptation_spike": self.adaptation_spike, "theta": self.theta, "rho": self.rho, **ranges}

    def after_reset(self, states: Tensor, spikes: Tensor) -> Tensor:
        return torch.stack([states[..., 0, :] * (1.0 - spikes), states[..., 1, :]], -2)


def _between(bounds: tuple[float, float], position: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * position
