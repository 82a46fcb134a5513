"""The operations of a layer on the CPU, compiled; same results as :mod:`hypr.kernels.reference` up to rounding.

Samples are split over ``torch.get_num_threads()`` threads. No sum crosses a sample inside the parallel kernels, so
results are the same bits for any number of threads. Trajectories recorded here keep the component axis outside the
batch axis in memory (``states`` is a transposed view), the layout in which the loops run; other layouts are copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu_eligibility import boundary_gradient, carry
from hypr.kernels.cpu_loss import step_cross_entropy
from hypr.kernels.cpu_models import Model, model_of, supported, surrogate_arguments
from hypr.kernels.cpu_threads import each_range, flushed
from hypr.kernels.derived import derived
from hypr.kernels.types import Eligibility, LayerCredit, LayerTrajectory, Mode
from hypr.neurons.base import Neuron

__all__ = ["boundary_gradient", "carry_eligibility", "credit_layer", "run_layer", "step_cross_entropy", "supports"]


@dataclass(frozen=True)
class _Numbers:
    """A layer's numbers as the kernels take them, per-neuron coefficients repeated for a batch.

    Attributes:
        parameters: names of the P effective parameters.
        mixing: (P, k, N), which makes gradients by them of the k sums of the kernels.
        outgoing: (N, N), row j = weights from neuron j; (0, 0) without recurrence. ``recurrent`` is its transpose.
        kind, shape: of the surrogate.
    """

    model: Model
    parameters: tuple[str, ...]
    mixing: np.ndarray
    coefficients: np.ndarray
    constants: np.ndarray
    outgoing: np.ndarray
    recurrent: np.ndarray
    kind: int
    shape: np.ndarray


@dataclass(frozen=True)
class _Rows:
    """A trajectory as the kernels take it, sharing memory with the tensors where their layout allows; and its layer's
    numbers.
    """

    numbers: _Numbers
    states: np.ndarray
    spikes: np.ndarray
    current: np.ndarray


@dataclass(frozen=True)
class _Recorded(LayerTrajectory):
    """A trajectory that these kernels recorded, with its rows. ``dataclasses.replace`` drops them, so they never go
    stale.
    """

    rows: _Rows | None = field(default=None, init=False, repr=False, compare=False)


def supports(layer: Neuron, dtype: torch.dtype) -> bool:
    """Whether these kernels can run a layer in a dtype."""
    return dtype in (torch.float32, torch.float64) and supported(layer)


@torch.no_grad()
def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; never differentiable.

    Gradients taken from the trajectory later belong to the parameters that it was recorded with.
    """
    (steps, batch, _), d, n = pre.shape, len(layer.state_names), layer.n
    flat = pre.reshape(steps * batch, layer.n_in)
    current = torch.addmm(layer.bias, flat, layer.weight.T) if layer.bias_in_current else flat @ layer.weight.T
    states, outputs = pre.new_empty(steps + 1, d, batch, n), pre.new_empty(steps + 1, batch, n)
    states[0], outputs[0] = state.transpose(0, 1), spikes
    trajectory = _Recorded(pre, states.transpose(1, 2), outputs, current.view(steps, batch, n))
    rows = _rows(layer, trajectory)
    object.__setattr__(trajectory, "rows", rows)  # the class is frozen for its users
    numbers = rows.numbers
    arguments = (rows.states, rows.spikes, rows.current, numbers.coefficients, numbers.constants, numbers.outgoing)
    with flushed():
        each_range(steps, batch, n, lambda low, high: numbers.model.forward(*arguments, low * n, high * n))
    return trajectory


def credit_layer(
    layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode = "detached", adjoint_end: Tensor | None = None
) -> LayerCredit:
    """See :func:`hypr.kernels.reference.credit_layer`."""
    rows, (steps, batch, n), full = _rows(layer, trajectory), dz.shape, mode == "full"
    errors = dz.detach().contiguous().numpy().reshape(steps, -1)
    adjoint = np.zeros((1, len(layer.state_names), batch * n), errors.dtype)
    if adjoint_end is not None:
        adjoint[0] = adjoint_end.detach().transpose(0, 1).reshape(adjoint.shape[1], -1).numpy()
    direct = np.empty((0, 0), errors.dtype) if full else np.empty_like(errors)
    d_current, later, sums = _scan(rows, adjoint, full, n, dz=errors, direct=direct)
    numbers = rows.numbers
    gradients = (numbers.mixing * sums[0].reshape(-1, batch, n).sum(1)).sum(1)
    return LayerCredit(
        d_current=torch.from_numpy(d_current).view(steps, batch, n),
        d_direct=None if full else torch.from_numpy(direct).view(steps, batch, n),
        d_parameters=dict(zip(numbers.parameters, torch.from_numpy(gradients).unbind(), strict=True)),
        adjoint_start=torch.from_numpy(adjoint).view(-1, batch, n).transpose(0, 1),
        dz_start=torch.from_numpy(later).view(batch, n) if full else None,
    )


