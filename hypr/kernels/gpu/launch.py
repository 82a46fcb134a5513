"""Launches of the scans: a window at once, or step by step inside CUDA graphs.

A CUDA graph remembers addresses, so the step-by-step route works on buffers of its own that hold :data:`CHUNK` steps;
each chunk of the window is copied in, replayed and copied out. Without a CUDA device (Triton's interpreter) the same
launches run one by one; tests/gpu runs capture and replay.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hypr.kernels.gpu.models import Model
from hypr.kernels.gpu.plan import CHUNK, Plan
from hypr.kernels.gpu.scan import credit_scan, forward_scan

_STAGES = 3  # buffers of the weights' tiles inside one product
_KEPT_GRAPHS = 16


@dataclass(frozen=True)
class Forward:
    """Tensors of :func:`hypr.kernels.gpu.scan.forward_scan`; ``outgoing`` None without recurrence."""

    states: Tensor
    spikes: Tensor
    current: Tensor
    coefficients: Tensor
    constants: Tensor
    outgoing: Tensor | None


@dataclass(frozen=True)
class Credit:
    """Tensors of :func:`hypr.kernels.gpu.scan.credit_scan`, rows in ascending time; d_current (S, T + 1, B, N).

    ``dz`` None: one error per scan and step, ``errors`` (S, T). ``direct`` None in full mode and with ``errors``.
    ``synapses`` (N,): weights of the neurons to themselves, where own spikes pass errors on, else None; ``later``
    (S, B, N) then, and (1, B, N) in full mode.
    """

    states: Tensor
    spikes: Tensor
    current: Tensor
    coefficients: Tensor
    constants: Tensor
    dz: Tensor | None
    errors: Tensor | None
    recurrent: Tensor | None
    synapses: Tensor | None
    adjoints: Tensor
    later: Tensor
    d_current: Tensor
    direct: Tensor | None
    sums: Tensor


def forward(model: Model, plan: Plan, data: Forward) -> None:
    """S-stage of a window, in place."""
    if plan.route == "whole":
        _forward(model, plan, data, 0, data.current.shape[0])
        return

    def part(first: int, stop: int) -> Forward:
        return Forward(
            data.states[first : stop + 1], data.spikes[first : stop + 1], data.current[first:stop],
            data.coefficients, data.constants, data.outgoing,
        )  # fmt: skip

    in_chunks(
        (model.code, model.option, plan), data.current.shape[0], part, ("states", "spikes", "current"),
        lambda held: _forward_by_step(model, plan, held),
    )  # fmt: skip


def credit(model: Model, plan: Plan, data: Credit, full: bool) -> None:
    """P-stage of a window, in place: adjoints, later and sums go from the window's end to its start."""
    steps = data.current.shape[0]
    if plan.route == "whole":
        _credit(model, plan, data, steps - 1, steps, full)
        return

    def part(first: int, stop: int) -> Credit:
        assert data.dz is not None  # scans with one error for all neurons exchange nothing: one launch
        return Credit(
            data.states[first:stop], data.spikes[first:stop], data.current[first:stop], data.coefficients,
            data.constants, data.dz[first:stop], None, data.recurrent, None, data.adjoints, data.later,
            data.d_current[:, first : stop + 1], None, data.sums,
        )  # fmt: skip

    in_chunks(
        (model.code, model.option, model.surrogate, plan, full), steps, part,
        ("adjoints", "later", "sums", "d_current"), lambda held: _credit_by_step(model, plan, held, full), back=True,
    )  # fmt: skip


def in_chunks(
    key: Hashable, steps: int, part: Callable[[int, int], Any], written: tuple[str, ...], run: Callable[[Any], None],
    back: bool = False,
) -> None:  # fmt: skip
    """Runs ``steps`` single-step launches in chunks of :data:`CHUNK`: from graphs on a CUDA device, directly elsewhere.

    Args:
        key: everything that ``run`` depends on besides the shapes of its tensors.
        part: (first, stop) -> the dataclass of tensors of these steps, with a field ``states``.
        written: fields that ``run`` changes.
        run: launches every step of such a part, in place.
        back: from the last chunk to the first.
    """
    starts = range(0, steps, CHUNK)
    for first in reversed(starts) if back else starts:
        data = part(first, min(first + CHUNK, steps))
        if data.states.device.type != "cuda":
            run(data)
            continue
        with torch.cuda.device_of(data.states):
            _graph(key, data, run)(data, written)


