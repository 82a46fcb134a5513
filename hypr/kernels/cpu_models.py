"""What each neuron layer hands to the compiled kernels: its model with constants, coefficients, and how the kernels' sums
become gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypr.kernels import cpu_neurons
from hypr.kernels.cpu_math import DOUBLE_GAUSSIAN, READOUT, SLAYER
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF
from hypr.surrogate import DoubleGaussian, Slayer, Surrogate

Parameters = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """One layer for the compiled kernels.

    Attributes:
        neuron: class of :mod:`hypr.kernels.cpu_neurons`; constants: its numbers.
        coefficients: effective parameters (N,) -> per-neuron coefficients, each (N,), in the order of the class.
        sums: number of sums that the adjoint yields.
        gradients: sums, each (..., N), and effective parameters -> gradients by name of the effective parameter, each
            (..., N).
    """

    neuron: type[tuple[float, ...]]
    constants: Sequence[float]
    coefficients: Callable[[Parameters], Sequence[np.ndarray]]
    sums: int
    gradients: Callable[[np.ndarray, Parameters], dict[str, np.ndarray]]

    def numbers(self, dtype: np.dtype) -> tuple[float, ...]:
        """The named tuple that the kernels take, in their floating type."""
        return self.neuron(*np.array(self.constants, dtype))


def model_of(layer: Neuron) -> Model:
    """The compiled model of a layer of a supported type."""
    return _BUILDERS[type(layer)](layer)


def supported(layer: Neuron) -> bool:
    """Whether kernels exist for the layer's own class (not a subclass, whose step may differ) and its surrogate."""
    if type(layer) not in _BUILDERS or (not layer.spiking and layer.recurrent_weight is not None):
        return False
    return not layer.spiking or type(layer.surrogate) in (Slayer, DoubleGaussian)


def surrogate_arguments(layer: Neuron) -> tuple[int, list[float]]:
    """Kind and shape of a layer's surrogate for the kernels."""
    choice: Surrogate = layer.surrogate
    if not layer.spiking:
        return READOUT, [0.0, 0.0, 0.0, 0.0]
    if isinstance(choice, Slayer):
        return SLAYER, [0.5 * choice.c * choice.a, -choice.a, 0.0, 0.0]
    assert isinstance(choice, DoubleGaussian)  # ``supported`` admits no other
    inner = choice.scale * (1.0 + choice.height) / (choice.width * math.sqrt(2.0 * math.pi))
    outer = choice.scale * 2.0 * choice.height / (choice.wide * math.sqrt(2.0 * math.pi))
    return DOUBLE_GAUSSIAN, [inner, -0.5 / choice.width**2, -outer, -0.5 / choice.wide**2]


def _brf(layer: Any) -> Model:
    dt = layer.dt
    constants = (dt, layer.theta, layer.gamma)

    def turning(p: Parameters) -> list[np.ndarray]:
        return [p["b_offset"], np.cos(dt * p["omega"]), np.sin(dt * p["omega"])]

    def damped(p: Parameters) -> list[np.ndarray]:
        return [(np.sqrt(1.0 - (dt * p["omega"]) ** 2) - 1.0) / dt - p["b_offset"], p["omega"]]

    def along_rotation(sums: np.ndarray, p: Parameters) -> dict[str, np.ndarray]:
        return {"omega": sums[1], "b_offset": -sums[0]}

    def with_damping(sums: np.ndarray, p: Parameters) -> dict[str, np.ndarray]:
        slope = -dt * p["omega"] / np.sqrt(1.0 - (dt * p["omega"]) ** 2)  # of the damping p(omega)
        return {"omega": sums[1] + slope * sums[0], "b_offset": -sums[0]}

    if layer.variant == "euler":
        return Model(cpu_neurons.BRFEuler, constants, damped, 2, with_damping)
    return Model(cpu_neurons.BRFExponential, constants, turning, 2, along_rotation)


def _se_adlif(layer: Any) -> Model:
    rho = layer.rho

    def coefficients(p: Parameters) -> list[np.ndarray]:
        gain = (1.0 - p["beta"]) * rho
        return [p["alpha"], p["beta"], gain * p["a"], gain * p["b"]]

    def gradients(sums: np.ndarray, p: Parameters) -> dict[str, np.ndarray]:
        gain = (1.0 - p["beta"]) * rho
        beta = sums[1] - rho * (p["a"] * sums[2] + p["b"] * sums[3])
        return {"alpha": sums[0], "beta": beta, "a": gain * sums[2], "b": gain * sums[3]}

    constants = (layer.theta, float(layer.adaptation_spike == "current"))
    return Model(cpu_neurons.SEAdLIF, constants, coefficients, 4, gradients)


def _alif(layer: Any) -> Model:
    return _named(cpu_neurons.ALIF, (layer.beta, layer.b0), ("alpha", "rho"))


def _lif(layer: Any) -> Model:
    constants = (layer.theta, float(layer.reset == "subtract"))
    return _named(cpu_neurons.LIF, constants, ("alpha",))


def _cuba_lif(layer: Any) -> Model:
    constants = (layer.theta, float(layer.reset == "subtract"), layer.syn_gain, layer.mem_gain)
    return _named(cpu_neurons.CubaLIF, constants, ("alpha_syn", "alpha_mem", "bias"))


def _li(layer: Any) -> Model:
    return _named(cpu_neurons.LI, (0.0,), ("kappa",))


def _named(neuron: type[tuple[float, ...]], constants: Sequence[float], names: Sequence[str]) -> Model:
    """A model whose coefficients are its effective parameters themselves."""

    def coefficients(p: Parameters) -> list[np.ndarray]:
        return [p[name] for name in names]

    def gradients(sums: np.ndarray, p: Parameters) -> dict[str, np.ndarray]:
        return dict(zip(names, sums, strict=True))

    return Model(neuron, constants, coefficients, len(names), gradients)


_BUILDERS: dict[type[Neuron], Callable[[Any], Model]] = {
    BRF: _brf,
    SEAdLIF: _se_adlif,
    ALIF: _alif,
    LIF: _lif,
    CubaLIF: _cuba_lif,
    LI: _li,
}
