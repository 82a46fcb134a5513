"""A price on spikes: firing rates above a target add to the loss of any rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hypr.errors import HyprError


@dataclass(frozen=True)
class RatePenalty:
    """``weight sum_t w^t max(0, r^t - target)``, r^t the part of a layer's neurons that spike at step t of a sample.

    w^t is the weight of the step in the loss, so that the price of a sequence is ``weight`` times its mean rate above
    the target over the steps that count. It is local in time and sample: the gradient ``weight w^t / N`` of each spike
    joins the error g^t of its step, whatever the rule, its windows or the division of a batch.

    Args:
        target: rate in spikes per neuron and step, 0 to 1, that costs nothing.
        weight: at least 0.

    Raises:
        HyprError: a value out of range.
    """

    target: float
    weight: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target) and 0 <= self.target <= 1):
            raise HyprError(f"rate penalty: target is {self.target!r}, must be a rate from 0 to 1 spikes per step")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise HyprError(f"rate penalty: weight is {self.weight!r}, must be a number of at least 0")

    def __call__(self, spikes: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Value and its derivative by the spikes.

        Args:
            spikes: (T, B, N).
            weight: (T, B), of the steps in the loss.

        Returns:
            scalar, and (T, B, 1), the same for all neurons of a step.
        """
        rate = spikes.mean(2)
        price = self.weight * weight
        value = (price * (rate - self.target).clamp(min=0.0)).sum()
        return value, (torch.where(rate > self.target, price, 0.0) / spikes.shape[2])[:, :, None]
