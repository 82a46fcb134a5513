"""The operations of a layer on the CPU, compiled; same results as :mod:`hypr.kernels.reference` up to rounding.

The forward scan splits samples over ``torch.get_num_threads()`` threads. The P-stage splits them in a few shares with
sums of their own (:func:`hypr.kernels.cpu.threads.shares`), which depend on the shapes alone: results are the same bits
for any number of threads, and a small batch of a narrow layer keeps two threads busy, not sixteen. Trajectories
recorded here keep an array for each state component (``states`` is a permuted view), the layout in which the loops run;
other layouts are copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels.cpu.eligibility import PackedEligibility, named, pack, rows_of
from hypr.kernels.cpu.loss import step_cross_entropy
from hypr.kernels.cpu.memory import empty
from hypr.kernels.cpu.models import model_of, supported, surrogate_arguments
from hypr.kernels.cpu.scan import ALL, NONE, OWN, Numbers, Rows, forward
from hypr.kernels.cpu.threads import each, flushed, ranges, shares, short
from hypr.kernels.cpu.vectors import padded
from hypr.kernels.cpu.wide import BLOCK, TILE_NUMBERS, credit_wide
from hypr.kernels.cpu.window import Ends
from hypr.kernels.cpu.window import credit_window as credit_narrow
from hypr.kernels.derived import derived
from hypr.kernels.types import Boundary, Down, LayerGradient, LayerTrajectory, Mode, WindowCredit
from hypr.neurons.base import Neuron

__all__ = ["credit_window", "run_layer", "step_cross_entropy", "supports"]


WIDEST = TILE_NUMBERS
"""Products of all neurons up to which they are summed in one piece."""


@dataclass(frozen=True)
class _Layer:
    """A layer as the kernels take it, and the names of its effective parameters."""

    numbers: Numbers
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class _Window:
    """A trajectory as the kernels take it, sharing memory with the tensors where their layout allows; and its layer."""

    layer: _Layer
    rows: Rows


@dataclass(frozen=True)
class _Recorded(LayerTrajectory):
    """A trajectory that these kernels recorded, as they take it. ``dataclasses.replace`` drops that, so it never goes
    stale.
    """

    window: _Window | None = field(default=None, init=False, repr=False, compare=False)


def supports(layer: Neuron, dtype: torch.dtype) -> bool:
    """Whether these kernels can run a layer in a dtype."""
    return dtype in (torch.float32, torch.float64) and supported(layer)


def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; never differentiable.

    Gradients taken from the trajectory later belong to the parameters that it was recorded with.
    """
    (steps, batch, _), d, n = pre.shape, len(layer.state_names), layer.n
    known = derived((_layer, layer, batch), lambda: _layer(layer, batch))
    dtype = known.numbers.shape.dtype
    states, outputs = empty((d, steps + 1, batch * n), dtype), empty((steps + 1, batch * n), dtype)
    currents = empty((steps, batch * n), dtype)
    current, flat = torch.from_numpy(currents).view(steps * batch, n), pre.detach().reshape(steps * batch, layer.n_in)
    if layer.bias_in_current:
        torch.addmm(layer.bias.detach(), flat, layer.weight.detach().T, out=current)
    else:
        torch.mm(flat, layer.weight.detach().T, out=current)
    states[:, 0] = state.detach().numpy().transpose(1, 0, 2).reshape(d, -1)
    outputs[0] = spikes.detach().numpy().reshape(-1)
    window = _Window(known, Rows(tuple(states), outputs, currents))
    with flushed():
        each(
            ranges(steps, batch, n), steps * n,
            lambda _, low, high: forward(known.numbers, window.rows, low * n, (high - low) * n),
        )  # fmt: skip
    trajectory = _Recorded(
        pre,
        torch.from_numpy(states).view(d, steps + 1, batch, n).permute(1, 2, 0, 3),
        torch.from_numpy(outputs).view(steps + 1, batch, n),
        current.view(steps, batch, n),
    )
    object.__setattr__(trajectory, "window", window)  # the class is frozen for its users
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
    """See :func:`hypr.kernels.composed.credit_window`. A value that is not finite does not spread through inputs that
    are zero, as it does in a matrix product.
    """
    window, (steps, batch, n) = _window(layer, trajectory), dz.shape
    rows, parameters, d = window.rows, window.layer.parameters, len(window.rows.states)
    dtype, count = rows.spikes.dtype, rows_of(layer, parameters)
    leaving = empty((0, 0) if down == "nothing" else (steps, batch * n), dtype)
    components = d + len(boundary.spike_filters)
    wide = boundary.onward and count * (1 + components) * n > WIDEST
    start = np.empty((d, batch * n), dtype)
    ends = _ends(boundary, (batch, count, components, n), dtype, mode, wide and steps <= BLOCK)
    arguments = (
        window.layer.numbers, rows, trajectory.pre.detach().contiguous().numpy(), _flat(dz, steps),
        layer.bias_in_current, ends, leaving, down == "whole", start,
    )  # fmt: skip
    credit = credit_wide if wide else credit_narrow
    parts = shares(batch, n, count)
    sums = np.zeros((len(parts), count, n), dtype)

    def share(index: int, first: int, last: int) -> None:
        for low, high in short(first, last, n):
            credit(*arguments, sums[index], low, high)

    with flushed():
        each(parts, steps * n * (1 + ends.after.shape[2]), share)
    _add(gradient, sums, layer, parameters)
    return WindowCredit(
        None if down == "nothing" else torch.from_numpy(leaving).view(steps, batch, n),
        torch.from_numpy(start).view(d, batch, n).transpose(0, 1),
        PackedEligibility(ends.after, layer, parameters) if boundary.onward else None,
    )


