"""What each neuron model hands to the GPU kernels: coefficients, constants, and how the kernels' sums become gradients.

Shapes of surrogates and sums are those of :mod:`hypr.kernels.gpu.device`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hypr.kernels.derived import derived
from hypr.kernels.gpu import device as gpu_device
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF
from hypr.neurons.surrogate import DoubleGaussian, Slayer

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Model:
    """A layer's model and numbers as the kernels take them.

    Attributes:
        code, option, surrogate: which branches the kernels take.
        effective: effective parameters (N,).
        coefficients: (C, N).
        constants: (8,): four of the step, four of the surrogate's shape.
        sums: number of sums that the credit kernel accumulates.
        gradients: sums (G, ..., N) -> gradients by name of the effective parameter, each (..., N).
    """

    code: int
    option: int
    surrogate: int
    effective: Parameters
    coefficients: Tensor
    constants: Tensor
    sums: int
    gradients: Callable[[Tensor, Parameters], dict[str, Tensor]]


def supported(layer: Neuron) -> bool:
    """Whether kernels exist for the layer's own class (not a subclass, whose step may differ) and its surrogate."""
    if type(layer) not in _BUILDERS or (not layer.spiking and layer.recurrent_weight is not None):
        return False
    if isinstance(layer, ALIF) and layer.reset == "same":
        return False
    return not layer.spiking or type(layer.surrogate) in (Slayer, DoubleGaussian)


def model_of(layer: Neuron) -> Model:
    """The kernels' view of a supported layer, on the layer's device and in its dtype; made once while the parameters
    stay as they are, for its constants wait for the device.
    """
    return derived((model_of, layer), lambda: _model(layer))


@torch.no_grad()
def _model(layer: Neuron) -> Model:
    effective = {name: value.detach() for name, value in layer.effective().items()}
    code, option, coefficients, constants, sums, gradients = _BUILDERS[type(layer)](layer, effective)
    kind, shape = _surrogate(layer) if layer.spiking else (gpu_device.SLAYER.value, [0.0, 0.0])
    numbers = [*constants, *[0.0] * (4 - len(constants)), *shape, *[0.0] * (4 - len(shape))]
    return Model(
        code, option, kind, effective, torch.stack(list(coefficients)),
        torch.tensor(numbers, dtype=layer.weight.dtype, device=layer.weight.device), sums, gradients,
    )  # fmt: skip


_Built = tuple[int, int, Sequence[Tensor], Sequence[float], int, Callable[[Tensor, Parameters], dict[str, Tensor]]]


def _surrogate(layer: Neuron) -> tuple[int, list[float]]:
    choice = layer.surrogate
    if isinstance(choice, Slayer):
        return gpu_device.SLAYER.value, [0.5 * choice.c * choice.a, -choice.a]
    assert isinstance(choice, DoubleGaussian)  # ``supported`` admits no other
    inner = choice.scale * (1.0 + choice.height) / (choice.width * math.sqrt(2.0 * math.pi))
    outer = choice.scale * 2.0 * choice.height / (choice.wide * math.sqrt(2.0 * math.pi))
    return gpu_device.DOUBLE_GAUSSIAN.value, [inner, -0.5 / choice.width**2, -outer, -0.5 / choice.wide**2]


def _brf(layer: Any, p: Parameters) -> _Built:
    dt, constants = layer.dt, (layer.dt, layer.theta, layer.gamma)
    angle = dt * p["omega"]

    def along_rotation(sums: Tensor, p: Parameters) -> dict[str, Tensor]:
        return {"omega": sums[1], "b_offset": -sums[0]}

    def with_damping(sums: Tensor, p: Parameters) -> dict[str, Tensor]:
        slope = -dt * p["omega"] / torch.sqrt(1.0 - (dt * p["omega"]) ** 2)  # of the damping p(omega)
        return {"omega": sums[1] + slope * sums[0], "b_offset": -sums[0]}

    if layer.variant == "euler":
        damping = (torch.sqrt(1.0 - angle**2) - 1.0) / dt - p["b_offset"]
        return gpu_device.BRF_EULER.value, 0, [damping, p["omega"]], constants, 2, with_damping
    turning = [p["b_offset"], torch.cos(angle), torch.sin(angle)]
    return gpu_device.BRF_EXPONENTIAL.value, 0, turning, constants, 2, along_rotation


def _se_adlif(layer: Any, p: Parameters) -> _Built:
    rho = layer.rho

    def gradients(sums: Tensor, p: Parameters) -> dict[str, Tensor]:
        gain = (1.0 - p["beta"]) * rho
        beta = sums[1] - rho * (p["a"] * sums[2] + p["b"] * sums[3])
        return {"alpha": sums[0], "beta": beta, "a": gain * sums[2], "b": gain * sums[3]}

    gain = (1.0 - p["beta"]) * rho
    coefficients = [p["alpha"], p["beta"], gain * p["a"], gain * p["b"]]
    option = int(layer.adaptation_spike == "current")
    return gpu_device.SE_ADLIF.value, option, coefficients, (layer.theta,), 4, gradients


def _alif(layer: Any, p: Parameters) -> _Built:
    return _named(gpu_device.ALIF.value, 0, ("alpha", "rho"), (layer.beta, layer.b0), p)


def _lif(layer: Any, p: Parameters) -> _Built:
    return _named(gpu_device.LIF.value, int(layer.reset == "subtract"), ("alpha",), (layer.theta,), p)


def _cuba_lif(layer: Any, p: Parameters) -> _Built:
    constants = (layer.theta, layer.syn_gain, layer.mem_gain)
    names = ("alpha_syn", "alpha_mem", "bias")
    return _named(gpu_device.CUBA_LIF.value, int(layer.reset == "subtract"), names, constants, p)


def _li(layer: Any, p: Parameters) -> _Built:
    return _named(gpu_device.LI.value, 0, ("kappa",), (), p)


def _named(code: int, option: int, names: Sequence[str], constants: Sequence[float], p: Parameters) -> _Built:
    """A model whose coefficients are its effective parameters themselves."""

    def gradients(sums: Tensor, p: Parameters) -> dict[str, Tensor]:
        return dict(zip(names, sums, strict=True))

    return code, option, [p[name] for name in names], constants, len(names), gradients


_BUILDERS: dict[type[Neuron], Callable[[Any, Parameters], _Built]] = {
    BRF: _brf,
    SEAdLIF: _se_adlif,
    ALIF: _alif,
    LIF: _lif,
    CubaLIF: _cuba_lif,
    LI: _li,
}
