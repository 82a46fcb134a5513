"""Steps of the models on lanes, compiled. The readable form is :mod:`hardware.neurons`.

A lane is one neuron of one sample. States are float64, which holds every integer of the contract exactly: a product of
a 24-bit state and a 17-bit coefficient has at most 41 bits, a coefficient is stored divided by 2^k (exact), and
``trunc`` rounds toward zero (FP-1.2, FP-1.3). float64 is what vectorises: AVX has no fast 64-bit integer
multiplication. ``parameters`` is float64 (rows, lanes and perhaps more), rows as listed in :data:`ROWS`; ``states``
float64 (d, lanes); ``drive`` int32, the synaptic current without bias, of which any 32 bits are valid; ``before`` and
``after`` are the spikes of step t - 1 and t, uint8.
"""

# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware.compiled.compile import compiled, inlined
from hardware.compiled.vectors import trunc
from hardware.models import MODELS

MAX = 2.0**23 - 1.0  # written out: a constant of another folder would not be in the key of the cache
WRAP = 2.0**23

MODEL_CODES = {"brf": 0, "se_adlif": 1, "alif": 2, "lif": 3, "cuba_lif": 4, "li": 5}
RESET_CODES = {"lif": 6, "cuba_lif": 15}
"""First of nine codes of a model with a reset of FP-3.7, so that the loops of the others stay as they were."""
EDGE_CODES = {"lif": 24, "cuba_lif": 33}
"""The same where the threshold itself fires (FP-3.8)."""
COUNT_CODES = {"lif": 42, "cuba_lif": 45}
"""First of three codes, by the most spikes in a step (FP-3.9)."""
ROWS = {
    "brf": ("bias", "C/K", "S/K", "D/Kd", "R/KR", "TH", "J", "1/K"),
    "se_adlif": ("bias", "A/K", "1/g", "Be/K", "At/Ka", "Bt", "TH"),
    "alif": ("bias", "A/K", "Rho/K", "Ja", "B0"),
    "lif": ("bias", "A/K", "TH"),
    "cuba_lif": ("bias", "du", "dv", "vth"),
    "li": ("bias", "A/K"),
}
"""Parameter rows of each model; ``X/k`` is parameter X times 2^-k."""


def model_code(model: str, options: Mapping[str, str]) -> int:
    """What :func:`step_lanes` calls a model with these options."""
    spec = MODELS[model]
    if not spec.needs_newer(options):
        return MODEL_CODES[model]
    how, at, more = (spec.options[name].index(options[name]) for name in ("reset", "reset_at", "spikes"))
    if more:
        return COUNT_CODES[model] + more - 1
    return (EDGE_CODES if options["fires"] == "at" else RESET_CODES)[model] + how + 3 * at


@inlined
def _sat(x):
    return min(max(x, -MAX), MAX)


@inlined
def _current(u, decay, drive):
    """The current of FP-3.5, which wraps once."""
    x = trunc(u * decay) + drive * 64.0
    return x - 2.0 * WRAP if x > WRAP else (x + 2.0 * WRAP if x <= -WRAP else x)


@compiled
def brf(parameters, states, drive, before, after):
    """FP-3.1."""
    u, v, q = states[0], states[1], states[2]
    bias, c, s, dq, r = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    threshold, jump, unit = parameters[5], parameters[6], parameters[7, 0]
    for i in range(u.size):
        u0, v0, q0 = u[i], v[i], q[i]
        d = max(0.0, c[i] - trunc(q0 * dq[i]) * unit)
        u1 = _sat(trunc(u0 * d) - trunc(v0 * s[i]) + (drive[i] + bias[i]))
        v1 = _sat(trunc(u0 * s[i]) + trunc(v0 * d))
        z = u1 - q0 > threshold[i]
        u[i] = u1
        v[i] = v1
        q[i] = _sat(trunc(q0 * r[i]) + (jump[i] if z else 0.0))
        after[i] = z


