"""Activity at the start: layers whose neurons fire from the first step, whatever the inputs.

With the usual initial weights most spiking layers stay silent on ordinary spike trains, and a silent layer may pass on
no gradient at all. :func:`fit_activity_` measures the inputs of each layer on one batch and rescales its weights so
that every neuron crosses its threshold now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels import dispatch
from hypr.network import Network
from hypr.neurons import Neuron

RATES = {"alif": 0.10}
"""Wanted spikes per neuron and step where another rate than :data:`RATE` was found better."""

RATE = 0.02
DEAD = {"cubalif": 0.10, "cuba_lif": 0.10}
"""Part of the neurons that may stay silent where it is not :data:`DEAD_PART`."""

DEAD_PART, SATURATED_PART, SATURATED_RATE = 0.05, 0.10, 0.5
LIVELY = (0.75, 0.3)
"""A layer between this part of the wanted rate and this rate is left alone."""

LEAST_STEPS = 400
"""Counted steps times samples below which statistics say little (4 samples of 100 steps)."""

_LIMIT = 2.0**10  # of gains, and of the common factor of a layer
_STILL = 1e-9  # standard deviation below which a neuron gets no input to speak of
_CLOSE = 0.05  # relative distance to the wanted rate at which the search ends
_SEARCH = 24
_ROUNDS, _FEW, _BOOST = 5, 4, 1.5
"""Neurons of a fitted layer with so few spikes, held down by the others mostly, get stronger inputs, some rounds "
"long."""


@dataclass(frozen=True)
class LayerActivity:
    """What :func:`fit_activity_` reached in one layer.

    Attributes:
        layer: its name.
        wanted: spikes per neuron and step that were aimed at.
        before, rate: the layer's own rate before and after, on the batch.
        dead: part of the neurons that stay silent on a batch of this size, as expected from their spikes on this one.
        saturated: part of the neurons that fire at more than half of the steps.
        status: ``left alone`` (lively enough), ``fitted``, ``not reached`` (no factor gives the rate; gains are kept),
            ``no input`` (nothing fluctuates in the layer's input: left alone).
        growth: root mean square of the weights after, by that before.
    """

    layer: str
    wanted: float
    before: float
    rate: float
    dead: float
    saturated: float
    status: str
    growth: float

    def __str__(self) -> str:
        return (
            f"{self.layer}: {self.status}, {self.rate:.4f} spikes per neuron and step (before {self.before:.4f}, "
            f"wanted {self.wanted:.4f}), {100 * self.dead:.0f} % silent"
        )


@torch.no_grad()
def fit_activity_(
    net: Network, x: Tensor, mask: Tensor | None = None, rate: float | None = None
) -> list[LayerActivity]:
    """Rescale the fresh weights of a network, in place, so that every spiking layer fires at a wanted rate.

    Layer after layer, on the spikes of the already fitted layer below: each neuron's weights grow until its free
    membrane (no spikes, no recurrence) fluctuates by its distance to threshold, its bias takes away the mean, and one
    factor for the layer brings the rate, recurrence on, to the wanted one; neurons that the others hold down get more.
    Recurrent weights stay as drawn. Works for
    any :class:`hypr.Neuron` that fires through ``self.spike``. Not for weights that are trained already.

    Args:
        net: fresh network, float dynamics.
        x: (B, T, n_in), one batch; 16 to 64 samples are good, 4 samples of 100 steps the least.
        mask: (B, T), nonzero where a step counts; None: all.
        rate: wanted spikes per neuron and step, 0 to 0.5; None: 0.02 (ALIF 0.10), and a layer that fires more than
            that,
            up to 0.3, keeps its own rate.

    Returns:
        one entry per spiking layer.

    Raises:
        HyprError: wrong shapes, too few steps, a rate out of range, a neuron whose step does not call ``spike``.
    """
    if net.stage is not None:
        raise HyprError("fit_activity_: the network runs on integers now; fit it before")
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate <= 0.5):
        raise HyprError(
            f"fit_activity_: rate is {rate!r}; give spikes per neuron and step above 0, at most 0.5, or None"
        )
    pre = net.prepare(x)
    counts = _counted(mask, pre)
    found = []
    for name, layer in zip(net.layer_names(), net.layers, strict=True):
        if layer.spiking:
            found.append(_fit(name, layer, pre, counts, rate))
        pre = _spikes(layer, pre)
    return found


def _counted(mask: Tensor | None, pre: Tensor) -> Tensor:
    """bool (T, B)."""
    steps, batch = pre.shape[:2]
    if mask is None:
        counts = torch.ones(steps, batch, dtype=torch.bool, device=pre.device)
    elif tuple(mask.shape) != (batch, steps):
        raise HyprError(f"fit_activity_: mask has shape {tuple(mask.shape)}, must be ({batch}, {steps})")
    else:
        counts = mask.to(pre.device).T != 0
    if int(counts.sum()) < LEAST_STEPS:
        raise HyprError(
            f"fit_activity_: {int(counts.sum())} steps count in all samples; give at least {LEAST_STEPS}, "
            "for example 16 samples"
        )
    return counts


