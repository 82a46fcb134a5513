"""Engine ``float``: NumPy simulation of a NIR graph in float64, all neuron models, the equations of
:mod:`export.interchange.steps` line by line.

States are recorded as the integer engines record them, after the reset that belongs to the step. Populations that do
not feed back into each other run one after the other over all steps; those that do run step by step together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.discretise import discretise
from export.interchange.float_neurons import State, step_of
from export.interchange.order import components
from export.interchange.reading import Reading
from export.interchange.steps import StepInput, StepNetwork, StepPopulation, StepProjection, states_of
from hardware.trace import Trace

Inputs = Any
"""(T, B, N_in), or a mapping of such arrays by the name of the input."""


@dataclass(frozen=True)
class Carry:
    """Where a run in chunks of steps stands.

    Attributes:
        step: steps done.
        states: of each population, by name.
        past: of each input and population its last steps, as many as the longest delay and at least one, (H, B, N),
            oldest first.
    """

    step: int
    states: Mapping[str, State]
    past: Mapping[str, np.ndarray]


def run(
    network: nir.NIRGraph | StepNetwork,
    inputs: Inputs,
    record: Sequence[str] | str = (),
    reading: Reading | None = None,
    state_units: Mapping[str, np.ndarray] | None = None,
) -> Trace:
    """Run a network in float64.

    Args:
        network: a NIR graph, or its difference equations.
        inputs: (T, B, N_in), integers or bool (spikes, graded payloads) within the network's input range; a mapping by
            name where there are several inputs.
        record: state names (``"u"``: of every layer that has it), ``"u/hidden0"``, or ``"all"``.
        reading: conventions for a graph from elsewhere.
        state_units: layer name -> (N,); states are cut toward zero to multiples of it after every step (a study of
            state precision).

    Returns:
        Trace of engine ``float``: spikes uint8, output (of a leaky integrator) and states float64.

    Raises:
        ExportError: inputs of the wrong shape or out of range; an unknown state name; a state that overflows.
    """
    steps = network if isinstance(network, StepNetwork) else discretise(network, reading)
    return run_chunk(steps, inputs, record, None, state_units)[0]


def run_chunk(
    steps: StepNetwork,
    inputs: Inputs,
    record: Sequence[str] | str = (),
    carry: Carry | None = None,
    state_units: Mapping[str, np.ndarray] | None = None,
) -> tuple[Trace, Carry]:
    """The next steps of a run, and where it stands after them; what a run in one piece gives, up to the rounding of
    sums.

    Args:
        carry: of the chunk before; None: a new start. The rest as for :func:`run`.
    """
    values = named_inputs(steps, inputs)
    wanted = recorded_states(steps, record)
    signals = {item.name: values[item.name].astype(np.float64) * item.scale for item in steps.inputs}
    states: dict[str, np.ndarray] = {}
    after: dict[str, State] = {}
    for names in _groups(steps):
        group = _Group(steps, names, signals, wanted, state_units or {}, carry)
        states.update(group.run())
        after.update(group.after)
    spikes = {p.name: _counts(signals[p.name]) for p in steps.populations if p.spiking}
    out = steps.output
    others = {
        f"u/{name}": signals[name] for name in steps.outputs if name not in spikes and name != out.name
    }  # as hardware.trace
    output = spikes[out.name] if out.spiking else signals[out.name]
    trace = Trace(engine="float", output=output, spikes=spikes, states={**others, **states})
    return trace, _carried(steps, signals, after, carry)


def _carried(
    network: StepNetwork, signals: Mapping[str, np.ndarray], states: Mapping[str, State], before: Carry | None
) -> Carry:
    length = max([1, *(item.delay for item in network.projections)])
    past = {}
    for name, signal in signals.items():
        earlier = np.zeros((length, *signal.shape[1:])) if before is None else before.past[name]
        past[name] = np.concatenate([earlier, signal[-length:]])[-length:]
    done = next(iter(signals.values())).shape[0]
    return Carry(done + (0 if before is None else before.step), dict(states), past)


def _counts(spikes: np.ndarray) -> np.ndarray:
    """uint8, or int64 where a neuron sends more than 255 spikes in a step."""
    return spikes.astype(np.uint8 if spikes.max() <= 255 else np.int64)


def named_inputs(network: StepNetwork, inputs: Inputs) -> dict[str, np.ndarray]:
    """An array (T, B, N) of numbers in range for each input, by name; ExportError otherwise."""
    if not isinstance(inputs, Mapping):
        if len(network.inputs) != 1:
            names = ", ".join(item.name for item in network.inputs)
            raise ExportError(f"the network has several inputs; give an array for each of {names}")
        return {network.inputs[0].name: _check_input(network.inputs[0], inputs, "inputs")}
    known = [item.name for item in network.inputs]
    if sorted(map(str, inputs)) != sorted(known):
        raise ExportError(f"inputs are given for {', '.join(map(str, inputs))}; the network's are {', '.join(known)}")
    found = {item.name: _check_input(item, inputs[item.name], f"inputs '{item.name}'") for item in network.inputs}
    if len({value.shape[:2] for value in found.values()}) > 1:
        listed = ", ".join(f"{name} {value.shape}" for name, value in found.items())
        raise ExportError(f"inputs must share steps and samples, got {listed}")
    return found


def check_inputs(network: StepNetwork, inputs: Any) -> np.ndarray:
    """The only input as an array (T, B, N_in) of numbers in the network's range; ExportError otherwise."""
    found = named_inputs(network, inputs)
    return found[network.inputs[0].name]


