"""What a run of any engine returns: outputs, spikes and recorded states, as integers; and what may be asked to be
recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hardware.errors import InputError

if TYPE_CHECKING:
    from hardware.program import Program


@dataclass(frozen=True, eq=False)
class NetworkState:
    """Everything that step t hands to step t + 1.

    Attributes:
        states: ``"<state>/<layer>"`` -> int32 (B, N), every state of every layer.
        spikes: layer name -> uint8 (B, N), spikes of step t, every spiking layer.
    """

    states: Mapping[str, np.ndarray]
    spikes: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Trace:
    """Result of running a network on a batch of sequences.

    Attributes:
        engine: name of the engine that really ran.
        output: (T, B, N_out); spikes (uint8) of a spiking output layer, first state (int32) of a leaky-integrator
            readout.
        spikes: layer name -> uint8 (T, B, N), every spiking layer.
        states: ``"<state>/<layer>"`` -> int32 (T, B, N), value after step t; only what was asked for.
        final_state: what the next chunk of the same sequences starts from, or None where an engine does not give it.
    """

    engine: str
    output: np.ndarray
    spikes: Mapping[str, np.ndarray] = field(default_factory=dict)
    states: Mapping[str, np.ndarray] = field(default_factory=dict)
    final_state: NetworkState | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays under the keys of ``OUT.npz``: ``output``, ``spikes/<layer>``, ``<state>/<layer>``."""
        named = {"output": self.output}
        named.update({f"spikes/{layer}": value for layer, value in self.spikes.items()})
        named.update(self.states)
        return named


def recorded_states(program: Program, record: str | Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Resolve what the user asks to record into (state, layer name) pairs, in the order of evaluation.

    Args:
        record: ``"all"``, or names: ``"u"`` (that state of every layer that has it) or ``"u/hidden0"``.

    Raises:
        InputError: for a name that no layer has.
    """
    available = [(state, layer.name) for layer in program.layers for state in layer.spec.states]
    wanted = [record] if isinstance(record, str) else list(record)
    chosen: set[tuple[str, str]] = set()
    for name in wanted:
        state, _, where = str(name).partition("/")
        found = [pair for pair in available if name == "all" or (pair[0] == state and where in ("", pair[1]))]
        if not found:
            names = ", ".join(f"{state}/{layer}" for state, layer in available)
            raise InputError(f"cannot record '{name}': no layer has that state; states are {names}")
        chosen.update(found)
    return tuple(pair for pair in available if pair in chosen)
