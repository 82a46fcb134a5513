"""Carried eligibilities on the GPU: products over time by batched matrix products, the rest in one launch each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
import triton.language as tl
from torch import Tensor

from hypr.kernels.gpu.plan import power_of_two
from hypr.kernels.types import Eligibility, LayerTrajectory

_WIDEST = 256  # presynaptic neurons per program


@torch.no_grad()
def carry(
    gains: Tensor, onward: Tensor, own: Mapping[str, Tensor], trajectory: LayerTrajectory, before: Eligibility
) -> Eligibility:
    """``onward before + sum_t gains^t pre^t``.

    Args:
        gains: (S, T, B, N). onward: (S, S, B, N). own: effective parameter name -> (S, B, N), what the window adds.
        trajectory: the window, for its inputs and spikes.
        before: the eligibility at its start, S components.
    """
    over_time = gains.permute(2, 0, 3, 1).flatten(1, 2)  # (B, S N, T)
    recurrent = None
    if before.recurrent is not None:
        recurrent = _synapses(over_time, onward, trajectory.spikes[:-1], before.recurrent)
    bias = None if before.bias is None else _onward(onward, before.bias) + gains.sum(1).transpose(0, 1)
    return Eligibility(
        _synapses(over_time, onward, trajectory.pre, before.weight),
        recurrent,
        bias,
        {name: _onward(onward, value) + own[name].transpose(0, 1) for name, value in before.parameters.items()},
    )


@torch.no_grad()
def boundary_gradient(adjoint: Tensor, eligibility: Eligibility) -> dict[str, Tensor]:
    """See :func:`hypr.kernels.reference.boundary_gradient`."""
    gradients = {"weight": _meet(adjoint, eligibility.weight)}
    if eligibility.recurrent is not None:
        gradients["recurrent_weight"] = _meet(adjoint, eligibility.recurrent)
    if eligibility.bias is not None:
        gradients["bias"] = (adjoint * eligibility.bias).sum((0, 1))
    own = {f"effective/{name}": (adjoint * value).sum((0, 1)) for name, value in eligibility.parameters.items()}
    return gradients | own


def _synapses(over_time: Tensor, onward: Tensor, pre: Tensor, before: Tensor) -> Tensor:
    """(B, S, N, M) after the window, from ``before`` of that shape."""
    batch, components, n, inputs = before.shape
    result = torch.empty_like(before, memory_format=torch.contiguous_format)
    width = min(_WIDEST, power_of_two(inputs))
    grid = (batch * n, -(-inputs // width))
    with torch.cuda.device_of(before):
        transport[grid](onward.contiguous(), before.contiguous(), result, batch, n, inputs, S=components, BLOCK=width)
    result.view(batch, components * n, inputs).baddbmm_(over_time, pre.transpose(0, 1))
    return result


def _meet(adjoint: Tensor, eligibility: Tensor) -> Tensor:
    batch, components, n, inputs = eligibility.shape
    result = eligibility.new_empty(n, inputs)
    width = min(_WIDEST, power_of_two(inputs))
    grid = (n, -(-inputs // width))
    rows = batch * components
    with torch.cuda.device_of(eligibility):
        meet[grid](adjoint.contiguous(), eligibility.contiguous(), result, rows, n, inputs, BLOCK=width)
    return result


def _onward(onward: Tensor, value: Tensor) -> Tensor:
    """onward (S, S, B, N) applied to (B, S, N)."""
    return torch.einsum("ijbn,bjn->bin", onward, value)


@triton.jit
def transport(onward, before, result, batch, n, inputs, S: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """result[b, i, k, :] = sum over j of onward[i, j, b, k] before[b, j, k, :]; one program per (b, k) and block."""
    b, k = tl.program_id(0) // n, tl.program_id(0) % n
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < inputs
    first = (b.to(tl.int64) * S * n + k) * inputs
    for i in tl.static_range(S):
        total = tl.zeros((BLOCK,), result.dtype.element_ty)
        for j in tl.static_range(S):
            factor = tl.load(onward + ((i * S + j) * batch + b) * n + k)
            total += factor * tl.load(before + first + j * n * inputs + column, mask=mask, other=0.0)
        tl.store(result + first + i * n * inputs + column, total, mask=mask)


@triton.jit
def meet(adjoint, eligibility, result, rows, n, inputs, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """result[k, :] = sum over rows r = (sample, component) of adjoint[r, k] eligibility[r, k, :], in ascending order;
    one program per neuron k and block.
    """
    k = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < inputs
    total = tl.zeros((BLOCK,), result.dtype.element_ty)
    eligibility += k * inputs
    adjoint += k
    for _ in tl.range(0, rows):
        total += tl.load(adjoint) * tl.load(eligibility + column, mask=mask, other=0.0)
        adjoint += n
        eligibility += n * inputs
    tl.store(result + k * inputs + column, total, mask=mask)
