"""The operations of a layer on an NVIDIA GPU, in Triton; same results as :mod:`hypr.kernels.reference` up to rounding.

Scans over time are single launches (:mod:`hypr.kernels.gpu.scan`), products over time are matrix products of torch. No
sum depends on the order in which programs run, so results repeat.

Tested against the reference with Triton's interpreter on a CPU (``TRITON_INTERPRET=1``) and on a GPU (tests/gpu).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypr.kernels.gpu.eligibility import boundary_gradient, carry
from hypr.kernels.gpu.launch import Credit, Forward, credit, forward
from hypr.kernels.gpu.models import model_of, supported
from hypr.kernels.gpu.plan import plan
from hypr.kernels.types import Eligibility, LayerCredit, LayerTrajectory, Mode
from hypr.neurons.base import Neuron

__all__ = ["boundary_gradient", "carry_eligibility", "credit_layer", "run_layer", "supports"]


def supports(layer: Neuron, dtype: torch.dtype) -> bool:
    """Whether these kernels can run a layer in a dtype."""
    return dtype in (torch.float32, torch.float64) and supported(layer)


@torch.no_grad()
def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """See :func:`hypr.kernels.reference.run_layer`; never differentiable."""
    (steps, batch, _), d, n, model = pre.shape, len(layer.state_names), layer.n, model_of(layer)
    flat = pre.reshape(steps * batch, layer.n_in)
    drive = torch.addmm(layer.bias, flat, layer.weight.T) if layer.bias_in_current else flat @ layer.weight.T
    states, outputs = pre.new_empty(steps + 1, batch, d, n), pre.new_empty(steps + 1, batch, n)
    states[0], outputs[0] = state, spikes
    recurrent = layer.recurrent_weight
    outgoing = None if recurrent is None else recurrent.detach().T.contiguous()
    current = drive.view(steps, batch, n)
    layout = plan(batch, n, recurrent is not None, pre.dtype)
    forward(model, layout, Forward(states, outputs, current, model.coefficients, model.constants, outgoing))
    return LayerTrajectory(pre, states, outputs, current)


@torch.no_grad()
def credit_layer(layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode = "detached") -> LayerCredit:
    """See :func:`hypr.kernels.reference.credit_layer`."""
    (steps, batch, n), d, full, model = dz.shape, len(layer.state_names), mode == "full", model_of(layer)
    recurrent = layer.recurrent_weight.detach().contiguous() if full and layer.recurrent_weight is not None else None
    adjoints = dz.new_zeros(1, d, batch, n)
    later, sums, d_current = dz.new_zeros(1, batch, n), dz.new_zeros(1, model.sums, batch, n), _rows(dz, steps)
    direct = None if full else dz.new_empty(steps, batch, n)
    data = Credit(
        *_recorded(trajectory), model.coefficients, model.constants, dz.detach().contiguous(), None, recurrent,
        _synapses(layer) if mode == "own" else None, adjoints, later, d_current, direct, sums,
    )  # fmt: skip
    credit(model, plan(batch, n, recurrent is not None, dz.dtype), data, full)
    if recurrent is not None:
        later = torch.addmm(later[0], d_current[0, 0], recurrent)[None]
    return LayerCredit(
        d_current=d_current[0, :steps],
        d_direct=direct,
        d_parameters=model.gradients(sums[0].sum(1), model.effective),
        adjoint_start=adjoints[0].transpose(0, 1).contiguous(),
        dz_start=None if mode == "detached" else later[0],
    )


@torch.no_grad()
def carry_eligibility(
    layer: Neuron,
    trajectory: LayerTrajectory,
    eligibility: Eligibility,
    spike_filters: tuple[float, ...] = (),
    own_spike: bool = False,
) -> Eligibility:
    """See :func:`hypr.kernels.reference.carry_eligibility`.

    Row s of the product of Jacobians is the adjoint of state s at the window's end, so the gains are reverse scans that
    start from unit vectors, all in one launch; a filtered spike is one whose error at step t is
    ``(1 - kappa) kappa^(T - t)``. With ``own_spike`` what a scan hands to the spike before the window is the column of
    that spike.
    """
    (steps, batch, n), d, model = trajectory.current.shape, len(layer.state_names), model_of(layer)
    like, count = trajectory.current, d + len(spike_filters)
    adjoints, errors = like.new_zeros(count, d, batch, n), like.new_zeros(count, steps)
    onward = like.new_zeros(count, count, batch, n)
    for s in range(d):
        adjoints[s, s] = 1.0
    for s, kappa in enumerate(spike_filters, d):
        backward = torch.arange(steps - 1, -1, -1, dtype=like.dtype, device=like.device)
        errors[s] = (1.0 - kappa) * torch.pow(torch.full_like(backward, kappa), backward)
        onward[s, s] = kappa**steps
    synapses = _synapses(layer) if own_spike else None
    later = like.new_zeros(count, batch, n) if own_spike else model.constants
    gains, sums = like.new_empty(count, steps, batch, n), like.new_zeros(count, model.sums, batch, n)
    data = Credit(
        *_recorded(trajectory), model.coefficients, model.constants, None, errors, None, synapses,
        adjoints, later, gains, None, sums,
    )  # fmt: skip
    credit(model, plan(batch, n, False, like.dtype), data, full=False)
    onward[:, :d] = adjoints
    if own_spike:
        onward[:, d] = later
    own = model.gradients(sums.transpose(0, 1), model.effective)
    return carry(gains, onward, own, trajectory, eligibility)


def _synapses(layer: Neuron) -> Tensor:
    """(N,), the weight of each neuron to itself."""
    if layer.recurrent_weight is None:
        return torch.zeros_like(layer.bias.detach())
    return layer.recurrent_weight.detach().diagonal().contiguous()


def _recorded(trajectory: LayerTrajectory) -> tuple[Tensor, Tensor, Tensor]:
    states, spikes, current = trajectory.states, trajectory.spikes, trajectory.current
    return states.detach().contiguous(), spikes.detach().contiguous(), current.detach().contiguous()


def _rows(dz: Tensor, steps: int) -> Tensor:
    """(1, T + 1, B, N), the last row zero: no step after the window sends an error back."""
    rows = dz.new_empty(1, steps + 1, *dz.shape[1:])
    rows[0, steps] = 0.0
    return rows
