"""A network as a chain of neurons of unit gain: the form from which files for other tools are written.

``lif``: ``v = decay v' + I``; ``cuba_lif``: ``i = syn_decay i' + I``, ``v = decay v' + i``; ``li``: as lif without
spikes. ``I = W x + W_rec z' + b``. Gains, leaks, the scale of inputs and reset values other than 0 are folded into
weights, biases and thresholds, which changes no spike: what is folded is linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from export.errors import UnsupportedError
from export.interchange.steps import StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import Weights, matrix_of

_LARGEST_MATRIX = 2**26


@dataclass(frozen=True, eq=False)
class PlainLayer:
    """One layer; arrays are float64, (N,) where not said.

    Attributes:
        name, kind: of its population. decay: of the membrane. syn_decay: of the current of a ``cuba_lif``, else None.
        weight: (N, n_in). recurrent: (N, N), one step late, or None. bias: joins the current at every step. late_bias:
            from step 1 on, or None. theta: threshold, None for ``li``. delay: steps by which the input is late.
        reset, timing, spikes, spike_at: see :class:`export.interchange.reading.Reading`.
    """

    name: str
    kind: str
    decay: np.ndarray
    syn_decay: np.ndarray | None
    weight: np.ndarray
    recurrent: np.ndarray | None
    bias: np.ndarray
    late_bias: np.ndarray | None
    theta: np.ndarray | None
    delay: int
    reset: str = "none"
    timing: str = "same_step"
    spikes: str = "single"
    spike_at: str = "above"

    def scaled(self, factor: np.ndarray) -> PlainLayer:
        """The same layer with what enters it multiplied by `factor` (N,), its threshold untouched."""
        column = factor[:, None]
        return replace(
            self,
            weight=self.weight * column,
            recurrent=None if self.recurrent is None else self.recurrent * column,
            bias=self.bias * factor,
            late_bias=None if self.late_bias is None else self.late_bias * factor,
        )

    def with_one_threshold(self) -> PlainLayer:
        """The same spikes with one threshold for all neurons: 1 where they differ."""
        if self.theta is None or np.all(self.theta == self.theta[0]):
            return self
        return replace(self.scaled(1.0 / self.theta), theta=np.ones(self.theta.shape))


def plain_layers(network: StepNetwork) -> list[PlainLayer]:
    """The layers of a chain.

    Raises:
        UnsupportedError: another graph, another neuron, or a value that cannot be folded; names the layer.
    """
    if len(network.inputs) != 1 or list(network.outputs) != [network.populations[-1].name]:
        raise UnsupportedError(
            f"the network has {len(network.inputs)} inputs and outputs {', '.join(network.outputs)}; a file for "
            "another tool is written of a chain, from one input to its last layer"
        )
    below, layers = network.inputs[0].name, []
    for population in network.populations:
        layers.append(_layer(population, network.into(population.name), below, network.scale_of(below)))
        below = population.name
    return layers


def _layer(population: StepPopulation, into: Sequence[StepProjection], below: str, scale: float) -> PlainLayer:
    where = f"layer {population.name}"
    feed = [item for item in into if item.source == below]
    back = [item for item in into if item.source == population.name and item.delay == 1]
    if len(feed) + len(back) != len(into) or not feed or len({item.delay for item in feed}) > 1:
        heard = ", ".join(f"{item.source} (delay {item.delay})" for item in into)
        raise UnsupportedError(
            f"{where} hears {heard or 'nothing'}; a file for another tool is written of a chain: the layer below, at "
            "one delay, and the layer itself one step earlier"
        )
    if population.kind not in ("lif", "cuba_lif", "li"):
        raise UnsupportedError(
            f"{where}: '{population.kind}' is a neuron that no node of NIR describes; train LIF or CubaLIF neurons"
        )
    weight, recurrent = _sum(feed, where) * scale, _sum(back, where) if back else None
    build = _cuba if population.kind == "cuba_lif" else _lif
    return build(population, weight, recurrent, feed[0].delay)


def _sum(projections: Sequence[StepProjection], where: str) -> np.ndarray:
    result: np.ndarray = np.sum([_matrix(item.weights, where) for item in projections], axis=0)
    return result


def _matrix(weights: Weights, where: str) -> np.ndarray:
    rows, columns = weights.shape
    if rows * columns > _LARGEST_MATRIX:
        raise UnsupportedError(f"{where}: its synapses as a matrix are ({rows}, {columns}), more than 2^26 values")
    return matrix_of(weights)


def _lif(population: StepPopulation, weight: np.ndarray, recurrent: np.ndarray | None, delay: int) -> PlainLayer:
    p, options = population.parameters, population.options
    decay = p["kappa" if population.kind == "li" else "alpha"]
    start, theta, leak = np.zeros(population.size), None, p["leak"]
    if population.kind == "lif":
        start, theta = _shift(population, "u")
        leak = leak - (1.0 - decay) * start  # in v - v_reset, which is reset to 0
    elif np.any(population.initial.get("u", 0.0)):
        raise UnsupportedError(_started(population.name))
    return PlainLayer(
        population.name,
        population.kind,
        decay,
        None,
        weight * p["gain"][:, None],
        None if recurrent is None else recurrent * p["gain"][:, None],
        population.bias * p["gain"] + leak,
        _late(population, p["gain"]),
        theta,
        delay,
        **_firing(options),
    )


def _cuba(population: StepPopulation, weight: np.ndarray, recurrent: np.ndarray | None, delay: int) -> PlainLayer:
    p = population.parameters
    start, theta = _shift(population, "v")
    leak = population.bias - (1.0 - p["alpha_mem"]) * start
    if np.any(leak):
        raise UnsupportedError(
            f"layer {population.name}: a bias of its membrane (v_leak, or a v_reset other than 0) acts at once, one of "
            "its current slowly; tools have the second only"
        )
    if np.any(population.initial.get("u", 0.0)):
        raise UnsupportedError(_started(population.name))
    gain = p["syn_gain"] * p["mem_gain"]
    return PlainLayer(
        population.name,
        "cuba_lif",
        p["alpha_mem"],
        p["alpha_syn"],
        weight * gain[:, None],
        None if recurrent is None else recurrent * gain[:, None],
        p["b_syn"] * gain,
        _late(population, gain),
        theta,
        delay,
        **_firing(population.options),
    )


def _shift(population: StepPopulation, state: str) -> tuple[np.ndarray, np.ndarray]:
    """What is taken off the membrane so that it starts at 0 and is reset to 0, and the threshold then."""
    p = population.parameters
    start = np.broadcast_to(np.asarray(population.initial.get(state, 0.0), np.float64), (population.size,))
    zero = population.options["reset"] == "zero"
    if (zero and np.any(p["v_reset"] != start)) or (not zero and np.any(start)):
        raise UnsupportedError(_started(population.name))
    return start, p["theta"] - start


def _started(name: str) -> str:
    return (
        f"layer {name}: its state starts elsewhere than where a reset puts it; tools start membranes at their reset "
        "value (read the network with --start v_reset, or train with v_reset 0)"
    )


def _late(population: StepPopulation, gain: np.ndarray) -> np.ndarray | None:
    late = {step: value for step, value in population.late_bias.items() if np.any(value)}
    if set(late) - {1}:
        raise UnsupportedError(f"layer {population.name}: a bias that starts at step {max(late)} is in no tool")
    return late[1] * gain if late else None


def _firing(options: Mapping[str, str]) -> dict[str, str]:
    if "reset" not in options:
        return {}
    reset, timing = options["reset"], options.get("reset_timing", "same_step")
    return {
        "reset": reset,
        "timing": "same_step" if reset == "none" else timing,
        "spikes": options.get("spikes", "single"),
        "spike_at": options.get("spike_at", "above"),
    }
