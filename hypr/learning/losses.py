"""Losses: each gives its value and its derivative by the outputs, so that the learning rules need no autograd.

A loss is a frozen object called as ``value, d_output = loss(output, target, weight)``; everything is time-major:

* output (T, B, C);
* target: class indices (B,) or (T, B) int64, or values (B, C) or (T, B, C) float;
* weight (T, B), >= 0: the mask of the step divided by (number of unmasked steps of the sample x batch), so that a plain
  sum over a per-step term is "mean over unmasked steps, then mean over the batch";
* value: scalar tensor; d_output (T, B, C).

``per_step`` says that the value is a sum over steps: such a loss may be taken window by window and on endless streams.
The others (prediction from a whole sequence) are given all outputs of the sequence at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels import dispatch


class Loss(Protocol):
    """See the module's docstring."""

    per_step: ClassVar[bool]
    classes: ClassVar[bool]

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class CrossEntropy:
    """``sum_t w^t CE(softmax(o^t), y^t)``: masked cross entropy per step. A soft target that sums to 0 (no label) adds
    nothing.
    """

    per_step: ClassVar[bool] = True
    classes: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        target = target if _per_step(target) else target[None].expand(output.shape[0], *target.shape)
        compiled = dispatch.loss_kernel(output)
        if compiled is not None:
            return compiled(output, target, weight)
        value, gradient = _cross_entropy(output, target)
        return (weight * value).sum(), weight[:, :, None] * gradient


@dataclass(frozen=True)
class MeanCrossEntropy:
    """Cross entropy of the outputs' mean over the unmasked steps, batch mean."""

    per_step: ClassVar[bool] = False
    classes: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        _one_per_sequence(target, "mean_cross_entropy")
        batch = output.shape[1]
        value, gradient = _cross_entropy((weight[:, :, None] * output).sum(0) * batch, target)
        present = weight.sum(0) > 0
        return (value * present).sum() / batch, weight[:, :, None] * gradient


@dataclass(frozen=True)
class SumSoftmaxCrossEntropy:
    """Cross entropy with logits ``sum_t softmax(o^t)`` over the unmasked steps, batch mean (the authors' SHD loss)."""

    per_step: ClassVar[bool] = False
    classes: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        _one_per_sequence(target, "sum_softmax_cross_entropy")
        batch = output.shape[1]
        used = (weight > 0).to(output.dtype)[:, :, None]
        chance = torch.softmax(output, -1)
        value, gradient = _cross_entropy((used * chance).sum(0), target)
        present = used.amax(0)
        through = gradient * present / batch
        return (value * present[:, 0]).sum() / batch, used * chance * (
            through - (chance * through).sum(-1, keepdim=True)
        )


@dataclass(frozen=True)
class MeanSquaredError:
    """``sum_t w^t mean_c (o^t_c - y^t_c)^2``; the target is real-valued, (B, C) or (T, B, C)."""

    per_step: ClassVar[bool] = True
    classes: ClassVar[bool] = False

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        difference = output - target
        scale = weight[:, :, None] / output.shape[2]
        return (scale * difference**2).sum(), 2.0 * scale * difference


NAMED: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "mean_cross_entropy": MeanCrossEntropy(),
    "sum_softmax_cross_entropy": SumSoftmaxCrossEntropy(),
    "mse": MeanSquaredError(),
}
"""Losses by the names that configurations use."""

PREDICTIONS = ("per_step", "mean", "sum_softmax")


def loss_function(choice: str | Loss) -> Loss:
    """Loss object from a name in :data:`NAMED` or an object of that interface."""
    if isinstance(choice, str):
        if choice not in NAMED:
            raise HyprError(f"loss '{choice}' is unknown; choose one of {', '.join(NAMED)}")
        return NAMED[choice]
    if not callable(choice) or not hasattr(choice, "per_step"):
        raise HyprError(
            f"loss of type {type(choice).__name__} is not callable with a 'per_step' flag; see hypr.learning.losses"
        )
    return choice


@torch.no_grad()
def predict(output: Tensor, mask: Tensor | None = None, rule: str = "per_step") -> Tensor:
    """Predicted classes; ties go to the lowest index.

    Args:
        output: (B, T, C).
        mask: (B, T) or None; steps that count in ``mean`` and ``sum_softmax``.
        rule: one of :data:`PREDICTIONS`.

    Returns:
        int64, (B, T) for ``per_step``, else (B,).
    """
    if rule not in PREDICTIONS:
        raise HyprError(f"prediction '{rule}' is unknown; choose one of {', '.join(PREDICTIONS)}")
    if rule == "per_step":
        return output.argmax(-1)
    values = output if rule == "mean" else torch.softmax(output, -1)
    if mask is not None:
        values = values * mask.to(values.dtype)[:, :, None]
    return values.sum(1).argmax(-1)


def check_target(
    y: Tensor, batch: int, steps: int, n_out: int, loss: Loss, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Checked, time-major target: (B,) or (T, B) int64, or (B, C) or (T, B, C) in ``dtype``.

    Raises:
        HyprError: wrong type, shape, or a class outside 0..n_out - 1, or a value that is not finite.
    """
    if not isinstance(y, Tensor):
        raise HyprError(f"y is a {type(y).__name__}, must be a torch.Tensor")
    shape = tuple(y.shape)
    if y.is_floating_point():
        if shape not in ((batch, n_out), (batch, steps, n_out)):
            raise HyprError(
                f"y has shape {shape}, must be ({batch}, {n_out}) or ({batch}, {steps}, {n_out}) for a float target"
            )
        if not torch.isfinite(y).all():
            raise HyprError("y holds values that are not finite; mask those steps and put 0 there")
        y = y.to(device, dtype)
    else:
        if not loss.classes:
            raise HyprError(f"y is {y.dtype}; {type(loss).__name__} needs a float target ({batch}, {steps}, {n_out})")
        if y.is_complex() or y.dtype == torch.bool:
            raise HyprError(f"y is {y.dtype}; give class indices as int64, or one-hot values as float")
        if shape not in ((batch,), (batch, steps)):
            raise HyprError(
                f"y has shape {shape}, must be ({batch},) or ({batch}, {steps}) for class indices; "
                "one-hot targets must be float"
            )
        y = y.to(device, torch.int64)
        if int(y.min()) < 0 or int(y.max()) >= n_out:
            bad = int(y.min()) if int(y.min()) < 0 else int(y.max())
            raise HyprError(f"y holds class {bad}, must be 0 to {n_out - 1}: the network has {n_out} outputs")
    return y.transpose(0, 1) if _per_step(y) else y


def window_of(target: Tensor, start: int, stop: int) -> Tensor:
    """Part of a checked target that belongs to steps start..stop - 1."""
    return target[start:stop] if _per_step(target) else target


def _per_step(target: Tensor) -> bool:
    return target.ndim == (3 if target.is_floating_point() else 2)


def _one_per_sequence(target: Tensor, name: str) -> None:
    if _per_step(target):
        raise HyprError(
            f"y has a value per step, but {name} takes one class per sequence: give y as (B,) or (B, C), "
            "or use 'cross_entropy'"
        )


def _cross_entropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy (...) and its derivative by the logits (..., C); target (...) indices or (..., C) values."""
    logs = torch.log_softmax(logits, -1)
    if not target.is_floating_point():
        target = torch.nn.functional.one_hot(target, logits.shape[-1]).to(logits.dtype)
    value = -(target * logs).sum(-1)
    return value, logs.exp() * target.sum(-1, keepdim=True) - target
