"""The scalar oracle: one neuron, one step, one sample at a time, in Python ints of unlimited width. Never optimised,
shares no arithmetic with other engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hardware.chain import Layer
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.models import MOST_SPIKES
from hardware.own import scalar_step
from hardware.populations import Population, Projection
from hardware.program import Program
from hardware.synapses import Connections, Convolution, Dense, Sparse
from hardware.trace import NetworkState, Trace, make_trace, recorded_states

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
    result: int = -product if x < 0 else product
    return result


def shz(x: int, k: int) -> int:
    """FP-1.3: divide by 2^k toward zero."""
    result: int = -(abs(x) // 2**k) if x < 0 else x // 2**k
    return result


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


def fire(n: Mapping[str, Any], threshold: int, x: int, x_before: int, z_before: int) -> tuple[int, int]:
    """FP-3.4, FP-3.5, FP-3.7 to FP-3.9: membrane after the reset, and the spikes."""
    if n["spikes"] != "one":
        count = min(max(x, 0) // threshold, MOST_SPIKES[n["spikes"]])
        return x - count * threshold, count
    if n["reset_at"] == "next":
        if z_before:
            x = reset(n, threshold, x)
        return x, 1 if reached(n, threshold, x) else 0
    tested = x
    if n["reset_at"] == "carried" and reached(n, threshold, x_before):
        tested = x - threshold
    if reached(n, threshold, tested):
        return reset(n, threshold, x), 1
    return x, 0


def reached(n: Mapping[str, Any], threshold: int, x: int) -> bool:
    """FP-3.8."""
    return x >= threshold if n["fires"] == "at" else x > threshold


def reset(n: Mapping[str, Any], threshold: int, x: int) -> int:
    if n["reset"] == "zero":
        return 0
    return sat(x - threshold) if n["reset"] == "subtract" else x


def lif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.4."""
    u_new = sat(mulsh(s[0], n["A"], n["K"]) + drive + n["bias"])
    u_new, z = fire(n, n["TH"], u_new, s[0], z_before)
    return [u_new], z