def _check_input(accepted: StepInput, inputs: Any, what: str) -> np.ndarray:
    values = np.asarray(inputs)
    if values.dtype.kind not in "iubf":
        raise ExportError(f"{what} hold {values.dtype}; they must be integers (spikes or payloads)")
    if values.ndim != 3 or 0 in values.shape or values.shape[2] != accepted.size:
        raise ExportError(
            f"{what} have shape {values.shape}; expected (steps, samples, {accepted.size}), each at least 1"
        )
    low, high = accepted.low, accepted.high
    if not np.isfinite(values).all() or values.min() < low or values.max() > high:
        raise ExportError(f"{what} reach from {values.min()} to {values.max()}; the network takes {low} to {high}")
    return values


def recorded_states(network: StepNetwork, record: Sequence[str] | str) -> list[str]:
    """``<state>/<layer>`` for every state asked for; ExportError for a name that no layer has."""
    every = [f"{state}/{item.name}" for item in network.populations for state in states_of(item.kind)]
    if record == "all":
        return every
    wanted: list[str] = []
    for item in [record] if isinstance(record, str) else record:
        found = [key for key in every if key == item or key.partition("/")[0] == item]
        if not found:
            raise ExportError(f"no layer has the state '{item}'; states are {', '.join(every)}")
        wanted += [key for key in found if key not in wanted]
    return wanted


def _groups(network: StepNetwork) -> list[list[str]]:
    """Populations that feed back into each other, together; in an order in which everything else comes first."""
    names = [population.name for population in network.populations]
    heard = {name: [p.source for p in network.into(name) if p.source in names] for name in names}
    return components(names, heard)


