"""The two-stage rules: run a window forward, credit it backward, carry eligibilities to the next.

``HYPR`` holds spikes of earlier steps constant (arXiv 2506.14464), ``HYPRWindow`` uses the full gradient inside a
window, ``BPTT`` is one window over the whole sequence. All go through the same two operations of a layer
(:mod:`hypr.kernels`).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels import dispatch
from hypr.kernels.derived import constant_parameters
from hypr.kernels.types import Boundary, LayerTrajectory, Mode
from hypr.learning.carry import Carry
from hypr.learning.losses import Loss, window_of
from hypr.learning.rule import Gradients, Rule
from hypr.learning.stream import Stream
from hypr.network import LayerState, Network, end_state
from hypr.neurons import LI


class WindowedRule(Rule):
    """Window by window: S-stage, loss, P-stage, carry.

    Args:
        net, loss: see :class:`Rule`.
        window: steps per window, at least 1; None is the whole sequence. Memory grows with it, the gradient of ``HYPR``
            does not change.
    """

    mode: ClassVar[Mode] = "detached"

    def __init__(self, net: Network, loss: str | Loss = "cross_entropy", window: int | None = None) -> None:
        super().__init__(net, loss)
        if window is not None and (not isinstance(window, int) or isinstance(window, bool) or window < 1):
            raise HyprError(
                f"{type(self).__name__}: window is {window!r}, must be a whole number of steps, at least 1, or None"
            )
        self.window = window
        self.readout_memory = False
        self.boundary_spike = False
        self.own_spike: bool | None = False
        self.carried = True

    @torch.no_grad()
    def backward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        pre, target, weight = self._batch(x, y, mask)
        gradients, carry = Gradients(self.net), self.start(pre.shape[1])
        value, output, sums = self.process(pre, target, weight, carry, gradients, endless=False)
        gradients.add_to(self.net)
        self._record(output, sums)
        return value

    def stream(self, batch_size: int, steps: int | None = None) -> Stream:
        """Online learning on endless input at constant memory; see :class:`hypr.learning.stream.Stream`.

        Args:
            batch_size: streams side by side.
            steps: length of each stream where it is known, for losses that average over steps; None is endless.
        """
        return Stream(self, batch_size, steps)

    def start(self, batch: int) -> Carry:
        """Carry before the first window."""
        return Carry(self.net.initial_state(batch), [None] * len(self.net.layers), self.net.initial_inputs(batch))

    @constant_parameters()
    def process(
        self, pre: Tensor, target: Tensor, weight: Tensor, carry: Carry, gradients: Gradients, endless: bool
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """All windows of one checked, time-major piece; changes ``carry`` and ``gradients``; the gradients of an
        ``endless`` one are handed over after every window.

        Returns:
            loss, outputs (T, B, C), and per layer the sum over steps of the batch's mean output (N,).
        """
        pre, carry.inputs = self.net.delayed(pre, carry.inputs)
        steps = pre.shape[0]
        window = steps if self.window is None else self.window
        whole = None
        if not self.loss.per_step and steps > window:
            # Prediction from the whole sequence: its error needs all outputs first, so the dynamics run
            # twice at bounded memory.
            whole = self.loss(self._outputs(pre, carry.states, window), target, weight)
        # One tensor for all outputs: small pieces kept between large ones that go would grow the process's memory.
        value, outputs = pre.new_zeros(()), pre.new_empty(steps, pre.shape[1], self.net.n_out)
        sums = [pre.new_zeros(layer.n) for layer in self.net.layers]
        for start in range(0, steps, window):
            stop = min(start + window, steps)
            trajectories = self.net.run(pre[start:stop], carry.states)
            output = trajectories[-1].spikes[1:]
            if whole is None:
                part, error = self.loss(output, window_of(target, start, stop), weight[start:stop])
            else:
                part, error = whole[0] * (start == 0), whole[1][start:stop]
            price, priced = self._priced(trajectories, weight[start:stop])
            value = value + part if price is None else value + part + price
            self._credit(trajectories, error, priced, carry, gradients, onward=endless or stop < steps)
            if endless:  # so that chunks of whole windows add the same numbers in the same order
                gradients.hand_over(self.net)
            outputs[start:stop] = output
            sums = [s + t.spikes[1:].sum((0, 1)) for s, t in zip(sums, trajectories, strict=True)]
        return value, outputs, [total / pre.shape[1] for total in sums]

    def _credit(
        self,
        trajectories: list[LayerTrajectory],
        error: Tensor,
        priced: list[Tensor | None],
        carry: Carry,
        gradients: Gradients,
        onward: bool,
    ) -> None:
        """P-stage of one window, from the output down; ``priced``: added to the errors of each layer; ``onward``:
        another window follows, which needs the carry.
        """
        dz, from_readout = error, None
        for index in reversed(range(len(trajectories))):
            layer, filters = self.net.layers[index], self._filters(index)
            filtered = (None, from_readout) if self._spike_boundary(index) else (from_readout,)
            whole = self.mode == "full" or (self.readout_memory and index == len(trajectories) - 1)
            own, price = self._own_spike(index), priced[index]
            dz = dz if price is None else dz + price
            credit = dispatch.credit_window(
                layer, trajectories[index], dz, gradients.layers[index],
                "own" if own and self.mode == "detached" else self.mode,
                Boundary(
                    carry.eligibilities[index], filters, filtered[: len(filters)], onward and self.carried, own,
                    overwritable=True,
                ),
                "nothing" if index == 0 else "whole" if whole else "direct",
            )  # fmt: skip
            carry.eligibilities[index] = credit.after
            if credit.down is not None:
                dz, from_readout = credit.down @ layer.weight, credit.adjoint_start[:, 0] @ layer.weight
        if onward:
            carry.states = end_state(trajectories)

    def _filters(self, index: int) -> tuple[float, ...]:
        """Filters of the spike's eligibility that are carried for a layer, in the order used by ``_credit``."""
        readout = self._readout_filter(index)
        return ((0.0,) if self._spike_boundary(index) else ()) + (() if readout is None else (readout,))

    def _spike_boundary(self, index: int) -> bool:
        if self._own_spike(index):
            return True
        return self.boundary_spike and self.net.layers[index].spiking

    def _own_spike(self, index: int) -> bool:
        if self.own_spike is False:  # asked for at every window: a module's attributes are slow
            return False
        layer = self.net.layers[index]
        return layer.spiking and (layer.moved_by_own_spike if self.own_spike is None else self.own_spike)

    def _readout_filter(self, index: int) -> float | None:
        """Mean kappa of the leaky readout above layer ``index``, where its memory is to cross windows, else None."""
        if not self.readout_memory or index != len(self.net.layers) - 2 or not isinstance(self.net.layers[-1], LI):
            return None
        return float(self.net.layers[-1].effective()["kappa"].mean())

    def _outputs(self, pre: Tensor, states: list[LayerState], window: int) -> Tensor:
        outputs = pre.new_empty(pre.shape[0], pre.shape[1], self.net.n_out)
        for part, rows in zip(pre.split(window), outputs.split(window), strict=True):
            trajectories = self.net.run(part, states)
            states = end_state(trajectories)
            rows[:] = trajectories[-1].spikes[1:]
        return outputs

    def _record(self, output: Tensor, sums: list[Tensor]) -> None:
        self.output = output.transpose(0, 1)
        self.rates = {name: total / output.shape[0] for name, total in zip(self.net.layer_names(), sums, strict=True)}


