"""The one place that decides which implementation runs an operation of a layer.

``HYPR_KERNELS`` or :func:`use` choose: ``auto`` (compiled where they support the layer, else the reference),
``reference``, ``compiled`` (an error where nothing compiled supports the layer; for benchmarks and tests),
``interpret`` (GPU kernels on CPU tensors, for tests: Triton's interpreter, ``TRITON_INTERPRET=1``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels import composed, reference
from hypr.kernels.derived import derived
from hypr.kernels.types import Boundary, Down, LayerGradient, LayerTrajectory, Mode, WindowCredit
from hypr.neurons.base import Neuron

CHOICES = ("auto", "reference", "compiled", "interpret")
_MODULES = {"cpu": "hypr.kernels.cpu.operations", "cuda": "hypr.kernels.gpu.operations"}
_choice: ContextVar[str | None] = ContextVar("hypr_kernels", default=None)


@contextmanager
def use(choice: str) -> Iterator[None]:
    """Force a choice of :data:`CHOICES` inside a ``with`` block (this thread)."""
    token = _choice.set(_checked(choice, "hypr.kernels.dispatch.use"))
    try:
        yield
    finally:
        _choice.reset(token)


def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; always the reference where gradients are recorded."""
    if torch.is_grad_enabled() and any(p.requires_grad for p in (*layer.parameters(), pre, state)):
        return reference.run_layer(layer, pre, state, spikes)
    return _kernels(layer).run_layer(layer, pre, state, spikes)


def credit_window(
    layer: Neuron,
    trajectory: LayerTrajectory,
    dz: Tensor,
    gradient: LayerGradient,
    mode: Mode = "detached",
    boundary: Boundary = Boundary(),  # noqa: B008 (frozen)
    down: Down = "nothing",
) -> WindowCredit:
    """See :func:`hypr.kernels.composed.credit_window`, which a set of kernels may do in one go.

    Raises:
        HyprError: asked for what a mode does not have.
    """
    if mode == "full" and down == "direct":
        raise HyprError("credit_window: in mode 'full' all of dL/dI goes down; ask for 'whole'")
    if mode == "detached" and boundary.before is not None and any(value is None for value in boundary.filtered):
        raise HyprError("credit_window: mode 'detached' has no dL/dz at the window's start; give it in 'filtered'")
    if boundary.own_spike and mode == "detached":
        raise HyprError(
            "credit_window: an own-spike eligibility in mode 'detached' meets no adjoint; use 'own' or 'full'"
        )
    kernels = _kernels(layer)
    whole = getattr(kernels, "credit_window", None)
    if whole is not None:
        return whole(layer, trajectory, dz, gradient, mode, boundary, down)
    return composed.credit_window(kernels, layer, trajectory, dz, gradient, mode, boundary, down)


def loss_kernel(output: Tensor) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Compiled cross entropy per step for these outputs (:func:`hypr.kernels.cpu.loss.step_cross_entropy`), or None."""
    recorded = torch.is_grad_enabled() and output.requires_grad
    if recorded or _chosen() == "reference" or output.dtype not in (torch.float32, torch.float64):
        return None
    return getattr(_compiled(output.device.type), "step_cross_entropy", None)


def kernel_name(layer: Neuron) -> str:
    """Which implementation runs this layer now: ``reference``, ``cpu`` or ``gpu``."""
    return _kernels(layer).__name__.split(".")[2]  # hypr.kernels.<this>, a file or a folder


def _kernels(layer: Neuron) -> ModuleType:
    return derived((_kernels, _choice.get(), layer), lambda: _select(layer))


def _select(layer: Neuron) -> ModuleType:
    choice = _chosen()
    if choice == "reference":
        return reference
    weight = layer.weight
    compiled = _compiled("cuda" if choice == "interpret" else weight.device.type)
    if compiled is not None and compiled.supports(layer, weight.dtype):
        return compiled
    if choice in ("compiled", "interpret"):
        where = f"{weight.dtype} on {weight.device.type}"
        raise HyprError(f"no compiled kernel for a {layer.kind} layer in {where}; use 'auto'")
    return reference


def _chosen() -> str:
    return _choice.get() or _checked(os.environ.get("HYPR_KERNELS") or "auto", "HYPR_KERNELS")


@cache
def _compiled(device: str) -> ModuleType | None:
    """Compiled kernels of a device, None where their optional packages (numba, triton) are absent."""
    import importlib
    import importlib.util

    name = _MODULES.get(device)
    if name is None or importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _checked(choice: str, where: str) -> str:
    if choice not in CHOICES:
        raise HyprError(f"{where} is {choice!r}; allowed: {', '.join(CHOICES)}")
    return choice