def cuba_lif(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.5."""
    u, v = s
    u_new = mulsh(u, 4096 - (n["du"] + 1), 12) + drive * 64
    if u_new > M:
        u_new -= 2 * M
    elif u_new <= -M:
        u_new += 2 * M
    v_new = sat(mulsh(v, 4096 - n["dv"], 12) + u_new + n["bias"])
    v_new, z = fire(n, n["vth"] * 64, v_new, v, z_before)
    return [u_new, v_new], z


def li(n: Mapping[str, Any], s: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
    """FP-3.6."""
    return [sat(mulsh(s[0], n["A"], n["K"]) + drive + n["bias"])], 0


STEPS = {"brf": brf, "se_adlif": se_adlif, "alif": alif, "lif": lif, "cuba_lif": cuba_lif, "li": li}


def neuron_constants(population: Layer | Population, index: int) -> dict[str, Any]:
    """Constants of one neuron as Python ints and strings."""
    values: dict[str, Any] = {name: int(array[index]) for name, array in population.parameters.items()}
    return {
        **values,
        **{name: int(k) for name, k in population.shifts.items()},
        **population.options,
        "bias": int(population.bias[index]),
    }


def synaptic_sum(synapses: Connections, neuron: int, pre: Sequence[int]) -> int:
    """FP-2.1, FP-2.4, FP-2.5: one neuron's sum of mantissas times the source's values."""
    if isinstance(synapses, Dense):
        return sum(w * x for w, x in zip(synapses.weight[neuron].tolist(), pre, strict=True))
    if isinstance(synapses, Sparse):
        begin, end = int(synapses.indptr[neuron]), int(synapses.indptr[neuron + 1])
        return sum(int(synapses.weight[k]) * pre[int(synapses.indices[k])] for k in range(begin, end))
    return _correlation(synapses, neuron, pre)


def _correlation(synapses: Convolution, neuron: int, pre: Sequence[int]) -> int:
    """FP-2.5, written from its formula."""
    _, height, width = synapses.in_shape
    outputs, out_height, out_width = synapses.out_shape
    o, rest = divmod(neuron, out_height * out_width)
    y, x = divmod(rest, out_width)
    per_group, k_height, k_width = synapses.kernel.shape[1:]
    group = o // (outputs // synapses.groups)
    total = 0
    for c in range(per_group):
        for a in range(k_height):
            row = y * synapses.stride[0] - synapses.padding[0] + a * synapses.dilation[0]
            if not 0 <= row < height:
                continue
            for b in range(k_width):
                column = x * synapses.stride[1] - synapses.padding[1] + b * synapses.dilation[1]
                if 0 <= column < width:
                    source = ((group * per_group + c) * height + row) * width + column
                    total += int(synapses.kernel[o, c, a, b]) * pre[source]
    return total


def population_step(
    population: Population,
    arriving: Sequence[tuple[Projection, Sequence[int]]],
    states: Sequence[Sequence[int]],
    z_before: Sequence[int],
) -> tuple[list[list[int]], list[int]]:
    """One step of one population of one sample.

    Args:
        arriving: projections into the population, each with the values of its source ``delay`` steps ago.
        states: for each neuron its states in the model's order.
        z_before: the population's own spikes one step earlier.

    Returns:
        the new states of each neuron and the spikes.
    """
    new_states, spikes = [], []
    for neuron in range(population.size):
        drive = sum(synaptic_sum(item.synapses, neuron, pre) * 2**item.exponent for item, pre in arriving)
        constants = neuron_constants(population, neuron)
        step = STEPS.get(population.model) or scalar_step(population.model)
        state, z = step(constants, states[neuron], z_before[neuron], drive)
        new_states.append(list(state))
        spikes.append(z)
    return new_states, spikes


def run(
    program: Program, inputs: Inputs, record: str | Iterable[str] = (), initial_state: NetworkState | None = None
) -> Trace:
    """Run the network with the oracle.

    Args:
        inputs: integers (T, B, N_in); with several inputs a mapping by name.
        record: see :func:`hardware.trace.recorded_states`.
        initial_state: where to start; the program's initial states by default.

    Raises:
        InputError: if inputs, record or initial state do not fit the program.
    """
    given = named_inputs(program, inputs)
    steps, batch, _ = next(iter(given.values())).shape
    start = check_state(program, initial_state, batch)
    chosen = [f"{state}/{name}" for state, name in recorded_states(program, record)]
    states = {
        f"{state}/{item.name}": np.zeros((steps, batch, item.size), np.int32)
        for item in program.populations
        for state in item.spec.states
    }
    spikes = {item.name: np.zeros((steps, batch, item.size), np.uint8) for item in program.populations}
    past: dict[str, list[list[list[int]]]] = {name: [] for name in program.history}
    for b in range(batch):
        sample = {name: value[:, b].tolist() for name, value in given.items()}
        for name, rows in _run_sample(program, sample, start, b, states, spikes).items():
            past[name].append(rows)
    kept = {item.name: spikes[item.name] for item in program.populations if item.spec.spiking}
    final = NetworkState(
        {key: value[-1].copy() for key, value in states.items()},
        {name: value[-1].copy() for name, value in kept.items()},
        {
            name: np.array(rows).swapaxes(0, 1).astype(np.uint8 if name in kept else np.int32)
            for name, rows in past.items()
        },
    )
    return make_trace(program, ENGINE, states, kept, chosen, final)


def _run_sample(
    program: Program,
    inputs: Mapping[str, list[list[int]]],
    start: NetworkState,
    b: int,
    states: Mapping[str, np.ndarray],
    spikes: Mapping[str, np.ndarray],
) -> dict[str, list[list[int]]]:
    """All steps of sample b, written into ``states`` and ``spikes``; returns the last steps that delays still need."""
    now = {
        item.name: [[int(start.states[f"{s}/{item.name}"][b, i]) for s in item.spec.states] for i in range(item.size)]
        for item in program.populations
    }
    z = {
        item.name: start.spikes[item.name][b].tolist() if item.spec.spiking else [0] * item.size
        for item in program.populations
    }
    line = {name: value[:, b].tolist() for name, value in start.history.items()}  # oldest first
    for t in range(len(next(iter(inputs.values())))):
        values = {name: sequence[t] for name, sequence in inputs.items()}  # of this step
        for item in program.populations:
            arriving = [
                (into, line[into.source][-into.delay] if into.delay else values[into.source])
                for into in program.into(item.name)
            ]
            now[item.name], z[item.name] = population_step(item, arriving, now[item.name], z[item.name])
            values[item.name] = z[item.name]
            spikes[item.name][t, b] = z[item.name]
            for k, state in enumerate(item.spec.states):
                states[f"{state}/{item.name}"][t, b] = [neuron[k] for neuron in now[item.name]]
        for name, rows in line.items():
            rows.append(values[name])
            del rows[0]
    return line
