"""Which synapses of a layer exist: fixed masks, given or drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from hypr.errors import HyprError


def random_mask(n: int, sources: int, density: float, generator: torch.Generator | None = None) -> Tensor:
    """bool (n, sources): each neuron hears the same number of sources, ``round(density * sources)`` but at least one,
    drawn without repeats.

    Args:
        density: share of the synapses that exist, above 0 and at most 1.
        generator: random source; None is torch's global one.

    Raises:
        HyprError: a density out of range.
    """
    if not 0.0 < density <= 1.0:
        raise HyprError(f"density is {density!r}, must be above 0 and at most 1")
    count = max(1, round(density * sources))
    order = torch.rand(n, sources, generator=generator).argsort(1)
    return torch.zeros(n, sources, dtype=torch.bool).scatter_(1, order[:, :count], True)


def checked_mask(layer: str, name: str, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """A copy of a mask; one line where it does not fit.

    Raises:
        HyprError: no bool tensor of that shape, or no synapse left.
    """
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != shape:
        found = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise HyprError(f"{layer}: {name} is {found}, must be a bool tensor {shape}, True where a synapse exists")
    if not bool(mask.any()):
        fix = "use recurrent=False" if name == "recurrent_mask" else "keep at least one"
        raise HyprError(f"{layer}: {name} leaves no synapse; {fix}")
    return mask.detach().clone()
