"""What all learning rules share: checks of a batch, the weight of each step in the loss, and gradients on their way to
``.grad``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels.types import LayerGradient, LayerTrajectory
from hypr.learning.losses import Loss, check_target, loss_function
from hypr.learning.rates import RatePenalty
from hypr.network import Network
from hypr.neurons import Neuron
from hypr.neurons.base import pull_back


class Rule:
    """A learning rule bound to a network.

    Args:
        net: the network.
        loss: name in ``hypr.learning.losses.NAMED`` or a loss object.

    Attributes:
        output: (B, T, C), the outputs of the last ``backward``, None before.
        rates: layer name -> (N,), mean output per step of each neuron (firing rate per step for a spiking layer) in the
            last ``backward``.
        penalties: layer name -> price on its spikes, part of the loss; see :meth:`penalise_rate`.
    """

    def __init__(self, net: Network, loss: str | Loss = "cross_entropy") -> None:
        if not isinstance(net, Network):
            raise HyprError(f"{type(self).__name__}: net is a {type(net).__name__}, must be a hypr.Network")
        self.net = net
        self.loss = loss_function(loss)
        self.output: Tensor | None = None
        self.rates: dict[str, Tensor] = {}
        self.penalties: dict[str, RatePenalty] = {}

    def penalise_rate(self, weight: float, target: float = 0.0, layer: str | None = None) -> None:
        """Let firing rates above a target add to the loss (:class:`hypr.learning.rates.RatePenalty`).

        Args:
            weight: loss per spike of each neuron and step above the target; 0 takes the penalty away.
            target: rate in spikes per neuron and step.
            layer: ``hidden0``, ... (:meth:`Network.layer_names`); None: all spiking layers.

        Raises:
            HyprError: a value out of range, an unknown layer or one that does not spike.
        """
        penalty = RatePenalty(float(target), float(weight))
        spiking = [
            name for name, one in zip(self.net.layer_names(), self.net.layers, strict=True) if one.spiking
        ]  # fmt: skip
        if layer is not None and layer not in spiking:
            raise HyprError(f"rate penalty: no spiking layer '{layer}'; there are {', '.join(spiking)}")
        for name in spiking if layer is None else [layer]:
            if penalty.weight > 0:
                self.penalties[name] = penalty
            else:
                self.penalties.pop(name, None)

    def _priced(
        self, trajectories: Sequence[LayerTrajectory], weight: Tensor
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """What the penalties add to the loss of a window (None: nothing), and per layer to the error of its spikes
        (T, B, 1).
        """
        errors: list[Tensor | None] = [None] * len(trajectories)
        if not self.penalties:
            return None, errors
        total = weight.new_zeros(())
        for index, name in enumerate(self.net.layer_names()):
            if name in self.penalties:
                value, errors[index] = self.penalties[name](trajectories[index].spikes[1:], weight)
                total = total + value
        return total, errors

    def backward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        """Adds the gradient of the loss to ``.grad`` of every parameter, as ``loss.backward()`` would.

        The loss is averaged over the unmasked steps of each sample, then over the batch; sequences of mixed length are
        padded and masked.

        Args:
            x: (B, T, n_in), from zero states.
            y: class indices (B,) or (B, T) int64, or values (B, C) or (B, T, C) float (one-hot, soft, or real for
                ``mse``).
            mask: (B, T), nonzero where a step counts; None: all.

        Returns:
            scalar tensor, the loss.

        Raises:
            HyprError: x, y or mask of a wrong shape, type or value; nothing is changed then.
        """
        raise NotImplementedError

    def checked(self, x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Checked time-major (pre (T, B, n_in), target, used steps (T, B) of 0. and 1.)."""
        pre = self.net.prepare(x)
        steps, batch = pre.shape[:2]
        target = check_target(y, batch, steps, self.net.n_out, self.loss, pre.dtype, pre.device)
        return pre, target, _mask(mask, batch, steps, pre)

    def _batch(self, x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Checked time-major (pre (T, B, n_in), target, weight (T, B) of each step in the loss)."""
        pre, target, used = self.checked(x, y, mask)
        count = used.sum(0)
        if not bool((count > 0).any()):
            raise HyprError("mask leaves no step in any sample; at least one step must count")
        return pre, target, used / (count.clamp(min=1.0) * used.shape[1])


class Gradients:
    """Sums of gradients of each layer, in effective parameters, until :meth:`add_to` hands them to the parameters.

    Attributes:
        layers: one :class:`hypr.kernels.types.LayerGradient` per layer.
    """

    def __init__(self, net: Network) -> None:
        self.layers = [LayerGradient() for _ in net.layers]

    def hand_over(self, net: Network) -> None:
        """:meth:`add_to`, and begin anew."""
        self.add_to(net)
        self.layers = [LayerGradient() for _ in net.layers]

    def add_to(self, net: Network) -> None:
        """Chain rule to the raw parameters, then ``parameter.grad += gradient``; 0 where a mask leaves no synapse."""
        effective = [
            {name.split("/", 1)[1]: value for name, value in gradient.sums.items() if "/" in name}
            for gradient in self.layers
        ]
        for layer, gradient, raw in zip(net.layers, self.layers, pull_back(net.layers, effective), strict=True):
            for name, value in ({n: v for n, v in gradient.sums.items() if "/" not in n} | raw).items():
                _accumulate(layer, name, layer.cut(name, value))


def _accumulate(layer: Neuron, name: str, value: Tensor) -> None:
    parameter = layer.get_parameter(name)
    if not parameter.requires_grad:
        return
    if parameter.grad is None:
        # In the parameter's own memory layout: fused optimisers walk through both memories side by side.
        parameter.grad = torch.empty_like(parameter).copy_(value)
    else:
        parameter.grad.add_(value)


def _mask(mask: Tensor | None, batch: int, steps: int, like: Tensor) -> Tensor:
    """(T, B) of 0. and 1."""
    if mask is None:
        return like.new_ones(steps, batch)
    if not isinstance(mask, Tensor) or tuple(mask.shape) != (batch, steps):
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise HyprError(f"mask has shape {shape}, must be ({batch}, {steps}): one value per sample and step")
    used = mask.to(like.device).T
    if not bool(((used == 0) | (used == 1)).all()):
        raise HyprError("mask holds values other than 0 and 1; use 1 for steps that count, 0 for the others")
    return used.to(like.dtype)
