"""The operations of a layer on the CPU, compiled; same results as :mod:`hypr.kernels.reference` up to rounding.

Samples are split over ``torch.get_num_threads()`` threads. Which sums of gradients cross samples depends on the shapes
alone, so results are the same bits for any number of threads. Trajectories recorded here keep an array for each state
component (``states`` is a transposed view), the layout in which the loops run; other layouts are copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypr.kernels.cpu_eligibility import PackedEligibility, named, pack, rows_of
from hypr.kernels.cpu_loss import step_cross_entropy
from hypr.kernels.cpu_models import model_of, supported, surrogate_arguments
from hypr.kernels.cpu_scan import forward
from hypr.kernels.cpu_threads import each, flushed, ranges, shares
from hypr.kernels.cpu_vectors import padded
from hypr.kernels.cpu_window import credit_window as credit
from hypr.kernels.derived import derived
from hypr.kernels.types import Boundary, Down, LayerGradient, LayerTrajectory, Mode, WindowCredit
from hypr.neurons.base import Neuron

__all__ = ["credit_window", "run_layer", "step_cross_entropy", "supports"]

_Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class _Numbers:
    """A layer's numbers as the kernels take them.

    Attributes:
        neuron: constants of the step, and which step.
        coefficients: each (B N,), repeated per sample.
        parameters: names of the P effective parameters.
        mixing: k arrays (P, N), which make gradients by them of the k sums of the kernels.
        outgoing: (N, padded N), row j = weights from neuron j; (0, 0) without recurrence. ``recurrent``: weights to i.
        kind, shape: of the surrogate.
    """

    neuron: tuple[float, ...]
    coefficients: _Arrays
    parameters: tuple[str, ...]
    mixing: _Arrays
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
    states: _Arrays
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


def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; never differentiable.

    Gradients taken from the trajectory later belong to the parameters that it was recorded with.
    """
    (steps, batch, _), d, n = pre.shape, len(layer.state_names), layer.n
    numbers = derived((_numbers, layer, batch), lambda: _numbers(layer, batch))
    flat, weight = pre.detach().reshape(steps * batch, layer.n_in), layer.weight.detach().T
    current = torch.addmm(layer.bias.detach(), flat, weight) if layer.bias_in_current else flat @ weight
    states, outputs = (np.empty((*lead, batch * n), numbers.shape.dtype) for lead in ((d, steps + 1), (steps + 1,)))
    states[:, 0] = state.detach().numpy().transpose(1, 0, 2).reshape(d, -1)
    outputs[0] = spikes.detach().numpy().reshape(-1)
    rows = _Rows(numbers, tuple(states), outputs, current.numpy().reshape(steps, -1))
    arguments = (numbers.neuron, rows.states, rows.spikes, rows.current, numbers.coefficients, numbers.outgoing)
    with flushed():
        each(ranges(steps, batch, n), steps * n, lambda _, low, high: forward(*arguments, low * n, (high - low) * n))
    trajectory = _Recorded(
        pre,
        torch.from_numpy(states).view(d, steps + 1, batch, n).permute(1, 2, 0, 3),
        torch.from_numpy(outputs).view(steps + 1, batch, n),
        current.view(steps, batch, n),
    )
    object.__setattr__(trajectory, "rows", rows)  # the class is frozen for its users
    return trajectory


