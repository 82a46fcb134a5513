"""The three operations of a layer on the CPU, compiled; same results as :mod:`hypr.kernels.reference` up to rounding.

Samples are split over ``torch.get_num_threads()`` threads. No sum crosses a sample inside the kernels, so results are the same bits for any
number of threads. Trajectories that these kernels record keep the component axis outside the batch axis in memory (``states`` is a
transposed view), the layout in which their loops run; trajectories in another layout are copied.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu_carry import add_events, transport
from hypr.kernels.cpu_models import Model, model_of, supported, surrogate_arguments
from hypr.kernels.types import Eligibility, LayerCredit, LayerTrajectory, Mode
from hypr.neurons.base import Neuron

_DENSE_FROM = 0.25  # share of nonzero inputs above which a matrix product over time beats adding events
_ROW = 4096  # flat elements per kernel call at most, so that the rows of one step stay in the level-1 and level-2 caches


def supports(layer: Neuron, dtype: torch.dtype) -> bool:
    """Whether these kernels can run a layer in a dtype."""
    return dtype in (torch.float32, torch.float64) and supported(layer)


@torch.no_grad()
def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; never differentiable."""
    model, (steps, batch, _) = model_of(layer), pre.shape
    d, n = len(layer.state_names), layer.n
    flat = pre.reshape(steps * batch, layer.n_in)
    current = torch.addmm(layer.bias, flat, layer.weight.T) if layer.bias_in_current else flat @ layer.weight.T
    states, outputs = pre.new_empty(steps + 1, d, batch, n), pre.new_empty(steps + 1, batch, n)
    states[0], outputs[0] = state.transpose(0, 1), spikes
    recurrent = layer.recurrent_weight
    outgoing = pre.new_empty(0, 0) if recurrent is None else recurrent.T.contiguous()
    arguments = (
        _rows(states, steps + 1, d), _rows(outputs, steps + 1), _rows(current, steps),
        _coefficients(model, layer, batch), _constants(model.constants, pre), outgoing.numpy(),
    )  # fmt: skip
    _each_range(batch, n, lambda low, high: model.forward(*arguments, low * n, high * n))
    return LayerTrajectory(pre, states.transpose(1, 2), outputs, current.view(steps, batch, n))


@torch.no_grad()
def credit_layer(
    layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode = "detached", adjoint_end: Tensor | None = None
) -> LayerCredit:
    """See :func:`hypr.kernels.reference.credit_layer`."""
    model, (steps, batch, n) = model_of(layer), dz.shape
    d, full = len(layer.state_names), mode == "full"
    adjoint = dz.new_zeros(1, d, batch, n) if adjoint_end is None else adjoint_end.transpose(0, 1)[None].clone(memory_format=torch.contiguous_format)
    direct = None if full else torch.empty_like(dz, memory_format=torch.contiguous_format)
    d_current, later, sums = _scan(model, layer, trajectory, adjoint, full, dz=dz, direct=direct)
    gradients = model.gradients(sums[0].sum(1), _effective(layer))
    return LayerCredit(d_current[0], direct, gradients, adjoint[0].transpose(0, 1), later if full else None)


@torch.no_grad()
def carry_eligibility(
    layer: Neuron, trajectory: LayerTrajectory, eligibility: Eligibility, spike_filters: tuple[float, ...] = ()
) -> Eligibility:
    """See :func:`hypr.kernels.reference.carry_eligibility`.

    Row s of the product of Jacobians is the adjoint of state s at the window's end, so the gains are reverse scans that start from unit
    vectors; a filtered spike is one whose error at step t is ``(1 - kappa) kappa^(T - t)``.
    """
    model, (steps, batch, n) = model_of(layer), trajectory.current.shape
    d, extra = len(layer.state_names), len(spike_filters)
    like = trajectory.current
    adjoint, errors = like.new_zeros(d + extra, d, batch, n), like.new_zeros(d + extra, steps)
    for s in range(d):
        adjoint[s, s] = 1.0
    for s, kappa in enumerate(spike_filters, d):
        errors[s] = (1.0 - kappa) * kappa ** torch.arange(steps - 1, -1, -1, dtype=like.dtype)
    gains, _, sums = _scan(model, layer, trajectory, adjoint, False, errors=errors)
    onward = like.new_zeros(d + extra, d + extra, batch, n)
    onward[:, :d] = adjoint
    for s, kappa in enumerate(spike_filters, d):
        onward[s, s] = kappa**steps
    own = model.gradients(sums.transpose(0, 1), _effective(layer))
    old = eligibility.recurrent
    return Eligibility(
        weight=_carried(gains, onward, trajectory.pre, eligibility.weight),
        recurrent=None if old is None else _carried(gains, onward, trajectory.spikes[:-1], old),
        bias=None if eligibility.bias is None else _onward(onward, eligibility.bias) + gains.sum(1).transpose(0, 1),
        parameters={name: _onward(onward, e) + own[name].transpose(0, 1) for name, e in eligibility.parameters.items()},
    )


