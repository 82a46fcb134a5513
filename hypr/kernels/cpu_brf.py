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
    # Flat arrays, unsigned indices (no test for negative ones) and an array for each component: LLVM then proves once a
    # call that nothing overlaps, and no step makes a slice. A quarter less time than rows handed to functions.
    damping, omega = coefficients[0], coefficients[1]
    dt, theta, gamma = constants[0], constants[1], constants[2]
    count, steps = adjoint.shape[0], current.shape[0]
    size, first, stride = np.uint64(high - low), np.uint64(low), np.uint64(current.shape[1])
    all_states, all_current, all_dz = states.reshape(-1), current.reshape(-1), dz.reshape(-1)
    all_d_current, all_direct = d_current.reshape(-1), direct.reshape(-1)
    m_u, m_v, m_q = adjoint[:, 0, low:high].copy(), adjoint[:, 1, low:high].copy(), adjoint[:, 2, low:high].copy()
    by_c, by_angle = np.zeros_like(m_u), np.zeros_like(m_u)
    psi, error, back = np.empty_like(later[low:high]), np.empty_like(later[low:high]), np.zeros_like(later[low:high])
    for t in range(steps - 1, -1, -1):
        row = np.uint64(t) * stride + first
        at_u = np.uint64(3 * t) * stride + first
        at_v, at_q = at_u + stride, at_u + stride + stride
        for i in range(size):
            u, v, q = all_states[at_u + i], all_states[at_v + i], all_states[at_q + i]
            psi[i] = u + dt * ((damping[i] - q) * u - omega[i] * v + all_current[row + i]) - theta - q
        surrogate(kind, shape, psi)
        for s in range(count):
            if dz.shape[0] > 0:
                for i in range(size):
                    error[i] = all_dz[row + i] + back[i]
            else:
                error[:] = weights[s, t]
            out = np.uint64(s * steps) * stride + row
            for i in range(size):
                u, v, q = all_states[at_u + i], all_states[at_v + i], all_states[at_q + i]
                c = damping[i] - q
                d_x = psi[i] * (error[i] + m_q[s, i])  # q^t = gamma q' + z^t
                d_u, d_v = dt * (m_u[s, i] + d_x), dt * m_v[s, i]
                d_c = d_u * u + d_v * v
                by_c[s, i] += d_c
                by_angle[s, i] += d_v * u - d_u * v
                m_u[s, i] = m_u[s, i] + d_x + c * d_u + omega[i] * d_v
                m_v[s, i] = m_v[s, i] + c * d_v - omega[i] * d_u
                m_q[s, i] = gamma * m_q[s, i] - d_x - d_c
                all_d_current[out + i] = d_u
            if full:
                back[:] = 0
                add_recurrent_error(d_current[s, t, low:high], recurrent, back)
        if direct.shape[0] > 0:
            for i in range(size):
                all_direct[row + i] = dt * psi[i] * error[i]
    adjoint[:, 0, low:high], adjoint[:, 1, low:high], adjoint[:, 2, low:high] = m_u, m_v, m_q
    later[low:high] = back
    sums[:, 0, low:high] += by_c
    sums[:, 1, low:high] += by_angle


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
