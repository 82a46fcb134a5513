"""What each neuron model hands to its compiled kernels: coefficients, constants, and how the kernels' sums become
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypr.kernels import cpu_adaptive, cpu_brf, cpu_leaky
from hypr.kernels.cpu_math import DOUBLE_GAUSSIAN, SLAYER
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF
from hypr.surrogate import DoubleGaussian, Slayer, Surrogate

Parameters = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """Compiled scans of one neuron model and its data in their order (see the module of the kernels).

    Attributes:
        forward, credit: compiled functions, arguments in :mod:`hypr.kernels.cpu_math`.
        coefficients: effective parameters (N,) -> per-neuron coefficients, each (N,).
        constants: numbers of the step.
        sums: number of sums the credit kernel accumulates.
        gradients: sums, each (..., N), and effective parameters -> gradients by name of the effective parameter, each
        (..., N).
    """

    forward: Callable[..., None]
    credit: Callable[..., None]
    coefficients: Callable[[Parameters], Sequence[np.ndarray]]
    constants: Sequence[float]
    sums: int
    gradients: Callable[[np.ndarray, Parameters], dict[str, np.ndarray]]


def model_of(layer: Neuron) -> Model:
    """The compiled model of a layer of a supported type."""
    return _BUILDERS[type(layer)](layer)


def supported(layer: Neuron) -> bool:
    """Whether kernels exist for the layer's own class (not a subclass, whose step may differ) and its surrogate."""
    if type(layer) not in _BUILDERS or (not layer.spiking and layer.recurrent_weight is not None):
        return False
    return not layer.spiking or type(layer.surrogate) in (Slayer, DoubleGaussian)


def surrogate_arguments(choice: Surrogate) -> tuple[int, list[float]]:
    """Kind and shape of a surrogate for the kernels."""
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
        return Model(cpu_brf.forward_euler, cpu_brf.credit_euler, damped, constants, 2, with_damping)
    return Model(cpu_brf.forward_exponential, cpu_brf.credit_exponential, turning, constants, 2, along_rotation)


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
    return Model(cpu_adaptive.forward_se_adlif, cpu_adaptive.credit_se_adlif, coefficients, constants, 4, gradients)


def _alif(layer: Any) -> Model:
    return _named(cpu_adaptive.forward_alif, cpu_adaptive.credit_alif, ("alpha", "rho"), (layer.beta, layer.b0))


def _lif(layer: Any) -> Model:
    constants = (layer.theta, float(layer.reset == "subtract"))
    return _named(cpu_leaky.forward_lif, cpu_leaky.credit_lif, ("alpha",), constants)


def _cuba_lif(layer: Any) -> Model:
    constants = (layer.theta, float(layer.reset == "subtract"), layer.syn_gain, layer.mem_gain)
    names = ("alpha_syn", "alpha_mem", "bias")
    return _named(cpu_leaky.forward_cuba_lif, cpu_leaky.credit_cuba_lif, names, constants)


def _li(layer: Any) -> Model:
    return _named(cpu_leaky.forward_li, cpu_leaky.credit_li, ("kappa",), (0.0,))


def _named(
    forward: Callable[..., None], credit: Callable[..., None], names: Sequence[str], constants: Sequence[float]
) -> Model:
    """A model whose coefficients are its effective parameters themselves."""

    def coefficients(p: Parameters) -> list[np.ndarray]:
        return [p[name] for name in names]

    def gradients(sums: np.ndarray, p: Parameters) -> dict[str, np.ndarray]:
        return dict(zip(names, sums, strict=True))

    return Model(forward, credit, coefficients, constants, len(names), gradients)


_BUILDERS: dict[type[Neuron], Callable[[Any], Model]] = {
    BRF: _brf,
    SEAdLIF: _se_adlif,
    ALIF: _alif,
    LIF: _lif,
    CubaLIF: _cuba_lif,
    LI: _li,
}