def _scan(
    model: Model, layer: Neuron, trajectory: LayerTrajectory, adjoint: Tensor, full: bool,
    dz: Tensor | None = None, errors: Tensor | None = None, direct: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Reverse scan of S adjoints (S, d, B, N), changed in place: dL/dI (S, T, B, N), dL/dz at the start (B, N), sums (S, k, B, N)."""
    (count, d, batch, n), steps, like = adjoint.shape, trajectory.steps, trajectory.current
    d_current, later = like.new_empty(count, steps, batch, n), like.new_empty(batch, n)
    sums, nothing = like.new_zeros(count, model.sums, batch, n), like.new_empty(0, 0)
    kind, shape = surrogate_arguments(layer.surrogate)
    recurrent = nothing if layer.recurrent_weight is None else layer.recurrent_weight.detach().contiguous()
    arguments = (
        _rows(trajectory.states.transpose(1, 2), steps + 1, d), _rows(trajectory.spikes, steps + 1), _rows(like, steps),
        _coefficients(model, layer, batch), _constants(model.constants, like), kind, _constants(shape, like),
        nothing.numpy() if dz is None else _rows(dz, steps), (nothing if errors is None else errors).numpy(), recurrent.numpy(), full,
        _rows(adjoint, count, d), later.view(-1).numpy(), _rows(d_current, count, steps),
        nothing.numpy() if direct is None else _rows(direct, steps), _rows(sums, count, model.sums),
    )  # fmt: skip
    _each_range(batch, n, lambda low, high: model.credit(*arguments, low * n, high * n))
    return d_current, later, sums


def _carried(gains: Tensor, onward: Tensor, pre: Tensor, old: Tensor) -> Tensor:
    """``onward old + sum_t gains^t pre^t`` (B, S, N, J), kept as a view of (B, J, S, N); old in any layout."""
    count, steps, batch, n = gains.shape
    old = old.permute(0, 3, 1, 2).contiguous()
    new, pre = torch.empty_like(old), pre.contiguous()
    onward_rows, new_rows, old_rows = _rows(onward, count, count), new.numpy(), old.numpy()
    _each_range(batch, n, lambda low, high: transport(onward_rows, old_rows, new_rows, low, high))
    if int(torch.count_nonzero(pre)) > _DENSE_FROM * pre.numel():
        over_time = gains.permute(2, 1, 0, 3).reshape(batch, steps, count * n)
        new.view(batch, -1, count * n).baddbmm_(pre.permute(1, 2, 0), over_time)
    else:
        gain_rows, inputs = _rows(gains, count, steps), pre.numpy()
        _each_range(batch, n, lambda low, high: add_events(gain_rows, inputs, new_rows, low, high))
    return new.permute(0, 2, 3, 1)


def _onward(onward: Tensor, value: Tensor) -> Tensor:
    """(S, S, B, N) times (B, S, N)."""
    return torch.einsum("skbn,bkn->bsn", onward, value)


def _effective(layer: Neuron) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in layer.effective().items()}


def _coefficients(model: Model, layer: Neuron, batch: int) -> np.ndarray:
    """(k, B N): per-neuron coefficients repeated per sample, as many samples as one kernel call may get."""
    values = torch.stack([value.detach() for value in model.coefficients(_effective(layer))])
    return values.repeat(1, batch).numpy()


def _constants(values: Any, like: Tensor) -> np.ndarray:
    return np.asarray(values, dtype=like.numpy().dtype)


def _rows(value: Tensor, *leading: int) -> np.ndarray:
    """A tensor (..., B, N) as a contiguous array (*leading, B N); shares memory where the layout allows."""
    return value.detach().contiguous().view(*leading, -1).numpy()


def _each_range(batch: int, n: int, call: Callable[[int, int], Any]) -> None:
    """``call(first, last)`` for ranges of samples that cover the batch, over threads where there are several."""
    threads = min(torch.get_num_threads(), batch)
    size = max(1, min(-(-batch // threads), _ROW // n))
    ranges = [(low, min(low + size, batch)) for low in range(0, batch, size)]
    if threads == 1 or len(ranges) == 1:
        for low, high in ranges:
            call(low, high)
        return
    for future in [_pool(threads).submit(call, low, high) for low, high in ranges]:
        future.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="hypr-kernels")
