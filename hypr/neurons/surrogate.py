"""Spikes and their surrogate derivatives.

``z = H(x)`` with ``H(x) = 1 if x > 0 else 0``; every derivative of z uses ``psi(x)`` in place of the Dirac pulse, and
psi itself is never differentiated. Sources: HYPR (arXiv 2506.14464), the SLAYER pulse, and the double Gaussian of Yin
et al. 2021.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hypr.errors import HyprError


def _positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise HyprError(f"surrogate {name}: {key} is {value}, must be a positive number")


class Surrogate(Protocol):
    """Anything with a ``psi``: an object of yours works as well as the ones below."""

    def psi(self, x: Tensor) -> Tensor:
        """Surrogate dz/dx at ``x`` (any shape; same shape and dtype out)."""
        ...


@dataclass(frozen=True)
class Slayer:
    """``psi(x) = c a / (2 exp(a |x|))``; a > 0 (sharpness, 1 per unit of x), c > 0 (scale)."""

    a: float = 5.0
    c: float = 0.4

    def __post_init__(self) -> None:
        _positive("slayer", a=self.a, c=self.c)

    def psi(self, x: Tensor) -> Tensor:
        return (0.5 * self.c * self.a) * torch.exp(-self.a * x.abs())


@dataclass(frozen=True)
class DoubleGaussian:
    """``psi(x) = scale ((1 + height) N(x; 0, width) - 2 height N(x; 0, wide))`` with densities N of standard deviations
    width and wide.

    The defaults give ``0.5 (1.15 N(x; 0, 0.5) - 0.3 N(x; 0, 3))``.
    """

    scale: float = 0.5
    height: float = 0.15
    width: float = 0.5
    wide: float = 3.0

    def __post_init__(self) -> None:
        _positive("double_gaussian", scale=self.scale, width=self.width, wide=self.wide)

    def psi(self, x: Tensor) -> Tensor:
        inner = self.scale * (1.0 + self.height) / (self.width * math.sqrt(2.0 * math.pi))
        outer = self.scale * 2.0 * self.height / (self.wide * math.sqrt(2.0 * math.pi))
        square = x * x
        return inner * torch.exp(square * (-0.5 / self.width**2)) - outer * torch.exp(square * (-0.5 / self.wide**2))


NAMED: dict[str, Surrogate] = {
    "slayer": Slayer(5.0, 0.4),
    "slayer_narrow": Slayer(5.0, 0.2),
    "slayer_wide": Slayer(1.0, 0.4),
    "double_gaussian": DoubleGaussian(),
}
"""Surrogates by the names that configurations use."""


def surrogate(choice: str | Surrogate | dict[str, Any]) -> Surrogate:
    """Surrogate object from a name in :data:`NAMED`, an object with ``psi``, or a dictionary written by
    :func:`describe`.

    Raises:
        HyprError: unknown name or field.
    """
    if isinstance(choice, str):
        if choice not in NAMED:
            raise HyprError(
                f"surrogate '{choice}' is unknown; choose one of {', '.join(NAMED)} or pass an object with psi(x)"
            )
        return NAMED[choice]
    if isinstance(choice, dict):
        kinds = {"slayer": Slayer, "double_gaussian": DoubleGaussian}
        values = dict(choice)
        kind = kinds.get(values.pop("kind", None))
        if kind is None:
            raise HyprError(f"surrogate {choice} has no known 'kind'; kinds are {', '.join(kinds)}")
        try:
            return kind(**values)
        except TypeError:
            raise HyprError(
                f"surrogate {choice} has unknown fields; see hypr.neurons.surrogate.{kind.__name__}"
            ) from None
    if not hasattr(choice, "psi"):
        raise HyprError(f"surrogate of type {type(choice).__name__} has no psi(x); choose one of {', '.join(NAMED)}")
    return choice


def describe(choice: Surrogate) -> str | dict[str, Any]:
    """Name or plain dictionary of a surrogate, the inverse of :func:`surrogate`.

    Raises:
        HyprError: a surrogate of the user's own, which has no plain form.
    """
    for name, known in NAMED.items():
        if choice == known:
            return name
    if isinstance(choice, Slayer):
        return {"kind": "slayer", **asdict(choice)}
    if isinstance(choice, DoubleGaussian):
        return {"kind": "double_gaussian", **asdict(choice)}
    raise HyprError(
        f"surrogate of type {type(choice).__name__} cannot be written to a file; use one of {', '.join(NAMED)}"
    )


class _Spike(torch.autograd.Function):
    """Heaviside step whose first derivative is psi, in forward and reverse mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, choice: Surrogate) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        x, ctx.choice = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.choice.psi(x.detach()), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (x,) = ctx.saved_tensors
        return tangent * ctx.choice.psi(x.detach())


def spike(x: Tensor, choice: Surrogate) -> Tensor:
    """``H(x)`` as 0. or 1. in the dtype of x, differentiable through ``choice.psi`` (reverse and forward mode)."""
    return _Spike.apply(x, choice)