@compiled
def se_adlif(parameters, states, drive, before, after, adapts_before):
    """FP-3.2; ``adapts_before``: z* is the spike of step t - 1."""
    u, w = states[0], states[1]
    bias, a, guard, be, at = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    bt, threshold = parameters[5], parameters[6]
    for i in range(u.size):
        w0 = w[i]
        u1 = _sat(trunc(u[i] * a[i]) - trunc(w0 * guard[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        u1 = 0.0 if z else u1
        star = before[i] != 0 if adapts_before else z
        u[i] = u1
        w[i] = _sat(trunc(w0 * be[i]) + trunc(u1 * at[i]) + (bt[i] if star else 0.0))
        after[i] = z


@compiled
def alif(parameters, states, drive, before, after):
    """FP-3.3."""
    a, u = states[0], states[1]
    bias, alpha, rho, ja, b0 = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(u.size):
        spiked = before[i] != 0
        a1 = _sat(trunc(a[i] * rho[i]) + (ja[i] if spiked else 0.0))
        threshold = b0[i] + a1
        u1 = _sat(trunc(u[i] * alpha[i]) + (drive[i] + bias[i]) - (threshold if spiked else 0.0))
        a[i] = a1
        u[i] = u1
        after[i] = u1 > threshold


@compiled
def lif(parameters, states, drive, before, after, subtracts):
    """FP-3.4; ``subtracts``: reset by subtraction."""
    u = states[0]
    bias, a, threshold = parameters[0], parameters[1], parameters[2]
    for i in range(u.size):
        u1 = _sat(trunc(u[i] * a[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        reset = u1 - threshold[i] if subtracts else 0.0  # u1 > threshold >= 0: the difference is a valid state
        u[i] = reset if z else u1
        after[i] = z


@compiled
def cuba_lif(parameters, states, drive, before, after):
    """FP-3.5; rows du, dv, vth hold (4096 - (du + 1)) / 4096, (4096 - dv) / 4096 and vth * 64."""
    u, v = states[0], states[1]
    bias, du, dv, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(u.size):
        u1 = _current(u[i], du[i], drive[i])
        v1 = _sat(trunc(v[i] * dv[i]) + u1 + bias[i])
        z = v1 > threshold[i]
        u[i] = u1
        v[i] = 0.0 if z else v1
        after[i] = z


@compiled
def li(parameters, states, drive):
    """FP-3.6."""
    u = states[0]
    bias, a = parameters[0], parameters[1]
    for i in range(u.size):
        u[i] = _sat(trunc(u[i] * a[i]) + (drive[i] + bias[i]))


@inlined
def _reset(x, threshold, how):
    return 0.0 if how == 0 else (_sat(x - threshold) if how == 1 else x)


@inlined
def _fires(x, x_before, threshold, at, below):
    edge = threshold - below
    return (x - threshold if at == 2 and x_before > edge else x) > edge


@inlined
def _count(x, threshold, most):
    """The quotient of two integers of 24 bits is rounded by less than it is away from the next integer."""
    return min(np.floor(max(x, 0.0) / threshold), most)


@compiled
def lif_resets(parameters, states, drive, before, after, how, at, below):
    """FP-3.4 with FP-3.7; ``how``: 0 zero, 1 subtract, 2 none; ``at``: 0 same, 1 next, 2 carried; ``below``: 1 where
    the threshold itself fires (FP-3.8), else 0."""
    u = states[0]
    bias, a, threshold = parameters[0], parameters[1], parameters[2]
    for i in range(u.size):
        x = _sat(trunc(u[i] * a[i]) + (drive[i] + bias[i]))
        if at == 1 and before[i] != 0:
            x = _reset(x, threshold[i], how)
        z = _fires(x, u[i], threshold[i], at, below)
        u[i] = _reset(x, threshold[i], how) if z and at != 1 else x
        after[i] = z


@compiled
def cuba_lif_resets(parameters, states, drive, before, after, how, at, below):
    """FP-3.5 with FP-3.7 and FP-3.8, in the rows of :func:`cuba_lif` and the numbers of :func:`lif_resets`."""
    u, v = states[0], states[1]
    bias, du, dv, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(u.size):
        u1 = _current(u[i], du[i], drive[i])
        x = _sat(trunc(v[i] * dv[i]) + u1 + bias[i])
        if at == 1 and before[i] != 0:
            x = _reset(x, threshold[i], how)
        z = _fires(x, v[i], threshold[i], at, below)
        u[i] = u1
        v[i] = _reset(x, threshold[i], how) if z and at != 1 else x
        after[i] = z


@compiled
def lif_counts(parameters, states, drive, after, most):
    """FP-3.4 with FP-3.9."""
    u = states[0]
    bias, a, threshold = parameters[0], parameters[1], parameters[2]
    for i in range(u.size):
        x = _sat(trunc(u[i] * a[i]) + (drive[i] + bias[i]))
        count = _count(x, threshold[i], most)
        u[i] = x - count * threshold[i]
        after[i] = count


@compiled
def cuba_lif_counts(parameters, states, drive, after, most):
    """FP-3.5 with FP-3.9, in the rows of :func:`cuba_lif`."""
    u, v = states[0], states[1]
    bias, du, dv, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(u.size):
        u1 = _current(u[i], du[i], drive[i])
        x = _sat(trunc(v[i] * dv[i]) + u1 + bias[i])
        count = _count(x, threshold[i], most)
        u[i] = u1
        v[i] = x - count * threshold[i]
        after[i] = count


@inlined
def _most(index):
    return 15.0 if index == 0 else (31.0 if index == 1 else 255.0)


@compiled
def step_lanes(model, option, parameters, states, drive, before, after):
    if model == 0:
        brf(parameters, states, drive, before, after)
    elif model == 1:
        se_adlif(parameters, states, drive, before, after, option)
    elif model == 2:
        alif(parameters, states, drive, before, after)
    elif model == 3:
        lif(parameters, states, drive, before, after, option)
    elif model == 4:
        cuba_lif(parameters, states, drive, before, after)
    elif model == 5:
        li(parameters, states, drive)
    elif model < 15:
        lif_resets(parameters, states, drive, before, after, (model - 6) % 3, (model - 6) // 3, 0.0)
    elif model < 24:
        cuba_lif_resets(parameters, states, drive, before, after, (model - 15) % 3, (model - 15) // 3, 0.0)
    elif model < 33:
        lif_resets(parameters, states, drive, before, after, (model - 24) % 3, (model - 24) // 3, 1.0)
    elif model < 42:
        cuba_lif_resets(parameters, states, drive, before, after, (model - 33) % 3, (model - 33) // 3, 1.0)
    elif model < 45:
        lif_counts(parameters, states, drive, after, _most(model - 42))
    else:
        cuba_lif_counts(parameters, states, drive, after, _most(model - 45))
