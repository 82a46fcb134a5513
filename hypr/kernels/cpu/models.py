"""What each neuron layer hands to the compiled kernels: its model with constants and coefficients, and how the sums of
the kernels become gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypr.kernels.cpu import neurons
from hypr.kernels.cpu.math import DOUBLE_GAUSSIAN, READOUT, SLAYER
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF
from hypr.neurons.surrogate import DoubleGaussian, Slayer, Surrogate

Parameters = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """One layer for the compiled kernels.

    Attributes:
        neuron: class of :mod:`hypr.kernels.cpu.neurons`; constants: its numbers.
        coefficients: per-neuron coefficients, each (N,), in the order of the class.
        gradients: effective parameter name -> factors, (N,) or numbers, of the sums that the adjoint yields; the
            gradient is the sum of factors times sums.
    """

    neuron: type[tuple[float, ...]]
    constants: Sequence[float]
    coefficients: Sequence[np.ndarray]
    gradients: Mapping[str, Sequence[np.ndarray | float]]


def model_of(layer: Neuron, effective: Parameters) -> Model:
    """The compiled model of a layer of a supported type, from its effective parameters (N,)."""
    return _BUILDERS[type(layer)](layer, effective)


def supported(layer: Neuron) -> bool:
    """Whether kernels exist for the layer's own class (not a subclass, whose step may differ) and its surrogate."""
    if type(layer) not in _BUILDERS or (not layer.spiking and layer.recurrent_weight is not None):
        return False
    if isinstance(layer, ALIF) and layer.reset == "same":
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


def _brf(layer: Any, p: Parameters) -> Model:
    dt, constants, angle = layer.dt, (layer.dt, layer.theta, layer.gamma), layer.dt * p["omega"]
    if layer.variant == "exponential":
        turning = [p["b_offset"], np.cos(angle), np.sin(angle)]
        return Model(neurons.BRFExponential, constants, turning, {"omega": (0.0, 1.0), "b_offset": (-1.0, 0.0)})
    cosine = np.sqrt(1.0 - angle**2)
    slope = -angle / cosine  # of the damping p(omega)
    damped = [(cosine - 1.0) / dt - p["b_offset"], p["omega"]]
    return Model(neurons.BRFEuler, constants, damped, {"omega": (slope, 1.0), "b_offset": (-1.0, 0.0)})


def _se_adlif(layer: Any, p: Parameters) -> Model:
    rho, gain = layer.rho, (1.0 - p["beta"]) * layer.rho
    gradients = {
        "alpha": (1.0, 0.0, 0.0, 0.0),
        "beta": (0.0, 1.0, -rho * p["a"], -rho * p["b"]),
        "a": (0.0, 0.0, gain, 0.0),
        "b": (0.0, 0.0, 0.0, gain),
    }
    constants = (layer.theta, float(layer.adaptation_spike == "current"))
    return Model(neurons.SEAdLIF, constants, [p["alpha"], p["beta"], gain * p["a"], gain * p["b"]], gradients)


def _alif(layer: Any, p: Parameters) -> Model:
    return _named(neurons.ALIF, (layer.beta, layer.b0), ("alpha", "rho"), p)


def _lif(layer: Any, p: Parameters) -> Model:
    return _named(neurons.LIF, (layer.theta, float(layer.reset == "subtract")), ("alpha",), p)


def _cuba_lif(layer: Any, p: Parameters) -> Model:
    constants = (layer.theta, float(layer.reset == "subtract"), layer.syn_gain, layer.mem_gain)
    return _named(neurons.CubaLIF, constants, ("alpha_syn", "alpha_mem", "bias"), p)


def _li(layer: Any, p: Parameters) -> Model:
    return _named(neurons.LI, (0.0,), ("kappa",), p)


def _named(neuron: type[tuple[float, ...]], constants: Sequence[float], names: Sequence[str], p: Parameters) -> Model:
    """A model whose coefficients and sums are those of its effective parameters themselves."""
    gradients = {name: [float(name == other) for other in names] for name in names}
    return Model(neuron, constants, [p[name] for name in names], gradients)


_BUILDERS: dict[type[Neuron], Callable[[Any, Parameters], Model]] = {
    BRF: _brf,
    SEAdLIF: _se_adlif,
    ALIF: _alif,
    LIF: _lif,
    CubaLIF: _cuba_lif,
    LI: _li,
}
