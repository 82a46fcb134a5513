"""Compiled scans of the neurons without adaptation: LI, LIF and CubaLIF (equations: :mod:`hypr.neurons`).

Arguments: :mod:`hypr.kernels.cpu_math`. LI: coefficients (kappa), sums (kappa). LIF: coefficients (alpha), constants
(theta, subtract), sums (alpha). CubaLIF: coefficients (alpha_syn, alpha_mem, bias), constants (theta, subtract,
syn_gain, mem_gain), sums (the three coefficients). ``subtract`` is 1. for a reset by subtraction and 0. for a reset to
zero.
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled, inlined
from hypr.kernels.cpu_math import add_recurrent, add_recurrent_error, arriving, surrogate


@compiled
def forward_li(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    for t in range(current.shape[0]):
        _step_li(
            states[t, 0, low:high],
            current[t, low:high],
            coefficients[0],
            states[t + 1, 0, low:high],
            spikes[t + 1, low:high],
        )


@inlined
def _step_li(u, current, kappa, new_u, output):  # type: ignore[no-untyped-def]
    one = kappa.dtype.type(1)
    for i in range(u.size):
        new = kappa[i] * u[i] + (one - kappa[i]) * current[i]
        new_u[i] = new
        output[i] = new


@compiled
def credit_li(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    kappa, error, back = coefficients[0], np.empty_like(later[low:high]), later[low:high]
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, row = states[t, 0, low:high], current[t, low:high]
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            _adjoint_li(u, row, kappa, error, adjoint[s, 0, low:high], d_current[s, t, low:high], sums[s, 0, low:high])
        if direct.shape[0] > 0:
            out = direct[t, low:high]
            for i in range(out.size):
                out[i] = error[i] - kappa[i] * error[i]


@inlined
def _adjoint_li(u, current, kappa, error, m_u, d_current, by_kappa):  # type: ignore[no-untyped-def]
    for i in range(u.size):
        d_u = m_u[i] + error[i]
        by_kappa[i] += d_u * (u[i] - current[i])
        m_u[i] = kappa[i] * d_u
        d_current[i] = d_u - kappa[i] * d_u


@compiled
def forward_lif(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        _step_lif(
            states[t, 0, low:high], spikes[t, low:high], row, coefficients[0], constants,
            states[t + 1, 0, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_lif(u, z, current, alpha, constants, new_u, spikes):  # type: ignore[no-untyped-def]
    theta, subtract = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        left = u[i] - z[i] * (theta if subtract > zero else u[i])
        new = alpha[i] * left + (one - alpha[i]) * current[i]
        new_u[i] = new
        spikes[i] = one if new - theta > zero else zero


@compiled
def credit_lif(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    alpha, error, back = coefficients[0], np.empty_like(later[low:high]), later[low:high]
    psi, one = np.empty_like(error), constants.dtype.type(1)
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, z, row = states[t, 0, low:high], spikes[t, low:high], current[t, low:high]
        _distance_lif(u, z, row, alpha, constants, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            d_row = d_current[s, t, low:high]
            _adjoint_lif(
                u, z, row, alpha, constants, psi, error, adjoint[s, 0, low:high], d_row, sums[s, 0, low:high], back
            )
            if full:
                add_recurrent_error(d_row, recurrent, back)
            else:
                back[:] = 0
        if direct.shape[0] > 0:
            out = direct[t, low:high]
            for i in range(out.size):
                out[i] = (one - alpha[i]) * psi[i] * error[i]


@inlined
def _distance_lif(u, z, current, alpha, constants, x):  # type: ignore[no-untyped-def]
    theta, subtract = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        left = u[i] - z[i] * (theta if subtract > zero else u[i])
        x[i] = alpha[i] * left + (one - alpha[i]) * current[i] - theta


@inlined
def _adjoint_lif(u, z, current, alpha, constants, psi, error, m_u, d_current, by_alpha, back):  # type: ignore[no-untyped-def]
    theta, subtract = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        d_u = m_u[i] + psi[i] * error[i]
        lost = theta if subtract > zero else u[i]  # the reset takes away z' times this
        by_alpha[i] += d_u * (u[i] - z[i] * lost - current[i])
        back[i] = -alpha[i] * d_u * lost
        m_u[i] = alpha[i] * d_u * (one if subtract > zero else one - z[i])
        d_current[i] = (one - alpha[i]) * d_u


@compiled
def forward_cuba_lif(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    syn, mem, bias = coefficients[0], coefficients[1], coefficients[2]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        _step_cuba_lif(
            states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high], row, syn, mem, bias, constants,
            states[t + 1, 0, low:high], states[t + 1, 1, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_cuba_lif(u, v, z, current, syn, mem, bias, constants, new_u, new_v, spikes):  # type: ignore[no-untyped-def]
    theta, subtract, syn_gain, mem_gain = constants[0], constants[1], constants[2], constants[3]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        new = syn[i] * u[i] + syn_gain * current[i]
        left = v[i] - z[i] * (theta if subtract > zero else v[i])
        membrane = mem[i] * left + mem_gain * new + bias[i]
        new_u[i] = new
        new_v[i] = membrane
        spikes[i] = one if membrane - theta > zero else zero


@compiled
def credit_cuba_lif(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    syn, mem, bias = coefficients[0], coefficients[1], coefficients[2]
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), later[low:high]
    gain = constants[2] * constants[3]
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, v, z = states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high]
        _distance_cuba_lif(u, v, z, current[t, low:high], syn, mem, bias, constants, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            d_row = d_current[s, t, low:high]
            _adjoint_cuba_lif(
                u, v, z, syn, mem, constants, psi, error, adjoint[s, 0, low:high], adjoint[s, 1, low:high], d_row,
                sums[s, 0, low:high], sums[s, 1, low:high], sums[s, 2, low:high], back,
            )  # fmt: skip
            if full:
                add_recurrent_error(d_row, recurrent, back)
            else:
                back[:] = 0
        if direct.shape[0] > 0:
            out = direct[t, low:high]
            for i in range(out.size):
                out[i] = gain * psi[i] * error[i]


@inlined
def _distance_cuba_lif(u, v, z, current, syn, mem, bias, constants, x):  # type: ignore[no-untyped-def]
    theta, subtract, syn_gain, mem_gain = constants[0], constants[1], constants[2], constants[3]
    zero = constants.dtype.type(0)
    for i in range(u.size):
        left = v[i] - z[i] * (theta if subtract > zero else v[i])
        x[i] = mem[i] * left + mem_gain * (syn[i] * u[i] + syn_gain * current[i]) + bias[i] - theta


@inlined
def _adjoint_cuba_lif(  # type: ignore[no-untyped-def]
    u, v, z, syn, mem, constants, psi, error, m_u, m_v, d_current, by_syn, by_mem, by_bias, back
):  # fmt: skip
    theta, subtract, syn_gain, mem_gain = constants[0], constants[1], constants[2], constants[3]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        d_v = m_v[i] + psi[i] * error[i]
        d_u = m_u[i] + mem_gain * d_v
        lost = theta if subtract > zero else v[i]  # the reset takes away z' times this
        by_syn[i] += d_u * u[i]
        by_mem[i] += d_v * (v[i] - z[i] * lost)
        by_bias[i] += d_v
        back[i] = -mem[i] * d_v * lost
        m_v[i] = mem[i] * d_v * (one if subtract > zero else one - z[i])
        m_u[i] = syn[i] * d_u
        d_current[i] = syn_gain * d_u
