"""How many bits of memory an integer network needs: what a search for a cheap format makes small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware.models import STATE_BITS
from hardware.program import Program
from hardware.synapses import Connections, Convolution, Sparse

FORMULA = (
    "synapses: weight bits for each weight that is stored: every pair of neurons (dense), every element of a kernel "
    "(convolution), every synapse (sparse), there with the bits of its source's number and for each row those of the "
    "number of synapses; parameters: for each coefficient, threshold and bias the bits of its largest integer, for "
    "each neuron, or once where all neurons of a population share the value; states: for each neuron and state the "
    "bits of the largest calibrated integer, its sign and the headroom, at most 24; delays: for each channel or neuron "
    "the bits of a value for each step that a delay needs, without the spikes of the step before"
)


@dataclass(frozen=True)
class Memory:
    """Bits; see :data:`FORMULA`."""

    synapses: int
    parameters: int
    states: int
    delays: int = 0

    @property
    def total(self) -> int:
        return self.synapses + self.parameters + self.states + self.delays


def memory(program: Program, peaks: Mapping[str, int], headroom_bits: int) -> Memory:
    """Memory of a Program.

    Args:
        peaks: ``"<state>/<population>"`` -> largest magnitude of that state on calibration inputs. Engines carry 24
            bits for any state; these are the ones that it uses.
        headroom_bits: kept free above a peak.
    """
    synapses = sum(_synapses(projection.synapses) for projection in program.projections)
    parameters = states = 0
    for population in program.populations:
        for values in (*population.parameters.values(), population.bias):
            parameters += _bits(values) * (1 if np.all(values == values[0]) else values.size)
        for state in population.spec.states:
            width = 1 + int(peaks[f"{state}/{population.name}"]).bit_length() + headroom_bits
            states += min(STATE_BITS, width) * population.size
    return Memory(synapses, parameters, states, _delays(program))


def _synapses(synapses: Connections) -> int:
    if isinstance(synapses, Sparse):
        count = int(synapses.weight.size)
        source_bits = (synapses.shape[1] - 1).bit_length()
        return (synapses.weight_bits + source_bits) * count + count.bit_length() * synapses.shape[0]
    weights = synapses.kernel if isinstance(synapses, Convolution) else synapses.weight
    return synapses.weight_bits * int(weights.size)


def _delays(program: Program) -> int:
    """Delay lines; the spikes of the step before are there anyway, they are what a neuron sends."""
    inputs = {item.name for item in program.inputs}
    bits = 0
    for name, steps in program.history.items():
        width = _bits(np.array(program.ranges[name])) if name in inputs else 1
        bits += width * program.sizes[name] * (steps if name in inputs else steps - 1)
    return bits


def _bits(values: np.ndarray) -> int:
    """Bits that hold each of these integers, with a sign where one is negative."""
    low, high = int(values.min()), int(values.max())
    return max(high, -low - 1, 0).bit_length() + (low < 0)
