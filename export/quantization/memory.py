"""How many bits of memory an integer network needs: what a search for a cheap format makes small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware.models import STATE_BITS
from hardware.program import Program

FORMULA = (
    "synapses: weight bits for each synapse, dense; parameters: for each coefficient, threshold and bias the bits of "
    "its largest integer, for each neuron, or once where all neurons of a layer share the value; states: for each "
    "neuron and state the bits of the largest calibrated integer, its sign and the headroom, at most 24"
)


@dataclass(frozen=True)
class Memory:
    """Bits; see :data:`FORMULA`."""

    synapses: int
    parameters: int
    states: int

    @property
    def total(self) -> int:
        return self.synapses + self.parameters + self.states


def memory(program: Program, peaks: Mapping[str, int], headroom_bits: int) -> Memory:
    """Memory of a Program.

    Args:
        peaks: ``"<state>/<layer>"`` -> largest magnitude of that state on calibration inputs. Engines carry 24 bits for
            any state; these are the ones that it uses.
        headroom_bits: kept free above a peak.
    """
    synapses = parameters = states = 0
    for layer in program.layers:
        for group in (layer.input, layer.recurrent):
            synapses += 0 if group is None else group.weight_bits * group.weight.size
        for values in (*layer.parameters.values(), layer.bias):
            parameters += _bits(values) * (1 if np.all(values == values[0]) else values.size)
        for state in layer.spec.states:
            width = 1 + int(peaks[f"{state}/{layer.name}"]).bit_length() + headroom_bits
            states += min(STATE_BITS, width) * layer.size
    return Memory(synapses, parameters, states)


def _bits(values: np.ndarray) -> int:
    """Bits that hold each of these integers, with a sign where one is negative."""
    low, high = int(values.min()), int(values.max())
    return max(high, -low - 1, 0).bit_length() + (low < 0)
