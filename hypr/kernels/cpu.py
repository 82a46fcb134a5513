"""The operations of a layer on the CPU, compiled; same results as :mod:`hypr.kernels.reference` up to rounding.

Samples are split over ``torch.get_num_threads()`` threads. No sum crosses a sample inside the parallel kernels, so results are the same bits
for any number of threads. Trajectories that these kernels record keep the component axis outside the batch axis in memory (``states`` is a
transposed view), the layout in which their loops run, and eligibilities the presynaptic axis outside the neurons; other layouts are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu_carry import add_events, add_sums, count_nonzero, meet, transport
from hypr.kernels.cpu_loss import step_cross_entropy
from hypr.kernels.cpu_models import Model, model_of, supported, surrogate_arguments
from hypr.kernels.types import Eligibility, LayerCredit, LayerTrajectory, Mode
from hypr.neurons.base import Neuron

__all__ = ["boundary_gradient", "carry_eligibility", "credit_layer", "run_layer", "step_cross_entropy", "supports"]

_DENSE_FROM = 0.25  # share of nonzero inputs above which a matrix product over time beats adding events
_ROW = 4096  # flat elements per kernel call at most, so that the rows of one step stay in the level-1 and level-2 caches
_WORTH_A_THREAD = 50_000  # neuron updates per thread below which handing work over costs more than it saves


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
        _coefficients(model, _effective(layer), batch), _constants(model.constants, pre), outgoing.numpy(),
    )  # fmt: skip
    _each_range(steps, batch, n, lambda low, high: model.forward(*arguments, low * n, high * n))
    return LayerTrajectory(pre, states.transpose(1, 2), outputs, current.view(steps, batch, n))


@torch.no_grad()
def credit_layer(
    layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode = "detached", adjoint_end: Tensor | None = None
) -> LayerCredit:
    """See :func:`hypr.kernels.reference.credit_layer`."""
    model, (_, batch, n), full = model_of(layer), dz.shape, mode == "full"
    adjoint = dz.new_zeros(1, len(layer.state_names), batch, n)
    if adjoint_end is not None:
        adjoint[0] = adjoint_end.transpose(0, 1)
    direct = None if full else torch.empty_like(dz, memory_format=torch.contiguous_format)
    effective = _effective(layer)
    d_current, later, sums = _scan(model, layer, effective, trajectory, adjoint, full, dz=dz, direct=direct)
    gradients = model.gradients(sums[0].sum(1), effective)
    named = {name: torch.from_numpy(value) for name, value in gradients.items()}
    return LayerCredit(d_current[0], direct, named, adjoint[0].transpose(0, 1), later if full else None)


@torch.no_grad()
def carry_eligibility(
    layer: Neuron, trajectory: LayerTrajectory, eligibility: Eligibility, spike_filters: tuple[float, ...] = ()
) -> Eligibility:
    """See :func:`hypr.kernels.reference.carry_eligibility`.

    Row s of the product of Jacobians is the adjoint of state s at the window's end, so the gains are reverse scans that start from unit
    vectors; a filtered spike is one whose error at step t is ``(1 - kappa) kappa^(T - t)``.
    """
    model, effective, like = model_of(layer), _effective(layer), trajectory.current
    (steps, batch, n), d, count = like.shape, len(layer.state_names), len(layer.state_names) + len(spike_filters)
    adjoint = like.new_zeros(count, d, batch, n)
    errors = np.zeros((count, steps), like.numpy().dtype)
    onward = np.zeros((count, count, batch * n), errors.dtype)
    for s in range(d):
        adjoint[s, s] = 1.0
    for s, kappa in enumerate(spike_filters, d):
        errors[s] = (1.0 - kappa) * kappa ** np.arange(steps - 1.0, -1.0, -1.0)
        onward[s, s] = kappa**steps
    gains, _, sums = _scan(model, layer, effective, trajectory, adjoint, False, errors=errors)
    onward[:, :d] = adjoint.numpy().reshape(count, d, -1)
    own = model.gradients(sums.swapaxes(0, 1), effective)
    old, gain_rows = eligibility.recurrent, _rows(gains, count, steps)
    return Eligibility(
        weight=_carried(gains, onward, trajectory.pre, eligibility.weight),
        recurrent=None if old is None else _carried(gains, onward, trajectory.spikes[:-1], old),
        bias=None if eligibility.bias is None else _summed(gain_rows, onward, eligibility.bias),
        parameters={
            name: _summed(np.ascontiguousarray(own[name]).reshape(count, 1, -1), onward, value)
            for name, value in eligibility.parameters.items()
        },
    )


@torch.no_grad()
def boundary_gradient(adjoint: Tensor, eligibility: Eligibility) -> dict[str, Tensor]:
    """See :func:`hypr.kernels.reference.boundary_gradient`."""
    vector = adjoint.contiguous().numpy()

    def through(value: Tensor) -> Tensor:
        rows = value.permute(0, 3, 1, 2).contiguous().numpy()
        gradient = np.zeros((rows.shape[1], rows.shape[3]), rows.dtype)
        with _flushed():
            meet(vector, rows, gradient)
        return torch.from_numpy(gradient).T

    def own(value: Tensor) -> Tensor:
        return through(value[..., None])[:, 0]

    gradients = {"weight": through(eligibility.weight)}
    if eligibility.recurrent is not None:
        gradients["recurrent_weight"] = through(eligibility.recurrent)
    if eligibility.bias is not None:
        gradients["bias"] = own(eligibility.bias)
    return gradients | {f"effective/{name}": own(value) for name, value in eligibility.parameters.items()}


def _scan(
    model: Model, layer: Neuron, effective: dict[str, np.ndarray], trajectory: LayerTrajectory, adjoint: Tensor, full: bool,
    dz: Tensor | None = None, errors: np.ndarray | None = None, direct: Tensor | None = None,
) -> tuple[Tensor, Tensor, np.ndarray]:  # fmt: skip
    """Reverse scan of S adjoints (S, d, B, N), changed in place: dL/dI (S, T, B, N), dL/dz at the start (B, N), sums (S, k, B, N)."""
    (count, d, batch, n), steps, like = adjoint.shape, trajectory.steps, trajectory.current
    d_current, later = like.new_empty(count, steps, batch, n), like.new_empty(batch, n)
    nothing = np.empty((0, 0), like.numpy().dtype)
    sums = np.zeros((count, model.sums, batch * n), nothing.dtype)
    kind, shape = surrogate_arguments(layer.surrogate)
    recurrent = layer.recurrent_weight
    arguments = (
        _rows(trajectory.states.transpose(1, 2), steps + 1, d), _rows(trajectory.spikes, steps + 1), _rows(like, steps),
        _coefficients(model, effective, batch), _constants(model.constants, like), kind, _constants(shape, like),
        nothing if dz is None else _rows(dz, steps), nothing if errors is None else errors,
        nothing if recurrent is None else recurrent.detach().contiguous().numpy(), full,
        _rows(adjoint, count, d), later.view(-1).numpy(), _rows(d_current, count, steps),
        nothing if direct is None else _rows(direct, steps), sums,
    )  # fmt: skip
    _each_range(steps * count, batch, n, lambda low, high: model.credit(*arguments, low * n, high * n))
    return d_current, later, sums.reshape(count, model.sums, batch, n)


def _carried(gains: Tensor, onward: np.ndarray, pre: Tensor, old: Tensor) -> Tensor:
    """``onward old + sum_t gains^t pre^t`` (B, S, N, J), kept as a view of (B, J, S, N); old in any layout."""
    count, steps, batch, n = gains.shape
    rows = old.permute(0, 3, 1, 2).contiguous().numpy()
    inputs, new = pre.contiguous().numpy(), np.empty_like(rows)
    gain_rows = _rows(gains, count, steps)
    dense = count_nonzero(inputs.reshape(-1)) > _DENSE_FROM * inputs.size

    def update(low: int, high: int) -> None:
        transport(onward, rows, new, low, high)
        if not dense:
            add_events(gain_rows, inputs, new, low, high)

    _each_range(steps, batch, n, update)
    result = torch.from_numpy(new)
    if dense:
        over_time = gains.permute(2, 1, 0, 3).reshape(batch, steps, count * n)
        result.view(batch, -1, count * n).baddbmm_(pre.permute(1, 2, 0), over_time)
    return result.permute(0, 2, 3, 1)


def _summed(sums: np.ndarray, onward: np.ndarray, old: Tensor) -> Tensor:
    """``onward old + sum over the middle axis of sums (S, T, F)`` for a parameter of the neurons themselves, (B, S, N)."""
    rows = old.contiguous().numpy()[:, None]
    new = np.empty_like(rows)
    with _flushed():
        transport(onward, rows, new, 0, rows.shape[0])
        add_sums(sums, new, 0, rows.shape[0])
    return torch.from_numpy(new[:, 0])


def _effective(layer: Neuron) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in layer.effective().items()}


def _coefficients(model: Model, effective: dict[str, np.ndarray], batch: int) -> np.ndarray:
    """(k, B N): per-neuron coefficients repeated per sample."""
    values = model.coefficients(effective)
    repeated = np.empty((len(values), batch, values[0].size), values[0].dtype)
    for row, value in zip(repeated, values, strict=True):
        row[:] = value
    return repeated.reshape(len(values), -1)


def _constants(values: Sequence[float], like: Tensor) -> np.ndarray:
    return np.asarray(values, dtype=like.numpy().dtype)


def _rows(value: Tensor, *leading: int) -> np.ndarray:
    """A tensor (..., B, N) as a contiguous array (*leading, B N); shares memory where the layout allows."""
    return value.detach().contiguous().numpy().reshape(*leading, -1)


def _each_range(steps: int, batch: int, n: int, call: Callable[[int, int], Any]) -> None:
    """``call(first, last)`` for ranges of samples that cover the batch, over threads where the work is worth it."""
    threads = max(1, min(torch.get_num_threads(), batch, steps * batch * n // _WORTH_A_THREAD))
    size = max(1, min(-(-batch // threads), _ROW // n))
    ranges = [(low, min(low + size, batch)) for low in range(0, batch, size)]

    def work(low: int, high: int) -> None:
        with _flushed():
            call(low, high)

    if threads == 1 or len(ranges) == 1:
        for low, high in ranges:
            work(low, high)
        return
    for future in [_pool(threads).submit(work, low, high) for low, high in ranges]:
        future.result()


@contextmanager
def _flushed() -> Iterator[None]:
    """Numbers below the normal range count as zero in this thread: traces that decay in silence would run at a tenth of the speed."""
    smallest = np.float32(1e-45)
    already = smallest * np.float32(1.0) == 0.0
    if already:
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="hypr-kernels")
