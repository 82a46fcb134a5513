"""Powers of two or units by neuron at 7 and 8 bits: which integers follow the float network's spikes.

Errors of weights and states do not tell it: networks differ in how long a trajectory forgives an error. So both
Programs run on calibration inputs, and the simpler format stays unless the other is clearly closer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.float_engine import run
from export.interchange.steps import StepNetwork
from export.quantization.formats import LayerFormat
from export.quantization.recordings import first_recording
from hardware.emulator import emulate
from hardware.program import Program
from hardware.synapses import Convolution

Build = Callable[[StepNetwork, Sequence[LayerFormat]], Program]

CLOSER = 0.1
"""So much smaller, relatively, must the share of spikes be that differ from the float network's."""

SURE = 2.0
"""So many standard errors over sequences (paired) must the improvement have."""

_FITTED = 16
"""Samples on which units may have been fitted (``drives.example_inputs``); as many others are needed to leave them
out."""

_VALUES = 2**21
"""Most numbers of a signal of the widest population."""


def comparison_inputs(network: StepNetwork, calibration: Any) -> Any:
    """Calibration inputs that no unit was fitted on where there are enough, else all; time-major."""
    values = first_recording(calibration)
    arrays = values if isinstance(values, dict) else {"": values}
    widest = max([item.size for item in network.inputs] + [item.size for item in network.populations])
    steps, samples = next(iter(arrays.values())).shape[:2]
    first = _FITTED if samples >= 2 * _FITTED else 0
    count = max(2, min(samples - first, _VALUES // (steps * widest)))
    steps = max(1, min(steps, _VALUES // (count * widest)))
    part = {name: value[:steps, first : first + count] for name, value in arrays.items()}
    return part if isinstance(values, dict) else part[""]


def closer(
    network: StepNetwork, build: Build, formats: Callable[[str], tuple[LayerFormat, ...]], inputs: Any
) -> tuple[LayerFormat, ...]:
    """Formats in powers of two, unless those by neuron change clearly fewer spikes, or are the only ones possible.

    Args:
        build: makes the Program of formats. formats: of a scale's name. inputs: time-major, whole numbers.

    Raises:
        QuantizationError: neither has a format.
    """
    plain = formats("power_of_two")
    rows = _possible(network, build, lambda: formats("per_row"))
    if rows is None:
        return plain
    try:
        program = build(network, plain)
    except QuantizationError:
        return rows[0]
    if _empty(program) > _empty(rows[1]):
        return rows[0]
    spikes = run(network, inputs).spikes
    old, new = (differing(spikes, made, inputs) for made in (program, rows[1]))
    return rows[0] if clearly_less(old, new) else plain


def differing(spikes: Mapping[str, np.ndarray], program: Program, inputs: Any) -> np.ndarray:
    """Share of spikes of each sequence that differ from the given ones, mean over populations, (B,)."""
    found = emulate(program, _whole(inputs)).spikes
    shares = [np.mean(found[name] != value, axis=(0, 2)) for name, value in spikes.items()]
    return np.mean(shares, axis=0) if shares else np.zeros(0)


def clearly_less(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether the mean of `new` is a tenth below that of `old`, and two standard errors of the paired difference."""
    if old.size < 2:
        return False
    gain = old - new
    error = float(np.std(gain, ddof=1)) / np.sqrt(gain.size)
    return bool(new.mean() <= (1.0 - CLOSER) * old.mean() and gain.mean() > SURE * error)


def _possible(
    network: StepNetwork, build: Build, formats: Callable[[], tuple[LayerFormat, ...]]
) -> tuple[tuple[LayerFormat, ...], Program] | None:
    try:
        found = formats()
        return found, build(network, found)
    except QuantizationError:
        return None


def _empty(program: Program) -> int:
    """Projections of which no weight is left."""
    synapses = [item.synapses for item in program.projections]
    return sum(not np.any(s.kernel if isinstance(s, Convolution) else s.weight) for s in synapses)


def _whole(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: _whole(value) for name, value in inputs.items()}
    return np.ascontiguousarray(inputs).astype(np.int32)
