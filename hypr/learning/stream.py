"""Endless input at constant memory: states and eligibilities stay inside, chunks of any length come and go."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.learning.carry import Carry
from hypr.learning.losses import Loss
from hypr.learning.rule import Gradients
from hypr.network import Network


class ChunkRule(Protocol):
    """What a stream needs of a rule; :class:`hypr.learning.windows.WindowedRule` has it."""

    net: Network
    loss: Loss

    def start(self, batch: int) -> Carry:
        """Carry before the first chunk."""
        ...

    def checked(self, x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and weights of the steps, checked and time-major."""
        ...

    def process(
        self, pre: Tensor, target: Tensor, weight: Tensor, carry: Carry, gradients: Gradients, endless: bool
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Run and credit one chunk; changes ``carry``; ``endless``: hands gradients over after every window."""
        ...


class Stream:
    """Online learning with one rule on ``batch_size`` parallel endless sequences.

    Chunks of whole windows give the same outputs, eligibilities and gradients, bit for bit, however many windows a
    chunk has; other cuts give the same sums in another order, equal to rounding.

    Args:
        rule: a windowed rule (``hypr``, ``hypr-window``, ``eprop``) with a per-step loss.
        batch_size: sequences fed side by side, at least 1.
        steps: the number of steps by which each chunk's summed loss is divided; None: the chunk's own unmasked steps.
            With ``steps`` = T the sum of the gradients of all chunks of a sequence of T steps is that of
            ``rule.backward`` on the whole sequence.

    Attributes:
        output: (B, T, C), the outputs of the last chunk.
    """

    def __init__(self, rule: ChunkRule, batch_size: int, steps: int | None = None) -> None:
        for name, value in (("batch_size", batch_size), ("steps", 1 if steps is None else steps)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise HyprError(f"stream: {name} is {value!r}, must be a whole number of at least 1")
        if not rule.loss.per_step:
            raise HyprError(
                f"stream: {type(rule.loss).__name__} needs whole sequences; use one per step ('cross_entropy', 'mse')"
            )
        self._rule, self._steps, self._batch = rule, steps, batch_size
        self._carry = rule.start(batch_size)
        self.output: Tensor | None = None

    @torch.no_grad()
    def feed(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        """Runs one chunk from where the last one ended, adds its gradient to ``.grad`` and returns its loss.

        Args:
            x: (B, T, n_in), any T of at least 1.
            y, mask: as in :meth:`hypr.learning.rule.Rule.backward`, for this chunk; a chunk without any unmasked step
                only moves the states on.
        """
        rule = self._rule
        pre, target, used = rule.checked(x, y, mask)
        if pre.shape[1] != self._batch:
            raise HyprError(
                f"x has {pre.shape[1]} samples, but this stream was made for {self._batch}; keep the batch size"
            )
        count = used.sum(0).clamp(min=1.0) if self._steps is None else float(self._steps)
        weight = used / (count * self._batch)
        value, output, _ = rule.process(pre, target, weight, self._carry, Gradients(rule.net), endless=True)
        self.output = output.transpose(0, 1)
        return value

    @torch.no_grad()
    def reset(self, samples: Tensor | None = None) -> None:
        """Back to zero states and eligibilities, for all sequences or for those where ``samples`` (B,) bool is true."""
        if samples is None:
            self._carry = self._rule.start(self._batch)
            return
        if tuple(samples.shape) != (self._batch,) or samples.dtype != torch.bool:
            raise HyprError(
                f"samples has shape {tuple(samples.shape)} and type {samples.dtype}, must be ({self._batch},) bool"
            )
        self._carry.reset_(samples)
