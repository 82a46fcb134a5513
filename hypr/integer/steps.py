"""One integer step of each model on int64 tensors (B, N), in the notation of ``hardware/FIXED_POINT.md`` (clauses
FP-3.1 to FP-3.6).

Every step has the form ``step(state, z, current, p, k, options) -> (new_state, z_new)``: ``state`` a tuple in the
order of ``hardware.models.MODELS[model].states``, ``z`` the layer's own spikes of the previous step, ``p`` the integer
parameters (N,), ``k`` the shifts. ``current`` is ``I`` of FP-2.1; CubaLIF takes its bias through ``p["bias"]`` because
the bias enters v there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hypr.integer.arithmetic import mulsh, sat, shz, wrap24

State = tuple[Tensor, ...]
Step = Callable[
    [State, Tensor, Tensor, Mapping[str, Tensor], Mapping[str, int], Mapping[str, str]], tuple[State, Tensor]
]


def brf(state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping) -> tuple[State, Tensor]:
    """FP-3.1."""
    u, v, q = state
    d = (p["C"] - mulsh(q, p["D"], k["Kd"])).clamp(min=0)
    u_new = sat(mulsh(u, d, k["K"]) - mulsh(v, p["S"], k["K"]) + current)
    v_new = sat(mulsh(u, p["S"], k["K"]) + mulsh(v, d, k["K"]))
    spike = ((u_new - q) > p["TH"]).to(torch.int64)
    return (u_new, v_new, sat(mulsh(q, p["R"], k["KR"]) + p["J"] * spike)), spike


def se_adlif(
    state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping
) -> tuple[State, Tensor]:
    """FP-3.2."""
    u, w = state
    u_new = sat(mulsh(u, p["A"], k["K"]) - shz(w, k["g"]) + current)
    spike = (u_new > p["TH"]).to(torch.int64)
    u_new = u_new * (1 - spike)
    driver = spike if options["adaptation_spike"] == "current" else z
    return (u_new, sat(mulsh(w, p["Be"], k["K"]) + mulsh(u_new, p["At"], k["Ka"]) + p["Bt"] * driver)), spike


def alif(state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping) -> tuple[State, Tensor]:
    """FP-3.3."""
    a, u = state
    a_new = sat(mulsh(a, p["Rho"], k["K"]) + p["Ja"] * z)
    threshold = p["B0"] + a_new
    u_new = sat(mulsh(u, p["A"], k["K"]) + current - threshold * z)
    return (a_new, u_new), (u_new > threshold).to(torch.int64)


def lif(state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping) -> tuple[State, Tensor]:
    """FP-3.4."""
    u = sat(mulsh(state[0], p["A"], k["K"]) + current)
    spike = (u > p["TH"]).to(torch.int64)
    u = u * (1 - spike) if options["reset"] == "zero" else sat(u - p["TH"] * spike)
    return (u,), spike


def cuba_lif(
    state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping
) -> tuple[State, Tensor]:
    """FP-3.5, Lava's LIF."""
    u, v = state
    u_new = wrap24(mulsh(u, 4096 - (p["du"] + 1), 12) + (current << 6))
    v_new = sat(mulsh(v, 4096 - p["dv"], 12) + u_new + p["bias"])
    spike = (v_new > (p["vth"] << 6)).to(torch.int64)
    return (u_new, v_new * (1 - spike)), spike


def li(state: State, z: Tensor, current: Tensor, p: Mapping, k: Mapping, options: Mapping) -> tuple[State, Tensor]:
    """FP-3.6; the output is the state itself."""
    u = sat(mulsh(state[0], p["A"], k["K"]) + current)
    return (u,), u


STEPS: Mapping[str, Step] = {
    "brf": brf,
    "se_adlif": se_adlif,
    "alif": alif,
    "lif": lif,
    "cuba_lif": cuba_lif,
    "li": li,
}