_PATHS = {"detached": NONE, "own": OWN, "full": ALL}


def _ends(boundary: Boundary, shape: tuple[int, int, int, int], dtype: np.dtype, mode: Mode, row_by_row: bool) -> Ends:
    """The window's ends as the kernels take them; ``shape`` (B, K, S, N); ``row_by_row``: they have read a row of the
    eligibility of before when they write that of after.
    """
    batch, n = shape[0], shape[-1]
    before = np.empty((0, 0, 0, 0), dtype) if boundary.before is None else pack(boundary.before)
    if boundary.before is not None and before.shape != shape:
        raise HyprError(f"boundary.before has shape {before.shape} (samples, rows, components, neurons), not {shape}")
    filtered, own = np.empty((len(boundary.filtered), batch * n), dtype), -1
    for index, value in enumerate(boundary.filtered):
        if value is None:
            own = index
        else:
            filtered[index] = value.detach().reshape(-1).numpy()
    if row_by_row and boundary.overwritable and isinstance(boundary.before, PackedEligibility):
        after = before  # a third less to move
    else:
        after = empty(shape if boundary.onward else (0, 0, 0, 0), dtype)
    paths = (_PATHS[mode], OWN if boundary.own_spike else NONE)
    return Ends(before, np.array(boundary.spike_filters, np.float64), filtered, own, paths, after)


def _add(gradient: LayerGradient, sums: np.ndarray, layer: Neuron, parameters: tuple[str, ...]) -> None:
    """Adds (shares, K, N); the first time makes the sums, as views of one array."""
    total = sums[0] if len(sums) == 1 else sums.sum(0)
    if gradient.array is not None:
        gradient.array += total
        return
    views = named(torch.from_numpy(total), layer, parameters)
    if gradient.sums:
        for name, value in views.items():
            gradient.add(name, value)
    else:
        gradient.array, gradient.sums = total, views


def _window(layer: Neuron, trajectory: LayerTrajectory) -> _Window:
    if isinstance(trajectory, _Recorded) and trajectory.window is not None:
        return trajectory.window
    steps, batch, _ = trajectory.current.shape
    rows = Rows(
        states=tuple(_flat(component, steps + 1) for component in trajectory.states.unbind(2)),
        spikes=_flat(trajectory.spikes, steps + 1),
        current=_flat(trajectory.current, steps),
    )
    return _Window(derived((_layer, layer, batch), lambda: _layer(layer, batch)), rows)


def _layer(layer: Neuron, batch: int) -> _Layer:
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
    numbers = Numbers(
        neuron=model.neuron(*np.array(model.constants, dtype)),
        coefficients=tuple(coefficients.reshape(len(coefficients), -1)),
        mixing=tuple(mixing),
        outgoing=outgoing,
        recurrent=recurrent,
        kind=kind,
        shape=np.array(shape, dtype),
    )
    return _Layer(numbers, tuple(effective))


def _flat(value: Tensor, leading: int) -> np.ndarray:
    """A tensor (leading, B, N) as a contiguous array (leading, B N); shares memory where the layout allows."""
    return value.detach().contiguous().numpy().reshape(leading, -1)