class HYPR(WindowedRule):
    """Hybrid propagation (rule ``hypr``): exact in the neuron's own state over all time, spikes of earlier steps held
    constant.

    Args:
        net, loss, window: see :class:`WindowedRule`; the gradient does not depend on the window (to rounding), memory
            and time do.
        readout_memory: let the error of a step reach spikes that the leaky readout still holds, instead of those of the
            same step only.
            Across windows the eligibility of a spike is carried filtered by the mean kappa: exact where all outputs
                share one kappa,
            an approximation of the part before the window otherwise. Hidden layers below the last one get this error
            too, those of its parts that lie inside the window.
        own_spike: hold only the previous spikes of *other* neurons constant; a neuron's own one acts on by its reset,
            its adaptation and its synapse to itself. It matters where these hang on the spike alone (ALIF, LIF with
            reset by subtraction). None: in those layers.
    """

    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        window: int | None = None,
        readout_memory: bool = False,
        own_spike: bool | None = False,
    ) -> None:
        super().__init__(net, loss, window)
        self.readout_memory, self.own_spike = bool(readout_memory), own_spike


class HYPRWindow(WindowedRule):
    """Exact windows (rule ``hypr-window``): the full surrogate gradient inside a window, and at its start the adjoint
    of the boundary state times the carried eligibility. One window over the whole sequence is BPTT; without the carry
    it is truncated BPTT.

    Args:
        net, loss, window: see :class:`WindowedRule`.
        carry: carry eligibilities from window to window; False is truncated BPTT.
        boundary_spike: carry the eligibility of the last spike too, through which the recurrent weights of the next
            window see the past. None: as ``carry``.
        readout_memory: carry it filtered by the readout's mean kappa as well, through which outputs see spikes before
            the window. None: as ``carry``.
        own_spike: the carried spike acts on the neuron's own state (see :class:`HYPR`), which includes
            ``boundary_spike``. None: as ``carry`` in layers whose reset or adaptation hangs on the spike alone. With a
            diagonal recurrent matrix, one hidden layer and one kappa the windows are exact then.
    """

    mode = "full"

    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        window: int | None = None,
        carry: bool = True,
        boundary_spike: bool | None = None,
        readout_memory: bool | None = None,
        own_spike: bool | None = None,
    ) -> None:
        super().__init__(net, loss, window)
        self.carried = bool(carry)
        self.boundary_spike = self.carried if boundary_spike is None else bool(boundary_spike)
        self.readout_memory = self.carried if readout_memory is None else bool(readout_memory)
        self.own_spike = own_spike if self.carried else bool(own_spike)


class BPTT(WindowedRule):
    """Backpropagation through time over the whole sequence (rule ``bptt``), surrogate gradients, memory grows with T.

    Args:
        net, loss: see :class:`Rule`.
    """

    mode = "full"

    def __init__(self, net: Network, loss: str | Loss = "cross_entropy") -> None:
        super().__init__(net, loss, None)

    def stream(self, batch_size: int, steps: int | None = None) -> Stream:
        """Refused, whatever ``batch_size`` and ``steps``: BPTT needs the whole sequence."""
        raise HyprError("BPTT needs the whole sequence and has no stream; use HYPR or HYPRWindow for endless input")
