"""One step of each model over a row of lanes, compiled (numba). The readable form of the same lines is :mod:`hardware.neurons`.

A lane is one neuron of one sample. States are float64, which holds every integer of the contract exactly: a product of a 24-bit state and a
17-bit coefficient has at most 41 bits, a coefficient is stored divided by 2^k (exact), and ``trunc`` rounds toward zero (FP-1.2, FP-1.3).
float64 is what vectorises: AVX has no 64-bit integer multiplication worth the name. ``parameters`` is float64 (rows, lanes), rows as listed in
:data:`ROWS`; ``drive`` is int32 (lanes,), the synaptic current without bias; ``before`` and ``after`` are the spikes of step t - 1 and t, uint8.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from hardware.models import STATE_MAX

MAX = float(STATE_MAX)
WRAP = MAX + 1.0

ROWS = {
    "brf": ("bias", "C/K", "S/K", "D/Kd", "R/KR", "TH", "J", "1/K"),
    "se_adlif": ("bias", "A/K", "1/g", "Be/K", "At/Ka", "Bt", "TH"),
    "alif": ("bias", "A/K", "Rho/K", "Ja", "B0"),
    "lif": ("bias", "A/K", "TH"),
    "cuba_lif": ("bias", "du", "dv", "vth"),
    "li": ("bias", "A/K"),
}
"""Parameter rows of each model; ``X/k`` is parameter X times 2^-k."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@intrinsic
def _trunc(typing_context, x):  # noqa: ANN001, ANN202 (numba's protocol)
    """LLVM's trunc, which vectorises (numba's own calls a library function)."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.call(builder.module.declare_intrinsic("llvm.trunc", [arguments[0].type]), arguments)

    return types.float64(types.float64), codegen


@numba.njit(inline="always")
def _sat(x):  # noqa: ANN001, ANN202
    return min(max(x, -MAX), MAX)


@_jit
def brf(parameters, states, drive, before, after):  # noqa: ANN001, ANN201
    """FP-3.1."""
    u, v, q = states[0], states[1], states[2]
    bias, c, s, dq, r = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    threshold, jump, unit = parameters[5], parameters[6], parameters[7]
    for i in range(u.size):
        u0, v0, q0 = u[i], v[i], q[i]
        d = max(0.0, c[i] - _trunc(q0 * dq[i]) * unit[i])
        u1 = _sat(_trunc(u0 * d) - _trunc(v0 * s[i]) + (drive[i] + bias[i]))
        v1 = _sat(_trunc(u0 * s[i]) + _trunc(v0 * d))
        z = u1 - q0 > threshold[i]
        u[i] = u1
        v[i] = v1
        q[i] = _sat(_trunc(q0 * r[i]) + (jump[i] if z else 0.0))
        after[i] = z


@_jit
def se_adlif(parameters, states, drive, before, after, adapts_before):  # noqa: ANN001, ANN201
    """FP-3.2; ``adapts_before``: z* is the spike of step t - 1."""
    u, w = states[0], states[1]
    bias, a, guard, be, at = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    bt, threshold = parameters[5], parameters[6]
    for i in range(u.size):
        w0 = w[i]
        u1 = _sat(_trunc(u[i] * a[i]) - _trunc(w0 * guard[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        u1 = 0.0 if z else u1
        star = before[i] != 0 if adapts_before else z
        u[i] = u1
        w[i] = _sat(_trunc(w0 * be[i]) + _trunc(u1 * at[i]) + (bt[i] if star else 0.0))
        after[i] = z


@_jit
def alif(parameters, states, drive, before, after):  # noqa: ANN001, ANN201
    """FP-3.3."""
    a, u = states[0], states[1]
    bias, alpha, rho, ja, b0 = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(u.size):
        spiked = before[i] != 0
        a1 = _sat(_trunc(a[i] * rho[i]) + (ja[i] if spiked else 0.0))
        threshold = b0[i] + a1
        u1 = _sat(_trunc(u[i] * alpha[i]) + (drive[i] + bias[i]) - (threshold if spiked else 0.0))
        a[i] = a1
        u[i] = u1
        after[i] = u1 > threshold


@_jit
def lif(parameters, states, drive, before, after, subtracts):  # noqa: ANN001, ANN201
    """FP-3.4; ``subtracts``: reset by subtraction."""
    u = states[0]
    bias, a, threshold = parameters[0], parameters[1], parameters[2]
    for i in range(u.size):
        u1 = _sat(_trunc(u[i] * a[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        reset = u1 - threshold[i] if subtracts else 0.0  # u1 > threshold >= 0: the difference is a valid state
        u[i] = reset if z else u1
        after[i] = z


@_jit
def cuba_lif(parameters, states, drive, before, after):  # noqa: ANN001, ANN201
    """FP-3.5; rows du, dv, vth hold (4096 - (du + 1)) / 4096, (4096 - dv) / 4096 and vth * 64."""
    u, v = states[0], states[1]
    bias, du, dv, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(u.size):
        x = _trunc(u[i] * du[i]) + drive[i] * 64.0
        u1 = x - 2.0 * WRAP if x > WRAP else (x + 2.0 * WRAP if x <= -WRAP else x)
        v1 = _sat(_trunc(v[i] * dv[i]) + u1 + bias[i])
        z = v1 > threshold[i]
        u[i] = u1
        v[i] = 0.0 if z else v1
        after[i] = z


@_jit
def li(parameters, states, drive):  # noqa: ANN001, ANN201
    """FP-3.6."""
    u = states[0]
    bias, a = parameters[0], parameters[1]
    for i in range(u.size):
        u[i] = _sat(_trunc(u[i] * a[i]) + (drive[i] + bias[i]))


def parameter_rows(model: str, constants: dict[str, object], size: int) -> np.ndarray:
    """float64 (rows, size) of a layer, from :func:`hardware.neurons.constants`."""
    rows = []
    for name in ROWS[model]:
        value, _, shift = name.partition("/")
        number = np.broadcast_to(np.asarray(1 if value == "1" else constants[value], dtype=np.float64), (size,))
        rows.append(number * 2.0 ** -int(constants[shift]) if shift else number)
    table = np.array(rows)
    if model == "cuba_lif":
        table[1] = (4095.0 - table[1]) / 4096.0
        table[2] = (4096.0 - table[2]) / 4096.0
        table[3] *= 64.0
    return table
