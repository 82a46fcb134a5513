"""What a run of any engine returns: outputs, spikes and recorded states, as integers; and what may be asked to be
recorded.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.errors import InputError
from hardware.program import Program


@dataclass(frozen=True, eq=False)
class NetworkState:
    """Everything that step t hands to step t + 1.

    Attributes:
        states: ``"<state>/<population>"`` -> int32 (B, N), every state of every population.
        spikes: population -> uint8 (B, N), spikes of step t, every spiking population.
        history: source (input or population) -> (D, B, N), its last D steps, oldest first, D the longest delay of its
            projections; uint8 for populations, int32 for inputs; sources without a delay are left out. The last row
            of a population is its ``spikes``, and for D = 1 may be left out.
    """

    states: Mapping[str, np.ndarray]
    spikes: Mapping[str, np.ndarray]
    history: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trace:
    """Result of running a network on a batch of sequences.

    Attributes:
        engine: name of the engine that really ran.
        output: (T, B, N_out) of the output that the decision reads; spikes (uint8) where it spikes, else its first
            state (int32).
        spikes: population -> uint8 (T, B, N), every spiking population.
        states: ``"<state>/<population>"`` -> int32 (T, B, N), value after step t; what was asked for, and the first
            state of further outputs that do not spike.
        final_state: what the next chunk of the same sequences starts from, or None where an engine does not give it.
    """

    engine: str
    output: np.ndarray
    spikes: Mapping[str, np.ndarray] = field(default_factory=dict)
    states: Mapping[str, np.ndarray] = field(default_factory=dict)
    final_state: NetworkState | None = None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.dtype}{value.shape}" for name, value in self.arrays().items())
        return f"Trace(engine={self.engine!r}, {shapes})"

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays under the keys of ``OUT.npz``: ``output``, ``spikes/<population>``, ``<state>/<population>``."""
        named = {"output": self.output}
        named.update({f"spikes/{name}": value for name, value in self.spikes.items()})
        named.update(self.states)
        return named


def output_key(program: Program) -> str:
    """Key of the array that is ``Trace.output``."""
    out = program.output
    return f"spikes/{out.name}" if out.spec.spiking else f"{out.spec.states[0]}/{out.name}"


def recorded_states(program: Program, record: str | Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Resolve what the user asks to record into (state, population) pairs, in the order of evaluation; the first state
    of outputs that do not spike and are not ``Trace.output`` is among them always.

    Args:
        record: ``"all"``, or names: ``"u"`` (that state of every population that has it) or ``"u/hidden0"``.

    Raises:
        InputError: for a name that no population has.
    """
    available = [(state, item.name) for item in program.populations for state in item.spec.states]
    wanted = [record] if isinstance(record, str) else list(record)
    others = (program.population(name) for name in program.outputs if name != program.output.name)
    chosen: set[tuple[str, str]] = {(item.spec.states[0], item.name) for item in others if not item.spec.spiking}
    for name in wanted:
        state, _, where = str(name).partition("/")
        found = [pair for pair in available if name == "all" or (pair[0] == state and where in ("", pair[1]))]
        if not found:
            names = ", ".join(f"{state}/{population}" for state, population in available)
            raise InputError(f"cannot record '{name}': no layer has that state; states are {names}")
        chosen.update(found)
    return tuple(pair for pair in available if pair in chosen)


def make_trace(
    program: Program,
    engine: str,
    states: Mapping[str, np.ndarray],
    spikes: Mapping[str, np.ndarray],
    chosen: Container[str],
    final: NetworkState | None,
) -> Trace:
    """A Trace out of what an engine collected.

    Args:
        states: at least those chosen, and the output's first state where it does not spike.
        spikes: at least those of the output where it spikes.
        chosen: keys ``"<state>/<population>"`` that were asked for.
    """
    found = {**{f"spikes/{name}": value for name, value in spikes.items()}, **states}
    spiking = [item.name for item in program.populations if item.spec.spiking]
    return Trace(
        engine=engine,
        output=found[output_key(program)],
        spikes={name: spikes[name] for name in spiking if name in spikes},
        states={key: value for key, value in states.items() if key in chosen},
        final_state=final,
    )


def side_by_side(engine: str, traces: Sequence[Trace]) -> Trace:
    """Traces of consecutive samples of one batch as the trace of all; a final state where every one of them has it."""
    finals = [trace.final_state for trace in traces if trace.final_state is not None]
    final = None
    if len(finals) == len(traces):
        final = NetworkState(
            _joined([state.states for state in finals], 0),
            _joined([state.spikes for state in finals], 0),
            _joined([state.history for state in finals], 1),
        )
    return Trace(
        engine=engine,
        output=np.concatenate([trace.output for trace in traces], axis=1),
        spikes=_joined([trace.spikes for trace in traces], 1),
        states=_joined([trace.states for trace in traces], 1),
        final_state=final,
    )


def _joined(parts: Sequence[Mapping[str, np.ndarray]], axis: int) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts], axis=axis) for key in parts[0]}
