"""How many bits of memory an integer network needs: what a search for a cheap format makes small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware.models import STATE_BITS
from hardware.program import Program
from hardware.synapses import Connections, Convolution, Dense

FORMULA = (
    "synapses: weight bits for each synapse of a matrix or element of a kernel; of sparse synapses also the number of "
    "the source, and for each target where its row begins; parameters: for each coefficient, threshold and bias the "
    "bits of its largest integer, for each neuron, or once where all neurons of a layer share the value; states: for "
    "each neuron and state the bits of the largest calibrated integer, its sign and the headroom, at most 24, and for "
    "each step of delay beyond the first the bits of every value that waits"
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
    parameters = states = 0
    for population in program.populations:
        for values in (*population.parameters.values(), population.bias):
            parameters += _bits(values) * (1 if np.all(values == values[0]) else values.size)
        for state in population.spec.states:
            width = 1 + int(peaks[f"{state}/{population.name}"]).bit_length() + headroom_bits
            states += min(STATE_BITS, width) * population.size
    for source, steps in program.history.items():
        states += (steps - 1) * program.sizes[source] * _bits(np.array(program.ranges[source]))
    return Memory(sum(_synapses(item.synapses) for item in program.projections), parameters, states)


def _synapses(synapses: Connections) -> int:
    if isinstance(synapses, Convolution):
        return synapses.weight_bits * synapses.kernel.size
    if isinstance(synapses, Dense):
        return synapses.weight_bits * synapses.weight.size
    targets, sources = synapses.shape
    each = synapses.weight_bits + (sources - 1).bit_length()
    return each * synapses.weight.size + (targets + 1) * int(synapses.weight.size).bit_length()


def _bits(values: np.ndarray) -> int:
    """Bits that hold each of these integers, with a sign where one is negative."""
    low, high = int(values.min()), int(values.max())
    return max(high, -low - 1, 0).bit_length() + (low < 0)
