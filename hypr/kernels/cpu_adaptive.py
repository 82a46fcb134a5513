"""Compiled scans of the adaptive neurons SE-adLIF and ALIF (equations: :mod:`hypr.neurons`).

Arguments: :mod:`hypr.kernels.cpu_math`. SE-adLIF: states u, w; coefficients (alpha, beta, ga, gb) with ga = (1 - beta)
rho a and gb = (1 - beta) rho b; constants (theta, current), ``current`` 1. where the adaptation takes the current
spike; sums: alpha, and dL/dw times w', times u (1 - z), times z*. ALIF: states u, a; coefficients (alpha, r); constants
(beta, b0); sums (alpha, r).
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled, inlined
from hypr.kernels.cpu_math import add_recurrent, add_recurrent_error, arriving, surrogate


@compiled
def forward_se_adlif(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    alpha, beta, ga, gb = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        _step_se_adlif(
            states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high], row, alpha, beta, ga, gb, constants,
            states[t + 1, 0, low:high], states[t + 1, 1, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_se_adlif(u, w, z, current, alpha, beta, ga, gb, constants, new_u, new_w, spikes):  # type: ignore[no-untyped-def]
    theta, takes_current = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        new = alpha[i] * u[i] * (one - z[i]) + (one - alpha[i]) * (current[i] - w[i])
        fired = one if new - theta > zero else zero
        adapting = fired if takes_current > zero else z[i]
        new_u[i] = new
        new_w[i] = beta[i] * w[i] + (ga[i] * new * (one - fired) + gb[i] * adapting)
        spikes[i] = fired


@compiled
def credit_se_adlif(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    alpha, beta, ga, gb = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), later[low:high]
    new, one = np.empty_like(error), constants.dtype.type(1)
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, w, z, row = states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high], current[t, low:high]
        _distance_se_adlif(u, w, z, row, alpha, constants, new, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            m_w, d_row = adjoint[s, 1, low:high], d_current[s, t, low:high]
            _sums_se_adlif(w, z, new, constants, m_w, sums[s, 1, low:high], sums[s, 2, low:high], sums[s, 3, low:high])
            _adjoint_se_adlif(
                u, w, z, row, alpha, beta, ga, gb, constants, new, psi, error, adjoint[s, 0, low:high], m_w, d_row,
                sums[s, 0, low:high], back,
            )  # fmt: skip
            if full:
                add_recurrent_error(d_row, recurrent, back)
            else:
                back[:] = 0
        if direct.shape[0] > 0:
            out = direct[t, low:high]
            for i in range(out.size):
                out[i] = (one - alpha[i]) * psi[i] * error[i]


@inlined
def _distance_se_adlif(u, w, z, current, alpha, constants, new, x):  # type: ignore[no-untyped-def]
    theta, one = constants[0], constants.dtype.type(1)
    for i in range(u.size):
        new[i] = alpha[i] * u[i] * (one - z[i]) + (one - alpha[i]) * (current[i] - w[i])
        x[i] = new[i] - theta


@compiled
def _sums_se_adlif(w, z, new, constants, m_w, by_w, by_kept, by_spike):  # type: ignore[no-untyped-def]
    theta, takes_current = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(w.size):
        fired = one if new[i] - theta > zero else zero
        by_w[i] += m_w[i] * w[i]
        by_kept[i] += m_w[i] * new[i] * (one - fired)
        by_spike[i] += m_w[i] * (fired if takes_current > zero else z[i])


@inlined
def _adjoint_se_adlif(  # type: ignore[no-untyped-def]
    u, w, z, current, alpha, beta, ga, gb, constants, new, psi, error, m_u, m_w, d_current, by_alpha, back
):  # fmt: skip
    theta, takes_current = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        fired = one if new[i] - theta > zero else zero
        own = gb[i] if takes_current > zero else zero
        d_z = error[i] + m_w[i] * (own - ga[i] * new[i])
        d_u = m_u[i] + psi[i] * d_z + m_w[i] * ga[i] * (one - fired)
        gain = d_u - alpha[i] * d_u
        by_alpha[i] += d_u * (u[i] * (one - z[i]) - current[i] + w[i])
        back[i] = m_w[i] * (gb[i] - own) - alpha[i] * u[i] * d_u
        m_u[i] = alpha[i] * (one - z[i]) * d_u
        m_w[i] = beta[i] * m_w[i] - gain
        d_current[i] = gain


@compiled
def forward_alif(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        _step_alif(
            states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high], row,
            coefficients[0], coefficients[1], constants,
            states[t + 1, 0, low:high], states[t + 1, 1, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_alif(u, a, z, current, alpha, rho, constants, new_u, new_a, spikes):  # type: ignore[no-untyped-def]
    beta, b0 = constants[0], constants[1]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        adaptation = rho[i] * a[i] + (one - rho[i]) * z[i]
        threshold = b0 + beta * adaptation
        new = alpha[i] * u[i] + (one - alpha[i]) * current[i] - threshold * z[i]
        new_u[i] = new
        new_a[i] = adaptation
        spikes[i] = one if new - threshold > zero else zero


@compiled
def credit_alif(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    alpha, rho = coefficients[0], coefficients[1]
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), later[low:high]
    one = constants.dtype.type(1)
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, a, z, row = states[t, 0, low:high], states[t, 1, low:high], spikes[t, low:high], current[t, low:high]
        _distance_alif(u, a, z, row, alpha, rho, constants, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            d_row = d_current[s, t, low:high]
            _adjoint_alif(
                u, a, z, row, alpha, rho, constants, psi, error,
                adjoint[s, 0, low:high], adjoint[s, 1, low:high], d_row,
                sums[s, 0, low:high], sums[s, 1, low:high], back,
            )  # fmt: skip
            if full:
                add_recurrent_error(d_row, recurrent, back)
            else:
                back[:] = 0
        if direct.shape[0] > 0:
            out = direct[t, low:high]
            for i in range(out.size):
                out[i] = (one - alpha[i]) * psi[i] * error[i]


@inlined
def _distance_alif(u, a, z, current, alpha, rho, constants, x):  # type: ignore[no-untyped-def]
    beta, b0, one = constants[0], constants[1], constants.dtype.type(1)
    for i in range(u.size):
        threshold = b0 + beta * (rho[i] * a[i] + (one - rho[i]) * z[i])
        x[i] = alpha[i] * u[i] + (one - alpha[i]) * current[i] - threshold * z[i] - threshold


@inlined
def _adjoint_alif(  # type: ignore[no-untyped-def]
    u, a, z, current, alpha, rho, constants, psi, error, m_u, m_a, d_current, by_alpha, by_rho, back
):  # fmt: skip
    beta, b0, one = constants[0], constants[1], constants.dtype.type(1)
    for i in range(u.size):
        threshold = b0 + beta * (rho[i] * a[i] + (one - rho[i]) * z[i])
        d_x = psi[i] * error[i]
        d_u = m_u[i] + d_x
        d_a = m_a[i] - beta * (d_x + d_u * z[i])
        by_alpha[i] += d_u * (u[i] - current[i])
        by_rho[i] += d_a * (a[i] - z[i])
        back[i] = d_a - rho[i] * d_a - threshold * d_u
        m_u[i] = alpha[i] * d_u
        m_a[i] = rho[i] * d_a
        d_current[i] = d_u - alpha[i] * d_u