def carry_eligibility(
    layer: Neuron, trajectory: LayerTrajectory, eligibility: Eligibility, spike_filters: tuple[float, ...] = ()
) -> Eligibility:
    """See :func:`hypr.kernels.reference.carry_eligibility`.

    Row s of the product of Jacobians is the adjoint of state s at the window's end, so the gains are reverse scans that
    start from unit vectors; a filtered spike is one whose error at step t is ``(1 - kappa) kappa^(T - t)``.
    """
    rows, (steps, batch, n) = _rows(layer, trajectory), trajectory.current.shape
    d, count, dtype = len(layer.state_names), len(layer.state_names) + len(spike_filters), rows.current.dtype
    adjoint, errors = np.zeros((count, d, batch * n), dtype), np.zeros((count, steps), dtype)
    onward = np.zeros((count, count, batch * n), dtype)
    for s in range(d):
        adjoint[s, s] = 1.0
    for s, kappa in enumerate(spike_filters, d):
        errors[s] = (1.0 - kappa) * kappa ** np.arange(steps - 1.0, -1.0, -1.0)
        onward[s, s] = kappa**steps
    gains, _, sums = _scan(rows, adjoint, False, n, errors=errors)
    onward[:, :d] = adjoint
    return carry(gains.reshape(count, steps, -1), onward, sums, rows.numbers.mixing, trajectory, eligibility)


def _scan(
    rows: _Rows, adjoint: np.ndarray, full: bool, n: int,
    dz: np.ndarray | None = None, errors: np.ndarray | None = None, direct: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Reverse scan of S adjoints (S, d, F), in place: dL/dI (S, T, F), dL/dz at the start (F,), sums (S, k, F)."""
    (count, _, flat), steps, dtype = adjoint.shape, rows.current.shape[0], rows.current.dtype
    d_current, later, nothing = np.empty((count, steps, flat), dtype), np.empty(flat, dtype), np.empty((0, 0), dtype)
    numbers, sums = rows.numbers, np.zeros((count, rows.numbers.model.sums, flat), dtype)
    arguments = (
        rows.states, rows.spikes, rows.current, numbers.coefficients, numbers.constants, numbers.kind, numbers.shape,
        nothing if dz is None else dz, nothing if errors is None else errors, numbers.recurrent, full,
        adjoint, later, d_current, nothing if direct is None else direct, sums,
    )  # fmt: skip
    with flushed():
        each_range(steps * count, flat // n, n, lambda low, high: numbers.model.credit(*arguments, low * n, high * n))
    return (d_current[0] if count == 1 else d_current), later, sums


def _rows(layer: Neuron, trajectory: LayerTrajectory) -> _Rows:
    if isinstance(trajectory, _Recorded) and trajectory.rows is not None:
        return trajectory.rows
    steps, batch, _ = trajectory.current.shape
    return _Rows(
        derived((_numbers, layer, batch), lambda: _numbers(layer, batch)),
        states=_flat(trajectory.states.transpose(1, 2), steps + 1, trajectory.states.shape[2]),
        spikes=_flat(trajectory.spikes, steps + 1),
        current=_flat(trajectory.current, steps),
    )


def _numbers(layer: Neuron, batch: int) -> _Numbers:
    model, effective = model_of(layer), {name: value.detach().numpy() for name, value in layer.effective().items()}
    dtype = next(iter(effective.values())).dtype
    weight = layer.recurrent_weight
    recurrent = np.empty((0, 0), dtype) if weight is None else weight.detach().contiguous().numpy()
    kind, shape = surrogate_arguments(layer.surrogate) if layer.spiking else (0, [0.0])
    return _Numbers(
        model,
        tuple(effective),
        mixing=_mixing(model, effective),
        coefficients=_repeated(model.coefficients(effective), batch),
        constants=np.array(model.constants, dtype),
        outgoing=np.ascontiguousarray(recurrent.T),
        recurrent=recurrent,
        kind=kind,
        shape=np.array(shape, dtype),
    )


def _mixing(model: Model, effective: dict[str, np.ndarray]) -> np.ndarray:
    """(P, k, N): gradients are linear in the sums, so those of unit sums say all."""
    some = next(iter(effective.values()))
    units = np.repeat(np.eye(model.sums, dtype=some.dtype)[:, :, None], some.size, axis=2)
    gradients = model.gradients(units, effective)
    return np.stack([gradients[name] for name in effective])


def _flat(value: Tensor, *leading: int) -> np.ndarray:
    """A tensor (..., B, N) as a contiguous array (*leading, B N); shares memory where the layout allows."""
    return value.detach().contiguous().numpy().reshape(*leading, -1)


def _repeated(values: Sequence[np.ndarray], batch: int) -> np.ndarray:
    """(k, B N): per-neuron coefficients repeated per sample."""
    repeated = np.empty((len(values), batch, values[0].size), values[0].dtype)
    for row, value in zip(repeated, values, strict=True):
        row[:] = value
    return repeated.reshape(len(values), -1)