def _forward_by_step(model: Model, plan: Plan, data: Forward) -> None:
    for t in range(data.current.shape[0]):
        _forward(model, plan, data, t, 1)


def _credit_by_step(model: Model, plan: Plan, data: Credit, full: bool) -> None:
    for t in reversed(range(data.current.shape[0])):
        _credit(model, plan, data, t, 1, full)


def _forward(model: Model, plan: Plan, data: Forward, first: int, steps: int) -> None:
    """``steps`` steps from ``first`` in one launch."""
    (_, batch, d, n), recurrent = data.states.shape, data.outgoing is not None
    with torch.cuda.device_of(data.states):
        forward_scan[plan.grid(batch, n)](
            data.states[first:], data.spikes[first:], data.current[first:], data.coefficients, data.constants,
            data.outgoing if recurrent else data.constants, steps, batch, n,
            MODEL=model.code, OPTION=model.option, D=d, C=data.coefficients.shape[0],
            RECURRENT=recurrent, RESIDENT=plan.resident, DOT=plan.dot, TILES=plan.tiles, STAGES=_STAGES,
            BLOCK_B=plan.block_b, BLOCK_N=plan.block_n, BLOCK_K=plan.block_k, num_warps=plan.warps, num_stages=1,
        )  # fmt: skip


def _credit(model: Model, plan: Plan, data: Credit, last: int, steps: int, full: bool) -> None:
    """``steps`` steps back from ``last`` in one launch."""
    (_, batch, d, n), recurrent, uniform = data.states.shape, data.recurrent is not None, data.dz is None
    nothing = data.constants  # stands for tensors that this launch never touches
    errors = nothing if data.errors is None else data.errors[:, last:]
    with torch.cuda.device_of(data.states):
        credit_scan[plan.grid(batch, n, data.adjoints.shape[0])](
            data.states[last:], data.spikes[last:], data.current[last:], data.coefficients, data.constants,
            nothing if data.dz is None else data.dz[last:], errors,
            nothing if data.recurrent is None else data.recurrent, nothing if data.synapses is None else data.synapses,
            data.adjoints, data.later, data.d_current[:, last:], nothing if data.direct is None else data.direct[last:],
            data.sums, data.d_current.stride(0), 0 if data.errors is None else data.errors.stride(0), steps, batch, n,
            MODEL=model.code, OPTION=model.option, SURROGATE=model.surrogate, D=d, C=data.coefficients.shape[0],
            G=data.sums.shape[1], FULL=full, OWN=data.synapses is not None, RECURRENT=recurrent, UNIFORM=uniform,
            RESIDENT=plan.resident, DOT=plan.dot, TILES=plan.tiles, STAGES=_STAGES,
            BLOCK_B=plan.block_b, BLOCK_N=plan.block_n, BLOCK_K=plan.block_k, num_warps=plan.warps, num_stages=1,
        )  # fmt: skip


class _Graph:
    """The launches of one chunk, captured on tensors of its own."""

    def __init__(self, data: Any, run: Callable[[Any], Any]) -> None:
        self.held = _copied(data)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run(self.held)  # compiles the kernels, which a capture cannot
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            run(self.held)

    def __call__(self, data: Any, written: tuple[str, ...]) -> None:
        for name, value in vars(data).items():
            if value is not None:
                getattr(self.held, name).copy_(value)
        self._graph.replay()
        for name in written:
            getattr(data, name).copy_(getattr(self.held, name))


_graphs: OrderedDict[Any, _Graph] = OrderedDict()


def _graph(key: Hashable, data: Any, run: Callable[[Any], None]) -> _Graph:
    """The graph of a chunk of this kind and shape, captured on first use."""
    shapes = tuple((name, None if value is None else tuple(value.shape)) for name, value in vars(data).items())
    whole = (type(data), data.states.device, data.states.dtype, key, shapes)
    if whole not in _graphs:
        while len(_graphs) >= _KEPT_GRAPHS:
            _graphs.popitem(last=False)
        _graphs[whole] = _Graph(data, run)
    _graphs.move_to_end(whole)
    return _graphs[whole]


def _copied(data: Any) -> Any:
    """Contiguous tensors of the same shapes and values."""
    return type(data)(**{name: None if v is None else v.contiguous().clone() for name, v in vars(data).items()})
