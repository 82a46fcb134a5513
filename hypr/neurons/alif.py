"""Adaptive leaky integrate-and-fire neuron with a moving threshold (Yin et al. 2021), as HYPR uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hypr.errors import HyprError
from hypr.neurons.base import Neuron, Range, one_of, positive
from hypr.neurons.jacobians import Jacobians, column, stack
from hypr.neurons.surrogate import Surrogate


class ALIF(Neuron):
    """States u, a (``'`` = previous step; alpha = exp(-1/tau_u), r = exp(-1/tau_a))::

        a = r a' + (1 - r) z';  A = b0 + beta a
        u = alpha u' + (1 - alpha) I - A z';  z = H(u - A)

    With ``reset="same"`` a spike takes its own threshold away at once, before the membrane decays, as in the published
    networks of Yin et al. and Higuchi et al. (A' and u' those of the step that spiked)::

        u = alpha (u' - A' z') + (1 - alpha) I

    Learning rate: about 0.06 with Adam, falling (``schedule = "cosine"``), where the other neurons take 0.005 to 0.01.
    The current enters as (1 - alpha) I, a tenth of it for tau_u = 10, while a spike takes the whole threshold away and
    raises it: weights must grow from a root mean square of 0.16 to 3 or 4. On QTDB 0.003, 0.01, 0.03 and 0.06 gave
    60.9, 72.5, 78.5 and 81.3 % on validation after 25 epochs. Membranes that may become fast (tau_u down to 2) and
    a wide surrogate, which reaches neurons far from a threshold that moves, are the rest of it: both are defaults.

    Adaptation and reset hang on the neuron's own spike alone. Rules that cut time should carry it (``own_spike``; the
    default of :class:`hypr.HYPRWindow` for this neuron), and windows should span a few tau_a.

    Args:
        n_in, n, recurrent, surrogate, generator, mask, recurrent_mask: see :class:`Neuron`.
        beta: threshold per unit of a.
        b0: resting threshold.
        tau_u, tau_a: (mean, standard deviation) of the initial time constants in steps, normal.
        tau_u_least, tau_a_least: values that training does not go below.
        reset: ``next`` or ``same``, when a spike takes its threshold away. ``same`` runs on the reference kernels, is
            exported in float, and has no integer form.
    """

    kind = "alif"
    state_names: ClassVar[tuple[str, ...]] = ("u", "a")
    moved_by_own_spike = True
    tau_u: nn.Parameter
    tau_a: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        beta: float = 1.8,
        b0: float = 0.01,
        tau_u: tuple[float, float] = (10.0, 8.0),
        tau_a: tuple[float, float] = (100.0, 20.0),
        tau_u_least: float = 2.0,
        tau_a_least: float = 100.0,
        reset: Literal["next", "same"] = "next",
        surrogate: str | Surrogate | dict[str, Any] = "slayer_wide",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        positive("ALIF", tau_u_least=tau_u_least, tau_a_least=tau_a_least)
        if beta < 0 or b0 < 0:
            raise HyprError(f"ALIF: beta is {beta}, b0 is {b0}; neither may be negative")
        super().__init__(n_in, n, recurrent, surrogate, generator, mask, recurrent_mask)
        self.beta, self.b0 = float(beta), float(b0)
        self.reset = one_of("ALIF", "reset", reset, ("next", "same"))
        self._declare("tau_u", Range(_two("tau_u", tau_u), tau_u_least, distribution="normal"), generator)
        self._declare("tau_a", Range(_two("tau_a", tau_a), tau_a_least, distribution="normal"), generator)

    def effective(self) -> dict[str, Tensor]:
        return {"alpha": torch.exp(-1.0 / self.tau_u), "rho": torch.exp(-1.0 / self.tau_a)}

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        u, a = state
        alpha, rho = parameters["alpha"], parameters["rho"]
        if self.reset == "same":
            u = alpha * (u - (self.b0 + self.beta * a) * z) + (1.0 - alpha) * current
            a = rho * a + (1.0 - rho) * z
            return (u, a), self.spike(u - (self.b0 + self.beta * a))
        a = rho * a + (1.0 - rho) * z
        threshold = self.b0 + self.beta * a
        u = alpha * u + (1.0 - alpha) * current - threshold * z
        return (u, a), self.spike(u - threshold)

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        if self.reset == "same":
            return self._jacobians_same(state, spikes, current, parameters)
        u, a = state.unbind(2)
        alpha, rho, beta = parameters["alpha"], parameters["rho"], self.beta
        threshold = self.b0 + beta * (rho * a + (1.0 - rho) * spikes)
        new_u = alpha * u + (1.0 - alpha) * current - threshold * spikes
        psi = self.surrogate.psi(new_u - threshold)
        pull = -beta * spikes  # du/da of the new a
        moving = pull - beta  # dx/da of the new a, x = u - threshold
        by_spike, a_rho, u_alpha = (1.0 - rho), a - spikes, u - current
        u_spike = pull * by_spike - threshold
        return Jacobians(
            A=stack([[alpha, pull * rho], [0.0, rho]], u),
            B=column([1.0 - alpha, 0.0], u),
            C=column([psi * alpha, psi * moving * rho], u),
            D=psi * (1.0 - alpha),
            E=column([u_spike, by_spike], u),
            F=psi * (u_spike - beta * by_spike),
            states={"alpha": column([u_alpha, 0.0], u), "rho": column([pull * a_rho, a_rho], u)},
            spikes={"alpha": psi * u_alpha, "rho": psi * moving * a_rho},
        )

    def _jacobians_same(
        self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> Jacobians:
        u, a = state.unbind(2)
        alpha, rho, beta = parameters["alpha"], parameters["rho"], self.beta
        taken = self.b0 + beta * a
        kept = u - taken * spikes
        new_a = rho * a + (1.0 - rho) * spikes
        psi = self.surrogate.psi(alpha * kept + (1.0 - alpha) * current - (self.b0 + beta * new_a))
        pull, by_spike, a_rho, u_alpha = -alpha * beta * spikes, 1.0 - rho, a - spikes, kept - current
        return Jacobians(
            A=stack([[alpha, pull], [0.0, rho]], u),
            B=column([1.0 - alpha, 0.0], u),
            C=column([psi * alpha, psi * (pull - beta * rho)], u),
            D=psi * (1.0 - alpha),
            E=column([-alpha * taken, by_spike], u),
            F=psi * (-alpha * taken - beta * by_spike),
            states={"alpha": column([u_alpha, 0.0], u), "rho": column([0.0, a_rho], u)},
            spikes={"alpha": psi * u_alpha, "rho": -psi * beta * a_rho},
        )

    def after_reset(self, states: Tensor, spikes: Tensor) -> Tensor:
        if self.reset == "next":
            return states
        u, a = states[..., 0, :], states[..., 1, :]
        return torch.stack([u - (self.b0 + self.beta * a) * spikes, a], -2)

    def options(self) -> dict[str, str]:
        return {"reset": "same"} if self.reset == "same" else {}

    def constants(self) -> dict[str, float]:
        return {"beta": self.beta, "b0": self.b0}

    def settings(self) -> dict[str, Any]:
        u, a = self.ranges["tau_u"], self.ranges["tau_a"]
        return {
            "beta": self.beta,
            "b0": self.b0,
            "tau_u": list(u.start),
            "tau_a": list(a.start),
            "tau_u_least": u.low,
            "tau_a_least": a.low,
            **self.options(),
        }


def _two(name: str, value: Any) -> tuple[float, float]:
    try:
        mean, deviation = (float(v) for v in value)
    except (TypeError, ValueError):
        raise HyprError(f"ALIF: {name} is {value!r}; give mean and standard deviation") from None
    if mean <= 0 or deviation < 0:
        raise HyprError(f"ALIF: {name} is {value!r}; the mean must be positive, the standard deviation at least 0")
    return mean, deviation
