"""What a run of any engine returns: outputs, spikes and recorded states, as integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Trace:
    """Result of running a network on a batch of sequences.

    Attributes:
        engine: name of the engine that really ran.
        output: (T, B, N_out); spikes (uint8) of a spiking output layer, first state (int32) of a leaky-integrator readout.
        spikes: layer name -> uint8 (T, B, N), every spiking layer.
        states: ``"<state>/<layer>"`` -> int32 (T, B, N), value after step t; only what was asked for.
    """

    engine: str
    output: np.ndarray
    spikes: Mapping[str, np.ndarray] = field(default_factory=dict)
    states: Mapping[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays under the keys of ``OUT.npz``: ``output``, ``spikes/<layer>``, ``<state>/<layer>``."""
        named = {"output": self.output}
        named.update({f"spikes/{layer}": value for layer, value in self.spikes.items()})
        named.update(self.states)
        return named
