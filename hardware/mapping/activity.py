"""How often inputs and neurons send: recorded by an engine, or an assumed rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware.errors import InputError
from hardware.inputs import Inputs, named_inputs
from hardware.program import Program
from hardware.trace import Trace


@dataclass(frozen=True, eq=False)
class Activity:
    """Messages that sources send.

    Attributes:
        rows: input or population -> (R, N): spikes of each neuron at R steps (all samples one after the other), 0 or
            1; with an assumed rate one row of it.
        steps: of a sample. samples: how many were recorded, 0 for an assumed rate.
        origin: where this comes from, a sentence.
    """

    rows: Mapping[str, np.ndarray]
    steps: int
    samples: int
    origin: str

    @classmethod
    def recorded(cls, program: Program, inputs: Inputs, trace: Trace, origin: str = "") -> Activity:
        """From a run with all spikes kept; an input value other than 0 is a message, a count of spikes is one.

        Args:
            inputs: what was run. trace: what came out, ``spikes`` of every spiking population.

        Raises:
            InputError: the trace lacks spikes.
        """
        given = named_inputs(program, inputs)
        steps, samples, _ = next(iter(given.values())).shape
        rows = {name: (value != 0).reshape(steps * samples, -1) for name, value in given.items()}
        for item in program.populations:
            if item.spec.spiking:
                if item.name not in trace.spikes:
                    raise InputError(f"activity: the trace holds no spikes of '{item.name}'; keep all spikes")
                sent = trace.spikes[item.name].reshape(steps * samples, -1)
                rows[item.name] = sent if item.most_spikes == 1 else sent != 0
        return cls(rows, steps, samples, origin or f"{samples} recorded samples of {steps} steps")

    @classmethod
    def uniform(cls, program: Program, rate: float, steps: int) -> Activity:
        """Every input channel and spiking neuron at one rate, in spikes per step."""
        names = [item.name for item in program.inputs] + [it.name for it in program.populations if it.spec.spiking]
        rows = {name: np.full((1, program.sizes[name]), rate, np.float32) for name in names}
        return cls(rows, steps, 0, f"assumed: {rate} spikes per step everywhere")

    def rate(self, source: str, size: int) -> np.ndarray:
        """float64 (N,): spikes per step of each neuron, 0 where it sends nothing."""
        rows = self.rows.get(source)
        return np.zeros(size) if rows is None else rows.mean(axis=0, dtype=np.float64)
