"""The scalar oracle: one neuron, one step, one sample at a time, in Python ints of unlimited width. Never optimised,
shares no arithmetic with other engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hardware.inputs import check_inputs, check_state
from hardware.program import Layer, Program, Synapses
from hardware.trace import NetworkState, Trace, recorded_states

ENGINE = "reference"
MAX = 2**23 - 1
M = 2**23


def sat(x: int) -> int:
    """FP-1.1."""
    if x > MAX:
        return MAX
    if x < -MAX:
        return -MAX
    return x


def mulsh(x: int, c: int, k: int) -> int:
    """FP-1.2: divide by 2^k toward zero after multiplying by c >= 0."""
    product = abs(x) * c // 2**k
    return -product if x < 0 else product


def shz(x: int, k: int) -> int:
    """FP-1.3: divide by 2^k toward zero."""
    return -(abs(x) // 2**k) if x < 0 else x // 2**k


def brf(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.1."""
    u, v, q = s
    current = drive + n["bias"]
    d = max(0, n["C"] - mulsh(q, n["D"], n["Kd"]))
    u_new = sat(mulsh(u, d, n["K"]) - mulsh(v, n["S"], n["K"]) + current)
    v_new = sat(mulsh(u, n["S"], n["K"]) + mulsh(v, d, n["K"]))
    z = 1 if u_new - q > n["TH"] else 0
    q_new = sat(mulsh(q, n["R"], n["KR"]) + (n["J"] if z else 0))
    return [u_new, v_new, q_new], z


def se_adlif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.2."""
    u, w = s
    u_new = sat(mulsh(u, n["A"], n["K"]) - shz(w, n["g"]) + drive + n["bias"])
    z = 1 if u_new > n["TH"] else 0
    if z:
        u_new = 0
    z_star = z if n["adaptation_spike"] == "current" else z_before
    w_new = sat(mulsh(w, n["Be"], n["K"]) + mulsh(u_new, n["At"], n["Ka"]) + (n["Bt"] if z_star else 0))
    return [u_new, w_new], z


def alif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.3."""
    a, u = s
    a_new = sat(mulsh(a, n["Rho"], n["K"]) + (n["Ja"] if z_before else 0))
    threshold = n["B0"] + a_new
    u_new = sat(mulsh(u, n["A"], n["K"]) + drive + n["bias"] - (threshold if z_before else 0))
    return [a_new, u_new], 1 if u_new > threshold else 0


def lif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.4."""
    u_new = sat(mulsh(s[0], n["A"], n["K"]) + drive + n["bias"])
    if u_new > n["TH"]:
        return [0 if n["reset"] == "zero" else sat(u_new - n["TH"])], 1
    return [u_new], 0


def cuba_lif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.5."""
    u, v = s
    u_new = mulsh(u, 4096 - (n["du"] + 1), 12) + drive * 64
    if u_new > M:
        u_new -= 2 * M
    elif u_new <= -M:
        u_new += 2 * M
    v_new = sat(mulsh(v, 4096 - n["dv"], 12) + u_new + n["bias"])
    if v_new > n["vth"] * 64:
        return [u_new, 0], 1
    return [u_new, v_new], 0


def li(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.6."""
    return [sat(mulsh(s[0], n["A"], n["K"]) + drive + n["bias"])], 0


STEPS = {"brf": brf, "se_adlif": se_adlif, "alif": alif, "lif": lif, "cuba_lif": cuba_lif, "li": li}


def neuron_constants(layer: Layer, index: int) -> dict[str, Any]:
    """Constants of one neuron as Python ints and strings."""
    values: dict[str, Any] = {name: int(array[index]) for name, array in layer.parameters.items()}
    return {
        **values,
        **{name: int(k) for name, k in layer.shifts.items()},
        **layer.options,
        "bias": int(layer.bias[index]),
    }


def synaptic_sum(synapses: Synapses, neuron: int, pre: Sequence[int]) -> int:
    """FP-2.1: one neuron's sum over one group of synapses."""
    total = 0
    for weight, value in zip(synapses.weight[neuron].tolist(), pre, strict=True):
        total += weight * value
    return total * 2**synapses.exponent


def layer_step(
    layer: Layer, pre: Sequence[int], states: Sequence[Sequence[int]], z_before: Sequence[int]
) -> tuple[list[list[int]], list[int]]:
    """One step of one layer of one sample.

    Args:
        pre: values of the layer below at this step, N_pre ints.
        states: for each neuron its states in the model's order.
        z_before: the layer's own spikes one step earlier.

    Returns:
        the new states of each neuron and the spikes.
    """
    new_states, spikes = [], []
    for neuron in range(layer.size):
        drive = synaptic_sum(layer.input, neuron, pre)
        if layer.recurrent is not None:
            drive += synaptic_sum(layer.recurrent, neuron, z_before)
        state, z = STEPS[layer.model](neuron_constants(layer, neuron), states[neuron], z_before[neuron], drive)
        new_states.append(state)
        spikes.append(z)
    return new_states, spikes


def run(
    program: Program, inputs: np.ndarray, record: str | Iterable[str] = (), initial_state: NetworkState | None = None
) -> Trace:
    """Run the network with the oracle.

    Args:
        inputs: integer (T, B, N_in).
        record: see :func:`hardware.trace.recorded_states`.
        initial_state: where to start; zeros by default.

    Raises:
        InputError: if inputs, record or initial state do not fit the program.
    """
    inputs = check_inputs(program, inputs)
    steps, batch, _ = inputs.shape
    start = check_state(program, initial_state, batch)
    chosen = recorded_states(program, record)
    states = {
        f"{s}/{la.name}": np.zeros((steps, batch, la.size), np.int32) for la in program.layers for s in la.spec.states
    }
    spikes = {layer.name: np.zeros((steps, batch, layer.size), np.uint8) for layer in program.layers}
    for b in range(batch):
        now = {
            la.name: [[int(start.states[f"{s}/{la.name}"][b, i]) for s in la.spec.states] for i in range(la.size)]
            for la in program.layers
        }
        z = {la.name: start.spikes[la.name][b].tolist() if la.spec.spiking else [0] * la.size for la in program.layers}
        for t in range(steps):
            pre = [int(value) for value in inputs[t, b]]
            for layer in program.layers:
                now[layer.name], z[layer.name] = layer_step(layer, pre, now[layer.name], z[layer.name])
                pre = z[layer.name]
                spikes[layer.name][t, b] = pre
                for k, state in enumerate(layer.spec.states):
                    states[f"{state}/{layer.name}"][t, b] = [neuron[k] for neuron in now[layer.name]]
    out = program.output
    final = NetworkState(
        {key: value[-1] for key, value in states.items()},
        {la.name: spikes[la.name][-1] for la in program.layers if la.spec.spiking},
    )
    return Trace(
        engine=ENGINE,
        output=spikes[out.name] if out.spec.spiking else states[f"{out.spec.states[0]}/{out.name}"],
        spikes={la.name: spikes[la.name] for la in program.layers if la.spec.spiking},
        states={f"{state}/{name}": states[f"{state}/{name}"] for state, name in chosen},
        final_state=final,
    )
