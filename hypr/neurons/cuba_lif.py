"""Current-based leaky integrate-and-fire neuron, the float form of the LIF process of Lava and Loihi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hypr.errors import HyprError
from hypr.neurons.base import Neuron, Range, one_of, pair, positive
from hypr.neurons.jacobians import Jacobians, column, stack
from hypr.neurons.surrogate import Surrogate


class CubaLIF(Neuron):
    """States u (synaptic current) and v (membrane before its reset); ``'`` = previous step, I = W x + R z'::

        u = alpha_syn u' + syn_gain I
        v = alpha_mem v' (1 - z') + mem_gain u + bias       (reset subtract: alpha_mem (v' - theta z'))
        z = H(v - theta)

    The bias enters the membrane, not the synaptic current. Reset to zero is the one that Lava's process has and that
    can be exported.

    Args:
        n_in, n, recurrent, surrogate, generator, mask, recurrent_mask: see :class:`Neuron`.
        reset: ``zero`` or ``subtract``.
        theta: threshold.
        syn_gain, mem_gain: gains of the two integrators, the same for all neurons.
        tau_syn_range, tau_mem_range: time constants in steps: initial values, uniform, and the limits they are clipped
            to.
    """

    kind = "cuba_lif"
    state_names: ClassVar[tuple[str, ...]] = ("u", "v")
    bias_in_current = False
    tau_syn: nn.Parameter
    tau_mem: nn.Parameter

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        reset: str = "zero",
        theta: float = 1.0,
        syn_gain: float = 1.0,
        mem_gain: float = 0.1,
        tau_syn_range: tuple[float, float] = (2.0, 10.0),
        tau_mem_range: tuple[float, float] = (5.0, 25.0),
        surrogate: str | Surrogate | dict[str, Any] = "slayer_narrow",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        positive("CubaLIF", theta=theta, syn_gain=syn_gain, mem_gain=mem_gain)
        super().__init__(n_in, n, recurrent, surrogate, generator, mask, recurrent_mask)
        self.reset = one_of("CubaLIF", "reset", reset, ("zero", "subtract"))
        self.moved_by_own_spike = self.reset == "subtract"
        self.theta, self.syn_gain, self.mem_gain = float(theta), float(syn_gain), float(mem_gain)
        self.tau_syn_range = pair("CubaLIF", "tau_syn_range", tau_syn_range)
        self.tau_mem_range = pair("CubaLIF", "tau_mem_range", tau_mem_range)
        positive("CubaLIF", tau_syn=self.tau_syn_range[0], tau_mem=self.tau_mem_range[0])
        self._declare("tau_syn", Range(self.tau_syn_range, *self.tau_syn_range), generator)
        self._declare("tau_mem", Range(self.tau_mem_range, *self.tau_mem_range), generator)

    def effective(self) -> dict[str, Tensor]:
        return {
            "alpha_syn": torch.exp(-1.0 / self.tau_syn),
            "alpha_mem": torch.exp(-1.0 / self.tau_mem),
            "bias": self.bias,
        }

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        u = parameters["alpha_syn"] * state[0] + self.syn_gain * current
        v = parameters["alpha_mem"] * self._after_reset(state[1], z) + self.mem_gain * u + parameters["bias"]
        return (u, v), self.spike(v - self.theta)

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        u, v = state.unbind(2)
        syn, mem, gain = parameters["alpha_syn"], parameters["alpha_mem"], self.mem_gain
        left, one = self._after_reset(v, spikes), torch.ones_like(u)
        new_v = mem * left + gain * (syn * u + self.syn_gain * current) + parameters["bias"]
        psi = self.surrogate.psi(new_v - self.theta)
        kept, lost = (1.0 - spikes, -v) if self.reset == "zero" else (one, -self.theta * one)
        by_u, by_v, by_current, by_spike = gain * syn, mem * kept, gain * self.syn_gain, mem * lost
        return Jacobians(
            A=stack([[syn, 0.0], [by_u, by_v]], u),
            B=column([self.syn_gain, by_current], u),
            C=column([psi * by_u, psi * by_v], u),
            D=psi * by_current,
            E=column([0.0, by_spike], u),
            F=psi * by_spike,
            states={
                "alpha_syn": column([u, gain * u], u),
                "alpha_mem": column([0.0, left], u),
                "bias": column([0.0, 1.0], u),
            },
            spikes={"alpha_syn": psi * gain * u, "alpha_mem": psi * left, "bias": psi},
        )

    def _after_reset(self, v: Tensor, z: Tensor) -> Tensor:
        return v * (1.0 - z) if self.reset == "zero" else v - self.theta * z

    def constants(self) -> dict[str, float]:
        return {"syn_gain": self.syn_gain, "mem_gain": self.mem_gain, "theta": self.theta}

    def settings(self) -> dict[str, Any]:
        names = ("reset", "theta", "syn_gain", "mem_gain")
        ranges = {name: list(getattr(self, name)) for name in ("tau_syn_range", "tau_mem_range")}
        return {name: getattr(self, name) for name in names} | ranges

    def to_arrays(self) -> dict[str, Any]:
        if self.reset != "zero":
            raise HyprError(
                "CubaLIF: reset 'subtract' has no exported form; train with reset='zero', or use LIF, which has both"
            )
        return super().to_arrays()

    def after_reset(self, states: Tensor, spikes: Tensor) -> Tensor:
        return torch.stack([states[..., 0, :], self._after_reset(states[..., 1, :], spikes)], -2)
