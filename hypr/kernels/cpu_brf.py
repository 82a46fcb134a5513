"""Compiled scans of the BRF neuron, Euler and exponential variant (equations: :class:`hypr.neurons.brf.BRF`).

Arguments: :mod:`hypr.kernels.cpu_math`. States u, v, q; constants (dt, theta, gamma); coefficients (p - b_offset,
omega) for ``euler`` and (b_offset, cos(dt omega), sin(dt omega)) for ``exponential``; sums: dL/dc and the derivative
along the rotation.
"""

from __future__ import annotations

import numpy as np

from hypr.kernels.cpu_compile import compiled, inlined
from hypr.kernels.cpu_math import add_recurrent, add_recurrent_error, arriving, exponential, surrogate


@compiled
def forward_euler(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    damping, omega = coefficients[0], coefficients[1]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        before, after = states[t], states[t + 1]
        _step_euler(
            before[0, low:high], before[1, low:high], before[2, low:high], row, damping, omega, constants,
            after[0, low:high], after[1, low:high], after[2, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_euler(u, v, q, current, damping, omega, constants, new_u, new_v, new_q, spikes):  # type: ignore[no-untyped-def]
    dt, theta, gamma = constants[0], constants[1], constants[2]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        c = damping[i] - q[i]
        new = u[i] + dt * (c * u[i] - omega[i] * v[i] + current[i])
        new_v[i] = v[i] + dt * (omega[i] * u[i] + c * v[i])
        new_u[i] = new
        z = one if new - theta - q[i] > zero else zero
        spikes[i] = z
        new_q[i] = gamma * q[i] + z


@compiled
def credit_euler(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    damping, omega, dt = coefficients[0], coefficients[1], constants[0]
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), later[low:high]
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, v, q = states[t, 0, low:high], states[t, 1, low:high], states[t, 2, low:high]
        _distance_euler(u, v, q, current[t, low:high], damping, omega, constants, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            d_row = d_current[s, t, low:high]
            _adjoint_euler(
                u, v, q, damping, omega, constants, psi, error,
                adjoint[s, 0, low:high], adjoint[s, 1, low:high], adjoint[s, 2, low:high],
                d_row, sums[s, 0, low:high], sums[s, 1, low:high],
            )  # fmt: skip
            if full:
                back[:] = 0
                add_recurrent_error(d_row, recurrent, back)
        if direct.shape[0] > 0:
            row = direct[t, low:high]
            for i in range(row.size):
                row[i] = dt * psi[i] * error[i]


@inlined
def _distance_euler(u, v, q, current, damping, omega, constants, x):  # type: ignore[no-untyped-def]
    dt, theta = constants[0], constants[1]
    for i in range(u.size):
        x[i] = u[i] + dt * ((damping[i] - q[i]) * u[i] - omega[i] * v[i] + current[i]) - theta - q[i]


@inlined
def _adjoint_euler(u, v, q, damping, omega, constants, psi, error, m_u, m_v, m_q, d_current, by_c, by_angle):  # type: ignore[no-untyped-def]
    dt, gamma = constants[0], constants[2]
    for i in range(u.size):
        c = damping[i] - q[i]
        d_x = psi[i] * (error[i] + m_q[i])  # q^t = gamma q' + z^t
        d_u, d_v = dt * (m_u[i] + d_x), dt * m_v[i]
        d_c = d_u * u[i] + d_v * v[i]
        by_c[i] += d_c
        by_angle[i] += d_v * u[i] - d_u * v[i]
        m_u[i] = m_u[i] + d_x + c * d_u + omega[i] * d_v
        m_v[i] = m_v[i] + c * d_v - omega[i] * d_u
        m_q[i] = gamma * m_q[i] - d_x - d_c
        d_current[i] = d_u


@compiled
def forward_exponential(states, spikes, current, coefficients, constants, outgoing, low, high):  # type: ignore[no-untyped-def]
    offset, cos, sin = coefficients[0], coefficients[1], coefficients[2]
    for t in range(current.shape[0]):
        row = current[t, low:high]
        add_recurrent(row, spikes[t, low:high], outgoing)
        before, after = states[t], states[t + 1]
        _step_exponential(
            before[0, low:high], before[1, low:high], before[2, low:high], row, offset, cos, sin, constants,
            after[0, low:high], after[1, low:high], after[2, low:high], spikes[t + 1, low:high],
        )  # fmt: skip


@inlined
def _step_exponential(u, v, q, current, offset, cos, sin, constants, new_u, new_v, new_q, spikes):  # type: ignore[no-untyped-def]
    dt, theta, gamma = constants[0], constants[1], constants[2]
    zero, one = constants.dtype.type(0), constants.dtype.type(1)
    for i in range(u.size):
        decay = exponential(-dt * (offset[i] + q[i]))
        new = decay * (cos[i] * u[i] - sin[i] * v[i]) + dt * current[i]
        new_v[i] = decay * (sin[i] * u[i] + cos[i] * v[i])
        new_u[i] = new
        z = one if new - theta - q[i] > zero else zero
        spikes[i] = z
        new_q[i] = gamma * q[i] + z


@compiled
def credit_exponential(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, kind, shape, dz, weights, recurrent, full,
    adjoint, later, d_current, direct, sums, low, high,
):  # fmt: skip
    offset, cos, sin, dt = coefficients[0], coefficients[1], coefficients[2], constants[0]
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), later[low:high]
    decay = np.empty_like(psi)
    back[:] = 0
    for t in range(current.shape[0] - 1, -1, -1):
        u, v, q = states[t, 0, low:high], states[t, 1, low:high], states[t, 2, low:high]
        _distance_exponential(u, v, q, current[t, low:high], offset, cos, sin, constants, decay, psi)
        surrogate(kind, shape, psi)
        for s in range(adjoint.shape[0]):
            arriving(dz, weights, back, s, t, low, high, error)
            d_row = d_current[s, t, low:high]
            _adjoint_exponential(
                u, v, decay, cos, sin, constants, psi, error,
                adjoint[s, 0, low:high], adjoint[s, 1, low:high], adjoint[s, 2, low:high],
                d_row, sums[s, 0, low:high], sums[s, 1, low:high],
            )  # fmt: skip
            if full:
                back[:] = 0
                add_recurrent_error(d_row, recurrent, back)
        if direct.shape[0] > 0:
            row = direct[t, low:high]
            for i in range(row.size):
                row[i] = dt * psi[i] * error[i]


@inlined
def _distance_exponential(u, v, q, current, offset, cos, sin, constants, decay, x):  # type: ignore[no-untyped-def]
    dt, theta = constants[0], constants[1]
    for i in range(u.size):
        decay[i] = exponential(-dt * (offset[i] + q[i]))
        x[i] = decay[i] * (cos[i] * u[i] - sin[i] * v[i]) + dt * current[i] - theta - q[i]


@inlined
def _adjoint_exponential(u, v, decay, cos, sin, constants, psi, error, m_u, m_v, m_q, d_current, by_c, by_angle):  # type: ignore[no-untyped-def]
    dt, gamma = constants[0], constants[2]
    for i in range(u.size):
        turned_u = decay[i] * (cos[i] * u[i] - sin[i] * v[i])
        turned_v = decay[i] * (sin[i] * u[i] + cos[i] * v[i])
        d_x = psi[i] * (error[i] + m_q[i])  # q^t = gamma q' + z^t
        d_u, d_v = m_u[i] + d_x, m_v[i]
        d_c = dt * (d_u * turned_u + d_v * turned_v)
        by_c[i] += d_c
        by_angle[i] += dt * (d_v * turned_u - d_u * turned_v)
        m_u[i] = decay[i] * (cos[i] * d_u + sin[i] * d_v)
        m_v[i] = decay[i] * (cos[i] * d_v - sin[i] * d_u)
        m_q[i] = gamma * m_q[i] - d_x - d_c
        d_current[i] = dt * d_u