def credit_window(
    layer: Neuron,
    trajectory: LayerTrajectory,
    dz: Tensor,
    gradient: LayerGradient,
    mode: Mode,
    boundary: Boundary,
    down: Down,
) -> WindowCredit:
    """See :func:`hypr.kernels.composed.credit_window`."""
    rows, (steps, batch, n), filters = _rows(layer, trajectory), dz.shape, boundary.spike_filters
    numbers, dtype, d = rows.numbers, rows.spikes.dtype, len(rows.states)
    count = rows_of(layer, numbers.parameters)
    old = np.empty((0, 0, 0, 0), dtype) if boundary.before is None else pack(boundary.before)
    new = np.empty((batch, count, d + len(filters), n) if boundary.onward else (0, 0, 0, 0), dtype)
    leaving = np.empty((0, 0) if down == "nothing" else (steps, batch * n), dtype)
    start, later = np.empty((d, batch * n), dtype), np.empty(batch * n, dtype)
    filtered, own = _filtered(boundary, batch * n, dtype)
    parts = shares(batch, n)
    sums = np.zeros((len(parts), count, n), dtype)
    arguments = (
        numbers.neuron, rows.states, rows.spikes, rows.current, numbers.coefficients, numbers.kind, numbers.shape,
        _flat(dz, steps), numbers.recurrent, mode == "full", numbers.mixing, layer.bias_in_current,
        trajectory.pre.detach().contiguous().numpy(), np.array(filters, np.float64),
        leaving, down == "whole", old, filtered, own, new, start, later,
    )  # fmt: skip
    work = steps * n * (1 + new.shape[2])
    with flushed():
        each(parts, work, lambda index, low, high: credit(*arguments, sums[index], low, high))
    _add(gradient, sums, layer, numbers.parameters)
    return WindowCredit(
        None if down == "nothing" else torch.from_numpy(leaving).view(steps, batch, n),
        torch.from_numpy(start).view(d, batch, n).transpose(0, 1),
        PackedEligibility(new, layer, numbers.parameters) if boundary.onward else None,
    )


def _filtered(boundary: Boundary, flat: int, dtype: np.dtype) -> tuple[np.ndarray, int]:
    """Adjoints of the filtered spikes (filters, F), and the number of the one that the scan yields, or -1."""
    values, own = np.empty((len(boundary.filtered), flat), dtype), -1
    for index, value in enumerate(boundary.filtered):
        if value is None:
            own = index
        else:
            values[index] = value.detach().reshape(-1).numpy()
    return values, own


def _add(gradient: LayerGradient, sums: np.ndarray, layer: Neuron, parameters: tuple[str, ...]) -> None:
    """Adds (shares, K, N); the first time makes the sums, as views of one array."""
    total = sums[0] if len(sums) == 1 else sums.sum(0)
    if gradient.packed is None:
        gradient.packed = total
        for name, value in named(torch.from_numpy(total), layer, parameters).items():
            gradient.add(name, value)
    else:
        gradient.packed += total


def _rows(layer: Neuron, trajectory: LayerTrajectory) -> _Rows:
    if isinstance(trajectory, _Recorded) and trajectory.rows is not None:
        return trajectory.rows
    steps, batch, _ = trajectory.current.shape
    return _Rows(
        derived((_numbers, layer, batch), lambda: _numbers(layer, batch)),
        states=tuple(_flat(component, steps + 1) for component in trajectory.states.unbind(2)),
        spikes=_flat(trajectory.spikes, steps + 1),
        current=_flat(trajectory.current, steps),
    )


def _numbers(layer: Neuron, batch: int) -> _Numbers:
    effective = {name: value.detach().numpy() for name, value in layer.effective().items()}
    model = model_of(layer, effective)
    dtype, n = model.coefficients[0].dtype, layer.n
    coefficients = np.empty((len(model.coefficients), batch, n), dtype)
    for row, values in zip(coefficients, model.coefficients, strict=True):
        row[:] = values
    factors = [model.gradients[name] for name in effective]
    mixing = np.empty((len(factors[0]), len(effective), n), dtype)
    for p, row in enumerate(factors):
        for k, factor in enumerate(row):
            mixing[k, p] = factor
    outgoing = recurrent = np.empty((0, 0), dtype)
    if layer.recurrent_weight is not None:
        recurrent = np.zeros((n, padded(n)), dtype)
        outgoing = np.zeros_like(recurrent)
        recurrent[:, :n] = layer.recurrent_weight.detach().numpy()
        outgoing[:, :n] = recurrent[:, :n].T
    kind, shape = surrogate_arguments(layer)
    return _Numbers(
        neuron=model.neuron(*np.array(model.constants, dtype)),
        coefficients=tuple(coefficients.reshape(len(coefficients), -1)),
        parameters=tuple(effective),
        mixing=tuple(mixing),
        outgoing=outgoing,
        recurrent=recurrent,
        kind=kind,
        shape=np.array(shape, dtype),
    )


def _flat(value: Tensor, leading: int) -> np.ndarray:
    """A tensor (leading, B, N) as a contiguous array (leading, B N); shares memory where the layout allows."""
    return value.detach().contiguous().numpy().reshape(leading, -1)