def _fit(name: str, layer: Neuron, pre: Tensor, counts: Tensor, rate: float | None) -> LayerActivity:
    wanted = RATES.get(layer.kind, RATE) if rate is None else float(rate)
    dead_part = DEAD.get(layer.kind, DEAD_PART)
    before, dead, saturated = _activity(_spikes(layer, pre), counts)
    if rate is None and wanted < before <= LIVELY[1]:
        wanted = before  # never make a layer quieter
    loudest = LIVELY[1] if rate is None else wanted / LIVELY[0]
    lively = LIVELY[0] * wanted <= before <= loudest
    if lively and dead <= dead_part and saturated <= SATURATED_PART:
        return LayerActivity(name, wanted, before, before, dead, saturated, "left alone", 1.0)
    gains = _gains(layer, pre, counts)
    if gains is None:
        return LayerActivity(name, wanted, before, before, dead, saturated, "no input", 1.0)
    size = float(layer.weight.pow(2).mean().sqrt())
    weight, bias = layer.weight * gains[0][:, None], torch.where(gains[2], gains[1], layer.bias)

    def put(factor: float) -> float:
        layer.weight.copy_(weight * factor)
        layer.bias.copy_(torch.where(gains[2], bias * factor, bias))
        return _activity(_spikes(layer, pre), counts)[0]

    factor = _factor(put, wanted)
    for _ in range(_ROUNDS):
        put(1.0 if factor is None else factor)
        quiet = _spikes(layer, pre)[counts].sum(0) < _FEW
        if not bool((quiet & gains[2]).any()):
            break
        boost = torch.where(quiet, _BOOST, 1.0).to(weight.dtype)
        weight, bias = weight * boost[:, None], bias * boost
        factor = _factor(put, wanted)
    put(1.0 if factor is None else factor)
    after, dead, saturated = _activity(_spikes(layer, pre), counts)
    growth = float(layer.weight.pow(2).mean().sqrt()) / max(size, 1e-30)
    status = "not reached" if factor is None else "fitted"
    return LayerActivity(name, wanted, before, after, dead, saturated, status, growth)


def _gains(layer: Neuron, pre: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Gain and bias of every neuron, and which ones get an input that fluctuates; None where none does."""
    steps, batch, _ = pre.shape
    rest = _distance(layer, pre.new_zeros(steps, 1, layer.n), 0.0)
    driven = _distance(layer, pre @ layer.weight.T, 0.0) - rest
    by_bias = (_distance(layer, pre.new_zeros(steps, 1, layer.n), 1.0) - rest).expand(-1, batch, -1)[counts].mean(0)
    threshold = -rest[-1, 0]
    mean, deviation = driven[counts].mean(0), driven[counts].std(0)
    moved = (deviation >= _STILL) & torch.isfinite(deviation)
    if not bool(moved.any()):
        return None
    gain = (threshold / deviation.clamp(min=_STILL)).clamp(1 / _LIMIT, _LIMIT)
    gain = torch.where(moved, gain, torch.ones_like(gain))
    most = 2 * gain * (layer.weight.abs() @ pre.abs().amax((0, 1)))
    bias = torch.where(by_bias.abs() > _STILL, -gain * mean / by_bias, torch.zeros_like(mean))
    return gain, torch.minimum(torch.maximum(bias, -most), most), moved


def _distance(layer: Neuron, current: Tensor, bias: float) -> Tensor:
    """(T, B, N): argument of the spike function while the layer runs freely, never firing, on currents (T, B, N)."""
    heard: list[Tensor] = []

    def silent(x: Tensor) -> Tensor:
        heard.append(x)
        return torch.zeros_like(x)

    parameters = dict(layer.effective())
    if layer.bias_in_current:
        current = current + bias
    else:
        parameters["bias"] = torch.full_like(layer.bias, bias)
    zero = torch.zeros_like(current[0])
    state: tuple[Tensor, ...] = tuple(zero for _ in layer.state_names)
    object.__setattr__(layer, "spike", silent)  # on the instance: hides the method of the class
    try:
        for now in current:
            state, _ = layer.step(state, zero, now, parameters)
    finally:
        object.__delattr__(layer, "spike")
    if len(heard) != len(current):
        raise HyprError(
            f"fit_activity_: the step of '{layer.kind}' calls self.spike {len(heard) / len(current):g} times per step; "
            "let it return self.spike(distance to threshold), called once"
        )
    return torch.stack([x.expand_as(zero) for x in heard])


def _spikes(layer: Neuron, pre: Tensor) -> Tensor:
    """(T, B, N) of the layer with its recurrence, from zero states."""
    batch = pre.shape[1]
    state = pre.new_zeros(batch, len(layer.state_names), layer.n)
    return dispatch.run_layer(layer, pre, state, pre.new_zeros(batch, layer.n)).spikes[1:]


def _activity(spikes: Tensor, counts: Tensor) -> tuple[float, float, float]:
    """Mean rate over counted steps, the part of the neurons that would be dead on another batch of this size (those
    with few spikes count in part), and the part that is saturated."""
    fired = spikes[counts].double()
    rates = fired.mean(0)
    return (
        float(rates.mean()),
        float(torch.exp(-fired.sum(0)).mean()),
        float((rates > SATURATED_RATE).double().mean()),
    )


def _factor(put: Callable[[float], float], wanted: float) -> float | None:
    """The factor whose rate is within 5 % of the wanted one, by bisection of its logarithm; None where none is "
    "found."""
    low, high, found = -math.log2(_LIMIT), math.log2(_LIMIT), 0.0
    rate = put(1.0)
    while not (1 - _CLOSE) * wanted <= rate <= (1 + _CLOSE) * wanted:
        if rate < wanted:
            low = found
            found = min(found + 1.0, (found + high) / 2) if high == math.log2(_LIMIT) else (low + high) / 2
        else:
            high = found
            found = max(found - 1.0, (found + low) / 2) if low == -math.log2(_LIMIT) else (low + high) / 2
        if high - low < 2.0**-_SEARCH or abs(found) > math.log2(_LIMIT) - 0.01:
            return None
        rate = put(2.0**found)
    return 2.0**found
