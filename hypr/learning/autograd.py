"""The learning rules by plain automatic differentiation of the steps: slow, memory grows with T, independent of every
hand-written part.

What a rule leaves out is a ``detach`` in the dynamics. These are the oracles of the tests, and a starting point for
rules of your own.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.learning.losses import Loss
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.neurons import Neuron

Paths = Literal["full", "own_state", "readout_memory", "same_step"]


class Autograd(Rule):
    """Gradient by autograd along the chosen paths, always of the float steps (another ``net.stage`` is not used).

    Args:
        net, loss: see :class:`hypr.learning.rule.Rule`.
        paths: ``full`` is BPTT. ``own_state`` holds each layer's own previous spikes constant and keeps all else.
            ``same_step`` also lets
            an error leave a layer downward within its step only: rule ``hypr``. ``readout_memory`` is ``same_step`` but
                for the last layer,
            whose memory is kept.
        truncate: None, or the steps after which all states are detached (truncated BPTT where ``paths`` is ``full``).
        own_spike: wherever previous spikes are held constant, those of other neurons only.
    """

    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        paths: Paths = "full",
        truncate: int | None = None,
        own_spike: bool = False,
    ) -> None:
        super().__init__(net, loss)
        if paths not in ("full", "own_state", "readout_memory", "same_step"):
            raise HyprError(f"paths is {paths!r}; allowed: full, own_state, readout_memory, same_step")
        self.paths, self.truncate, self.own_spike = paths, truncate, own_spike

    def backward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        pre, target, weight = self._batch(x, y, mask)
        with torch.enable_grad():
            outputs = self._run(pre)
            output = outputs[-1]
            value, _ = self.loss(output, target, weight)
            for name, spikes in zip(self.net.layer_names(), outputs, strict=True):
                if name in self.penalties:
                    value = value + self.penalties[name](spikes, weight)[0]
            value.backward()
        self.output = output.detach().transpose(0, 1)
        return value.detach()

    def _run(self, pre: Tensor) -> list[Tensor]:
        """Outputs (T, B, N) of every layer."""
        last = len(self.net.layers) - 1
        parameters = [layer.effective() for layer in self.net.layers]
        states = [(state.unbind(1), spikes) for state, spikes in self.net.initial_state(pre.shape[1])]
        outputs: list[list[Tensor]] = [[] for _ in self.net.layers]
        for t in range(pre.shape[0]):
            if self.truncate is not None and t % self.truncate == 0:
                states = [(tuple(s.detach() for s in state), z.detach()) for state, z in states]
            value = self._arriving(pre, t)
            for index, layer in enumerate(self.net.layers):
                cut = index > 0 and (self.paths == "same_step" or (self.paths == "readout_memory" and index < last))
                before, pre_value = states[index], value
                states[index] = self._step(layer, parameters[index], pre_value, *before, cut=cut)
                value = states[index][1]
                if cut and self.own_spike:  # the spike that acts on the neuron itself holds the layer below constant
                    held = self._step(layer, parameters[index], pre_value.detach(), *before, cut=False)[1]
                    states[index] = (states[index][0], held)
                outputs[index].append(value)
        return [torch.stack(values) for values in outputs]

    def _arriving(self, pre: Tensor, t: int) -> Tensor:
        """Inputs (B, n_in) that reach the first layer at step t, each channel late by its delay."""
        if not any(self.net.input_delays):
            return pre[t]
        nothing = torch.zeros_like(pre[0, :, 0])
        late = enumerate(self.net.input_delays)
        return torch.stack([pre[t - d, :, i] if t >= d else nothing for i, d in late], 1)

    def _step(
        self,
        layer: Neuron,
        parameters: dict[str, Tensor],
        pre: Tensor,
        state: tuple[Tensor, ...],
        z: Tensor,
        cut: bool,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """One step; with ``cut`` only the output depends on the layer below, the new state holds it constant."""
        if self.paths != "full" and not self.own_spike:
            z = z.detach()
        after, output = layer.step(state, z, self._current(layer, pre, z), parameters)
        if cut:
            after, _ = layer.step(state, z, self._current(layer, pre.detach(), z), parameters)
        return after, output

    def _current(self, layer: Neuron, pre: Tensor, z: Tensor) -> Tensor:
        current = pre @ layer.cut("weight", layer.weight).T
        if layer.bias_in_current:
            current = current + layer.bias
        if layer.recurrent_weight is None:
            return current
        recurrent = layer.cut("recurrent_weight", layer.recurrent_weight)
        if self.paths == "full" or not self.own_spike:
            return current + z @ recurrent.T
        own = (z - z.detach()) * recurrent.diagonal()  # zero, but for its derivative
        return current + z.detach() @ recurrent.T + own
