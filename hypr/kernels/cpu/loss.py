"""Compiled cross entropy per step, value and derivative in one pass over the outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu.compile import compiled
from hypr.kernels.cpu.math import exponential

_ROWS = 256  # steps x samples worked on at a time, so that their exponentials stay in the level-1 cache


def step_cross_entropy(output: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """``sum w CE(softmax(o), y)`` and its derivative by the outputs.

    Args:
        output: (T, B, C), float32 or float64 on the CPU.
        target: (T, B) class indices int64, or (T, B, C) values; expanded tensors are fine.
        weight: (T, B).

    Returns:
        scalar (summed in float64) and (T, B, C).
    """
    steps, batch, classes = output.shape
    logits = output.detach().contiguous().view(-1, classes)
    gradient = torch.empty_like(logits)
    weights = weight.contiguous().view(-1).numpy()
    if target.is_floating_point():
        values = target.contiguous().view(-1, classes).numpy()
        total = _with_values(logits.numpy(), values, weights, gradient.numpy())
    else:
        total = _with_classes(logits.numpy(), target.contiguous().view(-1).numpy(), weights, gradient.numpy())
    return output.new_tensor(total), gradient.view(steps, batch, classes)


@compiled
def _exponentials(logits, shifted, raised, low, high):  # type: ignore[no-untyped-def]
    """Logits less their row's maximum, and e to that power, for rows [low, high)."""
    classes = logits.shape[1]
    for r in range(low, high):
        most = logits[r, 0]
        for c in range(1, classes):
            most = max(most, logits[r, c])
        for c in range(classes):
            shifted[(r - low) * classes + c] = logits[r, c] - most
    for i in range((high - low) * classes):
        raised[i] = exponential(shifted[i])


@compiled
def _with_values(logits, target, weight, gradient):  # type: ignore[no-untyped-def]
    rows, classes = logits.shape
    shifted, raised = np.empty(_ROWS * classes, logits.dtype), np.empty(_ROWS * classes, logits.dtype)
    total = 0.0
    for low in range(0, rows, _ROWS):
        high = min(low + _ROWS, rows)
        _exponentials(logits, shifted, raised, low, high)
        for r in range(low, high):
            at, mass, chance, dot = (
                (r - low) * classes,
                logits.dtype.type(0),
                logits.dtype.type(0),
                logits.dtype.type(0),
            )
            for c in range(classes):
                chance += raised[at + c]
                mass += target[r, c]
                dot += target[r, c] * shifted[at + c]
            scale = weight[r] * mass / chance
            for c in range(classes):
                gradient[r, c] = scale * raised[at + c] - weight[r] * target[r, c]
            total += weight[r] * (mass * np.log(chance) - dot)
    return total


@compiled
def _with_classes(logits, target, weight, gradient):  # type: ignore[no-untyped-def]
    rows, classes = logits.shape
    shifted, raised = np.empty(_ROWS * classes, logits.dtype), np.empty(_ROWS * classes, logits.dtype)
    total = 0.0
    for low in range(0, rows, _ROWS):
        high = min(low + _ROWS, rows)
        _exponentials(logits, shifted, raised, low, high)
        for r in range(low, high):
            at, chance = (r - low) * classes, logits.dtype.type(0)
            for c in range(classes):
                chance += raised[at + c]
            scale = weight[r] / chance
            for c in range(classes):
                gradient[r, c] = scale * raised[at + c]
            gradient[r, target[r]] -= weight[r]
            total += weight[r] * (np.log(chance) - shifted[at + target[r]])
    return total
