"""Calibration inputs, and what a float run over them shows: peaks of states and numbers of spikes.

Time runs in chunks and only peaks and counts are kept, so the memory does not grow with the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.float_engine import Carry, Inputs, run_chunk
from export.interchange.steps import StepNetwork, states_of
from export.quantization.tensors import state_factor

MAX_CALIBRATION_SAMPLES = 64
"""So many samples of each array (or file) are run."""

_CHUNK_VALUES = 2**18
_CHUNK_STEPS = (16, 512)


@dataclass
class Statistics:
    """What a float run over calibration inputs shows.

    Attributes:
        peaks: ``state/population`` -> (N,), largest magnitude in the state's own real unit.
        spikes: population -> (N,), number of spikes. most_spikes: population -> most of one neuron in one step.
        steps: steps of all samples together. longest: steps of the longest recording.
        silent_inputs: no input is ever anything but 0.
    """

    peaks: dict[str, np.ndarray] = field(default_factory=dict)
    spikes: dict[str, np.ndarray] = field(default_factory=dict)
    most_spikes: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    longest: int = 0
    silent_inputs: bool = True

    def largest(self, network: StepNetwork, guard_bits: int) -> list[float]:
        """Largest magnitude of any state of each population, in units of its first state (as the integers hold
        it)."""
        found = []
        for population in network.populations:
            peaks = [
                float(np.max(self.peaks[f"{state}/{population.name}"] * factor))
                for state in states_of(population.kind)
                for factor in [state_factor(population.kind, population.parameters, state, guard_bits)]
            ]
            more = self.most_spikes.get(population.name, 0) - 1  # of a count one threshold is added as for one spike
            taken = more * float(np.max(np.abs(population.parameters["theta"]))) if more > 0 else 0.0
            found.append(max(peaks) + taken)
        return found


def recordings(calibration: Any) -> Iterator[Inputs]:
    """Calibration inputs one recording after the other, time-major, at most 64 samples of each.

    Args:
        calibration: an array (B, T, N_in) or what NumPy reads as one; a mapping of such arrays by the name of the
            input; or a sequence of either, whose lengths may differ (one that reads files as they are asked for keeps
            one of them in memory).

    Raises:
        QuantizationError: an array that is not (batch, steps, channels), or nothing at all.
    """
    if not _several(calibration):
        yield few_samples(calibration)
        return
    for item in calibration:
        yield few_samples(item)


def few_samples(calibration: Any) -> np.ndarray | dict[str, np.ndarray]:
    """The first samples of calibration inputs, time-major; a mapping stays one.

    Raises:
        QuantizationError: an array that is not (batch, steps, channels).
    """
    if isinstance(calibration, Mapping):
        return {str(name): _few(value) for name, value in calibration.items()}
    return _few(calibration)


def first_recording(calibration: Any) -> np.ndarray | dict[str, np.ndarray]:
    """The first of several recordings, as :func:`few_samples`."""
    result: np.ndarray | dict[str, np.ndarray] = next(iter(recordings(calibration)))
    return result


def statistics(network: StepNetwork, calibration: Any) -> Statistics:
    """Run the float network over calibration inputs; memory does not depend on the number of steps.

    Raises:
        QuantizationError, ExportError: inputs that do not fit the network.
    """
    found = Statistics()
    for values in recordings(calibration):
        carry: Carry | None = None
        length = 0
        for chunk in chunks(network, values):
            arrays = chunk.values() if isinstance(chunk, Mapping) else [chunk]
            found.silent_inputs = found.silent_inputs and not any(np.any(value) for value in arrays)
            trace, carry = run_chunk(network, chunk, "all", carry)
            for key, value in trace.states.items():
                peak = np.maximum(value.max(axis=(0, 1)), -value.min(axis=(0, 1)))
                found.peaks[key] = np.maximum(found.peaks.get(key, 0.0), peak)
            for name, spikes in trace.spikes.items():
                found.spikes[name] = found.spikes.get(name, 0) + spikes.sum(axis=(0, 1), dtype=np.int64)
                found.most_spikes[name] = max(found.most_spikes.get(name, 0), int(spikes.max(initial=0)))
            found.steps += int(np.prod(trace.output.shape[:2]))
            length += len(trace.output)
        found.longest = max(found.longest, length)
    return found


def chunks(network: StepNetwork, values: Inputs) -> Iterator[Inputs]:
    """Inputs in pieces of so many steps that no signal of a piece is large."""
    arrays = values if isinstance(values, Mapping) else {"": values}
    steps, samples = next(iter(arrays.values())).shape[:2]
    widest = max([item.size for item in network.inputs] + [item.size for item in network.populations])
    low, high = _CHUNK_STEPS
    length = min(high, max(low, _CHUNK_VALUES // max(1, samples * widest)))
    for start in range(0, max(steps, 1), length):  # without steps one empty piece, which the engine refuses
        piece = {name: value[start : start + length] for name, value in arrays.items()}
        yield piece if isinstance(values, Mapping) else piece[""]


def _several(calibration: Any) -> bool:
    if not isinstance(calibration, Sequence) or isinstance(calibration, (str, bytes)):
        return False
    if not len(calibration):
        raise QuantizationError("calibration inputs are an empty list; give at least one array or file")
    first = calibration[0]
    return isinstance(first, Mapping) or (isinstance(first, np.ndarray) and first.ndim == 3)


def _few(calibration: Any) -> np.ndarray:
    values = np.asarray(calibration)
    if values.ndim != 3:
        raise QuantizationError(f"calibration inputs have shape {values.shape}; expected (batch, steps, channels)")
    return np.swapaxes(values[:MAX_CALIBRATION_SAMPLES], 0, 1)