class _Group:
    """Populations that must run step by step together; most often one."""

    def __init__(
        self,
        network: StepNetwork,
        names: Sequence[str],
        signals: dict[str, np.ndarray],
        wanted: Sequence[str],
        units: Mapping[str, np.ndarray],
        carry: Carry | None,
    ) -> None:
        self.carry, self.after = carry, dict[str, State]()
        self.members = [p for p in network.populations if p.name in names]
        self.signals, self.units = signals, units
        self.steps, self.batch = next(iter(signals.values())).shape[:2]
        self.kept = {p.name: [s for s in states_of(p.kind) if f"{s}/{p.name}" in wanted] for p in self.members}
        self.inner = {p.name: [item for item in network.into(p.name) if item.source in names] for p in self.members}
        outer = {p.name: [item for item in network.into(p.name) if item.source not in names] for p in self.members}
        self.current = {p.name: self._heard(p, outer[p.name]) for p in self.members}

    def _heard(self, population: StepPopulation, projections: Sequence[StepProjection]) -> np.ndarray:
        """(T, B, N): what comes from outside the group, of all steps at once."""
        total: np.ndarray | None = None
        for item in projections:
            signal = self.signals[item.source]
            rows = signal.reshape(self.steps * self.batch, -1)
            found = item.weights.apply(rows).reshape(self.steps, self.batch, population.size)
            if item.delay:
                late = np.zeros_like(found)
                late[item.delay :] = found[: max(0, self.steps - item.delay)]
                if self.carry is not None:
                    before = self.carry.past[item.source]
                    rows = before[len(before) - item.delay :][: self.steps]
                    first = item.weights.apply(rows.reshape(len(rows) * self.batch, -1))
                    late[: item.delay] = first.reshape(len(rows), self.batch, population.size)
                found = late
            total = found if total is None else total + found
        return np.zeros((self.steps, self.batch, population.size)) if total is None else total

    def run(self) -> dict[str, np.ndarray]:
        """The states asked for; outputs of the members join ``signals``."""
        state: dict[str, State] = {}
        recorded: dict[str, np.ndarray] = {}
        for p in self.members:
            if self.carry is None:
                start = {n: np.broadcast_to(p.initial.get(n, 0.0), (self.batch, p.size)) for n in states_of(p.kind)}
                state[p.name] = {name: np.array(value, np.float64) for name, value in start.items()}
            else:
                state[p.name] = dict(self.carry.states[p.name])
            self.signals[p.name] = np.zeros((self.steps, self.batch, p.size))
            recorded.update({f"{name}/{p.name}": np.empty_like(self.signals[p.name]) for name in self.kept[p.name]})
        for t in range(self.steps):
            for p in self.members:
                state[p.name] = found = self._step(p, state[p.name], t)
                for name in self.kept[p.name]:
                    recorded[f"{name}/{p.name}"][t] = found[name]
        for p in self.members:
            self._check_finite(p, state[p.name])
        self.after = state
        return recorded

    def _signal(self, name: str, t: int) -> np.ndarray | None:
        """(B, N) of an input or population at a step of this chunk, or before it; None before the first one."""
        if t >= 0:
            result: np.ndarray | None = self.signals[name][t]
            return result
        return None if self.carry is None else self.carry.past[name][t]

    def _step(self, p: StepPopulation, state: State, t: int) -> State:
        total = self.current[p.name][t]
        if p.kind != "cuba_lif":
            total = total + p.bias
        for item in self.inner[p.name]:
            heard = self._signal(item.source, t - item.delay)
            if heard is not None:
                total = total + item.weights.apply(heard)
        done = 0 if self.carry is None else self.carry.step
        for start, late in p.late_bias.items():
            if done + t >= start:
                total = total + late
        output = self.signals[p.name]
        before = self._signal(p.name, t - 1) if p.spiking else None
        z = np.zeros((self.batch, p.size)) if before is None else before
        state, spikes = step_of(p.kind)(p, state, z, total)
        unit = self.units.get(p.name)
        if unit is not None:
            state = {name: np.trunc(value / unit) * unit for name, value in state.items()}
        output[t] = spikes if p.spiking else state["u"]
        return state

    def _check_finite(self, population: StepPopulation, state: State) -> None:
        final = [value for value in state.values() if not np.isfinite(value).all()]
        if final:
            neuron = int(np.argwhere(~np.isfinite(final[0]))[0][1])
            steps = self.steps + (0 if self.carry is None else self.carry.step)
            raise ExportError(
                f"layer {population.name}: neuron {neuron} overflows within {steps} steps; the float network is "
                "unstable: check its weights"
            )
