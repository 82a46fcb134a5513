"""Jacobians of a neuron's step over a window, and their default: forward-mode differentiation of the step itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class Stepping(Protocol):
    """What is differentiated: the step of a :class:`hypr.Neuron`."""

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See :meth:`hypr.neurons.base.Neuron.step`."""
        ...


@dataclass(frozen=True)
class Jacobians:
    """Derivatives of ``(s^t, z^t) = f(s^{t-1}, z^{t-1}, I^t; theta)`` for each step, sample and neuron. Letters as in
    HYPR's equations.

    Attributes:
        A: (T, B, d, d, N), ``A[:, :, i, j]`` = ds_i^t/ds_j^{t-1}.
        B: (T, B, d, N), ds^t/dI^t.
        C: (T, B, d, N), dz^t/ds^{t-1}.
        D: (T, B, N), dz^t/dI^t.
        E: (T, B, d, N), ds^t/dz^{t-1} of the same neuron (reset, z*), without the recurrent weights.
        F: (T, B, N), dz^t/dz^{t-1} of the same neuron.
        states: effective parameter name -> (T, B, d, N), ds^t/dtheta.
        spikes: effective parameter name -> (T, B, N), dz^t/dtheta.
    """

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    E: Tensor
    F: Tensor
    states: Mapping[str, Tensor] = field(default_factory=dict)
    spikes: Mapping[str, Tensor] = field(default_factory=dict)


def forward_mode(
    layer: Stepping, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
) -> Jacobians:
    """Jacobians from the step alone. The step is elementwise, so one forward-mode pass with a tangent of ones per input
    is the whole Jacobian.

    Args:
        layer: the neuron; its ``step`` must be elementwise over (T, B, N) and use ``layer.spike``.
        state: (T, B, d, N), s^{t-1} of each step.
        spikes: (T, B, N), z^{t-1}.
        current: (T, B, N), I^t.
        parameters: effective parameter name -> (N,).
    """
    names = tuple(parameters)
    count = state.shape[2]
    inputs = (*state.unbind(2), spikes, current, *(parameters[name] for name in names))

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        after, z = layer.step(
            values[:count], values[count], values[count + 1], dict(zip(names, values[count + 2 :], strict=True))
        )
        return (*after, z)

    def derivative(index: int) -> tuple[Tensor, Tensor]:
        tangents = tuple(torch.ones_like(x) if i == index else torch.zeros_like(x) for i, x in enumerate(inputs))
        outputs: tuple[Tensor, ...] = torch.func.jvp(step, inputs, tangents)[1]
        whole = [out.expand_as(current) for out in outputs]
        return torch.stack(whole[:-1], 2), whole[-1]

    by_state = [derivative(j) for j in range(count)]
    E, F = derivative(count)
    B, D = derivative(count + 1)
    by_parameter = {name: derivative(count + 2 + k) for k, name in enumerate(names)}
    return Jacobians(
        A=torch.stack([a for a, _ in by_state], 3),
        B=B,
        C=torch.stack([c for _, c in by_state], 2),
        D=D,
        E=E,
        F=F,
        states={name: s for name, (s, _) in by_parameter.items()},
        spikes={name: z for name, (_, z) in by_parameter.items()},
    )


def stack(rows: Sequence[Sequence[Tensor | float]], like: Tensor) -> Tensor:
    """(T, B, d, d, N) from a nested list of (T, B, N) tensors or constants, row i = derivatives of state i."""
    return torch.stack([column(row, like) for row in rows], 2)


def column(entries: Sequence[Tensor | float], like: Tensor) -> Tensor:
    """(T, B, d, N) from a list of (T, B, N) tensors, broadcastable tensors or constants; ``like`` gives shape, dtype
    and device.
    """
    return torch.stack([full(entry, like) for entry in entries], 2)


def full(entry: Tensor | float, like: Tensor) -> Tensor:
    """``entry`` as a tensor of the shape of ``like``."""
    if isinstance(entry, Tensor):
        return entry.expand_as(like)
    return torch.full_like(like, entry)
