"""Balanced resonate-and-fire neuron (Higuchi et al. 2024), as HYPR uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hypr.errors import HyprError
from hypr.neurons.base import Neuron, Range, one_of, pair, positive
from hypr.neurons.jacobians import Jacobians, column, stack
from hypr.neurons.surrogate import Surrogate

_MOST_ROTATION = 0.99  # dt * omega of the Euler form stays below 1, where its damping p(omega) has an infinite slope


class BRF(Neuron):
    """States u, v, q (``'`` = previous step; omega = |raw|, b_offset = |raw|, or exp(raw) where asked for)::

        euler        c = p - b_offset - q',  p = (sqrt(1 - (dt omega)^2) - 1)/dt
                     u = u' + dt (c u' - omega v' + I);  v = v' + dt (omega u' + c v')
        exponential  c = -b_offset - q';  u + iv = exp(dt (c + i omega)) (u' + i v') + dt I
        both         z = H(u - theta - q');  q = gamma q' + z

    Args:
        n_in, n, recurrent, surrogate, generator, mask, recurrent_mask: see :class:`Neuron`.
        variant: integration scheme.
        dt: integration step in seconds of the resonator's own clock.
        theta: threshold.
        gamma: decay of the refractory trace per step.
        omega_range: initial angular frequency in rad per unit of dt, uniform.
        b_range: initial damping offset, uniform (log-uniform where ``exponential_b``).
        exponential_omega: train log omega instead of omega.
        exponential_b: train log b_offset instead of b_offset.
    """

    kind = "brf"
    state_names: ClassVar[tuple[str, ...]] = ("u", "v", "q")
    omega: nn.Parameter
    b_offset: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        variant: Literal["euler", "exponential"] = "euler",
        dt: float = 0.01,
        theta: float = 1.0,
        gamma: float = 0.9,
        omega_range: tuple[float, float] = (3.0, 5.0),
        b_range: tuple[float, float] = (0.1, 1.0),
        exponential_omega: bool = False,
        exponential_b: bool = False,
        surrogate: str | Surrogate | dict[str, Any] = "double_gaussian",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        positive("BRF", dt=dt, theta=theta)
        if not 0.0 <= gamma < 1.0:
            raise HyprError(f"BRF: gamma is {gamma}, must be at least 0 and below 1")
        super().__init__(n_in, n, recurrent, surrogate, generator, mask, recurrent_mask)
        self.variant = one_of("BRF", "variant", variant, ("euler", "exponential"))
        self.dt, self.theta, self.gamma = float(dt), float(theta), float(gamma)
        self.exponential_omega, self.exponential_b = bool(exponential_omega), bool(exponential_b)
        self.omega_range, self.b_range = pair("BRF", "omega_range", omega_range), pair("BRF", "b_range", b_range)
        most = (_MOST_ROTATION if variant == "euler" else math.pi) / self.dt
        if self.omega_range[1] > most or self.omega_range[0] < 0:
            raise HyprError(
                f"BRF: omega_range {self.omega_range} leaves 0 to {most:g} (dt = {dt:g}); lower omega or dt"
            )
        self._declare("omega", _logarithmic(self.omega_range, self.exponential_omega, most), generator)
        self._declare("b_offset", _logarithmic(self.b_range, self.exponential_b, math.inf), generator)

    def effective(self) -> dict[str, Tensor]:
        return {
            "omega": self.omega.exp() if self.exponential_omega else self.omega.abs(),
            "b_offset": self.b_offset.exp() if self.exponential_b else self.b_offset.abs(),
        }

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        u, v, q = state
        dt, omega, b_offset = self.dt, parameters["omega"], parameters["b_offset"]
        if self.variant == "euler":
            p = (torch.sqrt(1.0 - (dt * omega) ** 2) - 1.0) / dt
            c = p - b_offset - q
            u, v = u + dt * (c * u - omega * v + current), v + dt * (omega * u + c * v)
        else:
            decay = torch.exp(-dt * (b_offset + q))
            cos, sin = torch.cos(dt * omega), torch.sin(dt * omega)
            u, v = decay * (cos * u - sin * v) + dt * current, decay * (sin * u + cos * v)
        z = self.spike(u - self.theta - q)
        return (u, v, self.gamma * q + z), z

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        u, v, q = state.unbind(2)
        dt, gamma, omega, b_offset = self.dt, self.gamma, parameters["omega"], parameters["b_offset"]
        if self.variant == "euler":
            root = torch.sqrt(1.0 - (dt * omega) ** 2)
            diagonal, rotation = root - dt * (b_offset + q), dt * omega  # 1 + dt c, and dt omega
            new_u = diagonal * u - rotation * v + dt * current
            u_damping, v_damping = -dt * u, -dt * v  # derivatives by b_offset, and by q
            slope = -dt * dt * omega / root  # d(dt p)/d omega
            u_omega, v_omega = slope * u - dt * v, slope * v + dt * u
        else:
            decay = torch.exp(-dt * (b_offset + q))
            diagonal, rotation = decay * torch.cos(dt * omega), decay * torch.sin(dt * omega)
            turned_u, turned_v = diagonal * u - rotation * v, rotation * u + diagonal * v
            new_u = turned_u + dt * current
            u_damping, v_damping = -dt * turned_u, -dt * turned_v
            u_omega, v_omega = -dt * turned_v, dt * turned_u
        psi = self.surrogate.psi(new_u - self.theta - q)
        C = [psi * diagonal, -psi * rotation, psi * (u_damping - 1.0)]
        return Jacobians(
            A=stack([[diagonal, -rotation, u_damping], [rotation, diagonal, v_damping], [C[0], C[1], C[2] + gamma]], u),
            B=column([dt, 0.0, psi * dt], u),
            C=column(C, u),
            D=psi * dt,
            E=torch.zeros_like(state),
            F=torch.zeros_like(u),
            states={
                "omega": column([u_omega, v_omega, psi * u_omega], u),
                "b_offset": column([u_damping, v_damping, psi * u_damping], u),
            },
            spikes={"omega": psi * u_omega, "b_offset": psi * u_damping},
        )

    def constants(self) -> dict[str, float]:
        return {"theta": self.theta, "gamma": self.gamma, "dt": self.dt}

    def options(self) -> dict[str, str]:
        return {"variant": self.variant}

    def settings(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "dt": self.dt,
            "theta": self.theta,
            "gamma": self.gamma,
            "omega_range": list(self.omega_range),
            "b_range": list(self.b_range),
            "exponential_omega": self.exponential_omega,
            "exponential_b": self.exponential_b,
        }


def _logarithmic(bounds: tuple[float, float], logarithm: bool, most: float) -> Range:
    """Range of a raw value whose magnitude (or exponential) starts in ``bounds`` and stays at most ``most``."""
    if not logarithm:
        return Range(bounds, -most, most)
    smallest = 1e-10  # keeps the logarithm of a lower bound of 0 finite
    return Range(
        (math.log(bounds[0] + smallest), math.log(bounds[1] + smallest)),
        -math.inf,
        math.log(most) if most < math.inf else math.inf,
    )
