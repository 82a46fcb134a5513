"""The operations of a layer in plain torch: the clear form, and the oracle of every compiled kernel.

Time-major throughout; see :mod:`hypr.kernels.types` for shapes and :class:`hypr.neurons.jacobians.Jacobians` for the
letters A to F.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hypr.errors import HyprError
from hypr.kernels.types import Eligibility, LayerCredit, LayerTrajectory, Mode
from hypr.neurons.base import Neuron
from hypr.neurons.jacobians import Jacobians


def run_layer(layer: Neuron, pre: Tensor, state: Tensor, spikes: Tensor) -> LayerTrajectory:
    """S-stage of one window: the layer's dynamics forward, recorded. Differentiable where gradients are enabled.

    Args:
        layer: the neuron layer.
        pre: (T, B, n_in).
        state: (B, d, N), s at the window's start.
        spikes: (B, N), z at the window's start.
    """
    parameters = layer.effective()
    drive = pre @ layer.cut("weight", layer.weight).T
    if layer.bias_in_current:
        drive = drive + layer.bias
    recurrent = None
    if layer.recurrent_weight is not None:
        recurrent = layer.cut("recurrent_weight", layer.recurrent_weight).T
    states, outputs, currents = [state], [spikes], []
    now, z = state.unbind(1), spikes
    for t in range(pre.shape[0]):
        current = drive[t] if recurrent is None else drive[t] + z @ recurrent
        now, z = layer.step(now, z, current, parameters)
        if len(now) != state.shape[1]:
            names = ", ".join(layer.state_names)
            raise HyprError(
                f"{layer.kind}: step returned {len(now)} states, state_names are {names}; return one for each"
            )
        states.append(torch.stack(now, 1))
        outputs.append(z)
        currents.append(current)
    return LayerTrajectory(pre, torch.stack(states), torch.stack(outputs), torch.stack(currents))


@torch.no_grad()
def credit_layer(layer: Neuron, trajectory: LayerTrajectory, dz: Tensor, mode: Mode = "detached") -> LayerCredit:
    """P-stage of one window: the reverse scan ``m^{t-1} = A^T m^t + C g^t``, ``dL/dI^t = B . m^t + D g^t``.

    Args:
        layer: the neuron layer.
        trajectory: recorded by the S-stage.
        dz: (T, B, N), the error dL/dz^t that reaches the layer from above at step t.
        mode: ``detached`` holds z^{t-1} constant; ``full`` adds the paths through it (recurrent weights, reset, z*) to
            g; ``own`` adds those that come back to the same neuron in the next step.
    """
    jac = _jacobians(layer, trajectory)
    if mode == "own":
        jac = _own_feedback(layer, jac)
    adjoint = torch.zeros_like(trajectory.states[0])
    later = torch.zeros_like(dz[0])
    adjoints, errors, d_current = torch.empty_like(trajectory.states[1:]), torch.empty_like(dz), torch.empty_like(dz)
    for t in reversed(range(trajectory.steps)):
        error = dz[t] + later
        adjoints[t], errors[t] = adjoint, error
        d_current[t] = (jac.B[t] * adjoint).sum(1) + jac.D[t] * error
        if mode != "detached":
            later = (jac.E[t] * adjoint).sum(1) + jac.F[t] * error
            if mode == "full" and layer.recurrent_weight is not None:
                later = later + d_current[t] @ layer.recurrent_weight
        adjoint = (jac.A[t] * adjoint[:, :, None]).sum(1) + jac.C[t] * error[:, None]
    d_parameters = {
        name: (jac.states[name] * adjoints).sum((0, 1, 2)) + (jac.spikes[name] * errors).sum((0, 1))
        for name in jac.states
    }
    direct = None if mode == "full" else jac.D * dz
    return LayerCredit(d_current, direct, d_parameters, adjoint, None if mode == "detached" else later)


def start_eligibility(layer: Neuron, batch: int, extra: int = 0) -> Eligibility:
    """Zero eligibilities of ``batch`` samples, with ``extra`` components beyond the layer's own states (see
    :func:`carry_eligibility`).
    """
    d = len(layer.state_names) + extra
    zeros = layer.weight.new_zeros
    return Eligibility(
        weight=zeros(batch, d, layer.n, layer.n_in),
        recurrent=None if layer.recurrent_weight is None else zeros(batch, d, layer.n, layer.n),
        bias=zeros(batch, d, layer.n) if layer.bias_in_current else None,
        parameters={name: zeros(batch, d, layer.n) for name in layer.effective()},
    )


@torch.no_grad()
def carry_eligibility(
    layer: Neuron,
    trajectory: LayerTrajectory,
    eligibility: Eligibility,
    spike_filters: tuple[float, ...] = (),
    own_spike: bool = False,
) -> Eligibility:
    """Eligibility after the window: ``e = (prod A) e^0 + sum_t (prod_{t' > t} A^{t'}) B^t pre^t``, spikes of earlier
    steps constant.

    Args:
        layer: the neuron layer.
        trajectory: the window.
        eligibility: at the window's start.
        spike_filters: kappas in [0, 1); the eligibility then has one component more for each, the low-pass filtered
            eligibility of the spike, ``f^t = kappa f^{t-1} + (1 - kappa) dz^t/dtheta``. With 0 that is the eligibility
            of the last spike itself.
        own_spike: only spikes of other neurons are constant. The first filter is 0 then, and its component e_z goes on
            by ``e_s += (E + B R_nn) e_z``, ``e_z = ... + (F + D R_nn) e_z``.
    """
    jac = _jacobians(layer, trajectory)
    if own_spike:
        jac = _own_feedback(layer, jac)
    jac = _with_filtered_spikes(jac, spike_filters, own_spike)
    onward = torch.eye(jac.B.shape[2], dtype=jac.B.dtype, device=jac.B.device)[None, :, :, None].expand_as(jac.A[0])
    gains = torch.empty_like(jac.B)  # (prod_{t' > t} A^{t'}) B^t
    own = {name: torch.empty_like(value) for name, value in jac.states.items()}
    for t in reversed(range(trajectory.steps)):
        gains[t] = _apply(onward, jac.B[t])
        for name, value in jac.states.items():
            own[name][t] = _apply(onward, value[t])
        onward = torch.einsum("bikn,bkjn->bijn", onward, jac.A[t])
    recurrent = None
    if eligibility.recurrent is not None:
        recurrent = torch.einsum("bijn,bjnm->binm", onward, eligibility.recurrent)
        recurrent = recurrent + torch.einsum("tbin,tbm->binm", gains, trajectory.spikes[:-1])
    weight = torch.einsum("bijn,bjnm->binm", onward, eligibility.weight) + torch.einsum(
        "tbin,tbm->binm", gains, trajectory.pre
    )
    bias = None if eligibility.bias is None else _apply(onward, eligibility.bias) + gains.sum(0)
    return Eligibility(
        weight,
        recurrent,
        bias,
        {name: _apply(onward, e) + own[name].sum(0) for name, e in eligibility.parameters.items()},
    )


@torch.no_grad()
def boundary_gradient(adjoint: Tensor, eligibility: Eligibility) -> dict[str, Tensor]:
    """Gradient through the state at a window's start, ``m^0 . e^0``.

    Args:
        adjoint: (B, d, N), with the components of the eligibility.
        eligibility: carried into the window.

    Returns:
        ``weight`` (N, n_in), ``recurrent_weight`` (N, N) and ``bias`` (N,) where they have an eligibility, and
        ``effective/NAME`` (N,) for each effective parameter; summed over the batch.
    """
    gradients = {"weight": torch.einsum("bdn,bdnm->nm", adjoint, eligibility.weight)}
    if eligibility.recurrent is not None:
        gradients["recurrent_weight"] = torch.einsum("bdn,bdnm->nm", adjoint, eligibility.recurrent)
    if eligibility.bias is not None:
        gradients["bias"] = (adjoint * eligibility.bias).sum((0, 1))
    own = {f"effective/{name}": (adjoint * value).sum((0, 1)) for name, value in eligibility.parameters.items()}
    return gradients | own


def _jacobians(layer: Neuron, trajectory: LayerTrajectory) -> Jacobians:
    with torch.no_grad():
        return layer.jacobians(trajectory.states[:-1], trajectory.spikes[:-1], trajectory.current, layer.effective())


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """(B, d, d, N) times (B, d, N)."""
    return (matrix * vector[:, None]).sum(2)


def _own_feedback(layer: Neuron, jac: Jacobians) -> Jacobians:
    """E and F with the synapse of each neuron to itself."""
    if layer.recurrent_weight is None:
        return jac
    own = layer.cut("recurrent_weight", layer.recurrent_weight.detach()).diagonal()
    return replace(jac, E=jac.E + jac.B * own, F=jac.F + jac.D * own)


def _with_filtered_spikes(jac: Jacobians, kappas: tuple[float, ...], own_spike: bool) -> Jacobians:
    """Jacobians of the state extended by ``f^t = kappa f^{t-1} + (1 - kappa) z^t`` for each kappa; with ``own_spike``
    the first of these, z itself, is a state that acts on the others by E and F.
    """
    plain, states = jac, jac.B.shape[2]
    for index, kappa in enumerate(kappas):
        gain, d = 1.0 - kappa, jac.B.shape[2]
        right = torch.zeros_like(jac.B)[:, :, :, None]
        below = torch.zeros_like(jac.A[:, :, :1, :1]).repeat(1, 1, 1, d + 1, 1)
        below[:, :, 0, :states] = gain * plain.C
        below[:, :, 0, d] = kappa
        if own_spike:
            below[:, :, 0, states] += gain * plain.F
            if index == 0:
                right = plain.E[:, :, :, None].clone()
        jac = replace(
            jac,
            A=torch.cat([torch.cat([jac.A, right], 3), below], 2),
            B=torch.cat([jac.B, gain * plain.D[:, :, None]], 2),
            states={
                name: torch.cat([value, gain * plain.spikes[name][:, :, None]], 2) for name, value in jac.states.items()
            },
        )
    return jac
