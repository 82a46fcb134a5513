"""What errors of weights do to states: errors of currents on calibration data, carried through the neuron's own leak or
rotation.

The error of a weight counts as often as its source speaks, and errors of sources that speak together add up or cancel;
a slow membrane keeps what a fast one forgets. None of this is in the squared error of the weights themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from export.interchange.float_engine import run
from export.interchange.steps import StepNetwork, StepPopulation
from export.interchange.weights import DenseWeights, SparseWeights, Weights
from export.quantization.recordings import first_recording
from export.quantization.scales import Table, squared_error
from export.quantization.synapses import quantize_synapses, restored_weights
from export.quantization.tensors import weight_limit
from hardware.own import OWN

_VALUES = 2**20
"""So many numbers of a signal are kept for the choice of scales."""

_UNSEEN = 0.01
"""Beside what the calibration shows, every source is taken to speak by itself with this part of the mean activity: a
weight whose source is silent on the calibration inputs is stored well, too."""

_MOST = (16, 512)
"""Samples and steps of them."""


def example_inputs(network: StepNetwork, calibration: Any) -> Any:
    """A part of the calibration inputs that is small enough to run often, time-major."""
    values = first_recording(calibration)
    widest = max([item.size for item in network.inputs] + [item.size for item in network.populations])
    arrays = values if isinstance(values, dict) else {"": values}
    steps, samples = next(iter(arrays.values())).shape[:2]
    samples = min(samples, _MOST[0])
    steps = min(steps, _MOST[1])
    while steps * samples * widest > _VALUES and (samples > 2 or steps > 64):
        if samples > 2:
            samples = (samples + 1) // 2
        else:
            steps = max(64, steps // 2)
    part = {name: value[:steps, :samples] for name, value in arrays.items()}
    return part if isinstance(values, dict) else part[""]


class Drives:
    """Signals of every source in a float run, in integers' own value (a payload counts as itself).

    Attributes:
        signals: name -> (T, B, N) of inputs and spiking populations.
    """

    def __init__(self, network: StepNetwork, inputs: Any) -> None:
        arrays = inputs if isinstance(inputs, dict) else {network.inputs[0].name: inputs}
        self.trace = run(network, inputs)
        self.signals = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
        self.signals.update({name: value.astype(np.float32) for name, value in self.trace.spikes.items()})

    def into(self, network: StepNetwork, population: StepPopulation) -> list[np.ndarray]:
        """(T, B, K) for each projection into a population, as its synapses hear it."""
        found = []
        for item in network.into(population.name):
            signal = self.signals.get(item.source)
            if signal is None:  # a leaky integrator sends nothing
                first = next(iter(self.signals.values()))
                signal = np.zeros((*first.shape[:2], network.population(item.source).size), np.float32)
            if item.delay:
                late = np.zeros_like(signal)
                late[item.delay :] = signal[: max(0, len(signal) - item.delay)]
                signal = late
            found.append(signal)
        return found


class StateError:
    """Mean square of the error that integer weights make in the states of a population.

    Args:
        weights: folded, of each projection. heard: what each of them hears (:meth:`Drives.into`).
        poles: what each stage of the state is multiplied with at each step while nothing spikes, (N,) each.
    """

    def __init__(
        self,
        poles: Sequence[np.ndarray],
        weights: Sequence[Weights],
        heard: Sequence[np.ndarray],
    ) -> None:
        self.poles, self.weights, self.heard = list(poles), list(weights), list(heard)
        self.rows = [np.ascontiguousarray(value.reshape(-1, value.shape[2])) for value in heard]

    @classmethod
    def at(cls, network: StepNetwork, population: StepPopulation, weights: Sequence[Weights], drives: Drives) -> Self:
        """Of a population, with what its projections hear in a float run."""
        return cls(_poles(population), weights, drives.into(network, population))

    def some(self, neurons: np.ndarray) -> StateError | None:
        """For a few neurons, ascending; None where weights cannot be taken apart (convolutions)."""
        weights: list[Weights] = []
        for item in self.weights:
            if isinstance(item, DenseWeights):
                weights.append(DenseWeights(item.matrix[neurons]))
            elif isinstance(item, SparseWeights):
                kept = np.isin(item.target, neurons)
                target = np.searchsorted(neurons, item.target[kept])
                shape = (neurons.size, item.shape[1])
                weights.append(SparseWeights(target, item.source[kept], item.values[kept], shape))
            else:
                return None
        return StateError([pole[neurons] for pole in self.poles], weights, self.heard)

    def work(self) -> float:
        """Multiplications of one evaluation."""
        return float(
            sum(len(rows) * np.prod(item.table().shape) for item, rows in zip(self.weights, self.rows, strict=True))
        )

    def of(self, bits: int, exponents: Sequence[int], units: Sequence[np.ndarray]) -> np.ndarray:
        """(C, N): mean square of the error of each state, without spikes, for each of C choices of units.

        Args:
            units: (N,) each, of the synaptic sum.
        """
        return np.concatenate([self._of(bits, exponents, units[i : i + self._together]) for i in self._starts(units)])

    def _starts(self, units: Sequence[np.ndarray]) -> range:
        values = self.heard[0].shape[0] * self.heard[0].shape[1] * len(units[0])
        self._together = max(1, _VALUES * 2 // max(1, values))
        return range(0, len(units), self._together)

    def _of(self, bits: int, exponents: Sequence[int], units: Sequence[np.ndarray]) -> np.ndarray:
        steps, samples = self.heard[0].shape[:2]
        errors = np.zeros((steps, samples, len(units), len(units[0])), np.float32)
        unseen = np.zeros((len(units), len(units[0])))
        for weights, rows, exponent in zip(self.weights, self.rows, exponents, strict=True):
            rate = _UNSEEN * max(float(np.mean(rows**2)), 1e-6)
            for index, unit in enumerate(units):
                if isinstance(weights, DenseWeights):
                    wrong = _rounding(weights.matrix, bits, exponent, unit)
                    errors[:, :, index] += (rows @ wrong.T).reshape(steps, samples, -1)
                    unseen[index] += rate * np.einsum("ij,ij->i", wrong, wrong)
                    continue
                whole = quantize_synapses(weights, bits, exponent, unit, "weights")
                restored = restored_weights(whole, exponent, unit, np.ones_like(unit))
                difference = restored.apply(rows) - weights.apply(rows)
                errors[:, :, index] += difference.reshape(steps, samples, -1)
                table = Table.of(weights)
                each = squared_error(table.values, bits, exponent, table.rows(unit))
                unseen[index] += rate * table.neurons(each)
        values: np.ndarray = errors
        for pole in self.poles:
            values = _filtered(values, pole)
            unseen = unseen / np.maximum(1.0 - np.abs(pole) ** 2, 1.0 / steps)
        seen = (np.abs(values) ** 2).mean(axis=(0, 1), dtype=np.float64)
        return np.asarray(seen + unseen)


def _rounding(matrix: np.ndarray, bits: int, exponent: int, unit: np.ndarray) -> np.ndarray:
    """Integer weights in their own value less the real ones, float32 (N, K); what ties do is left to the quantization
    itself, which is ten times slower and would measure the same."""
    step = unit[:, None] * 2.0**exponent
    wrong = np.divide(matrix, step)
    np.rint(wrong, out=wrong)
    np.clip(wrong, -weight_limit(bits), weight_limit(bits), out=wrong)
    wrong *= step
    wrong -= matrix
    result: np.ndarray = wrong.astype(np.float32)
    return result


def _filtered(values: np.ndarray, pole: np.ndarray) -> np.ndarray:
    """``y_t = pole y_{t-1} + x_t`` along the first axis."""
    kind = np.complex64 if np.iscomplexobj(pole) else np.float32
    pole = pole.astype(kind)
    result = np.empty(values.shape, np.result_type(values, kind))
    state = np.zeros(values.shape[1:], result.dtype)
    for t in range(len(values)):
        state = pole * state + values[t]
        result[t] = state
    return result


def _poles(population: StepPopulation) -> list[np.ndarray]:
    """What a state is multiplied with at each step while nothing spikes, (N,); of two stages one after the other."""
    p, kind = population.parameters, population.kind
    if kind == "brf":
        s = np.minimum(p["dt"] * p["omega"], 1.0)
        c = np.sqrt(1.0 - s * s) - p["dt"] * p["b_offset"]
        return [np.clip(c, -1.0, 1.0) + 1j * s]
    if kind in OWN:  # what its states keep is not known here: errors of currents
        return []
    names = {"cuba_lif": ("alpha_syn", "alpha_mem"), "li": ("kappa",)}.get(kind, ("alpha",))
    return [np.broadcast_to(p[name], (population.size,)) for name in names]
