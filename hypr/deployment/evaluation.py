"""Accuracy on a data set from the output of any engine, float or integer: what :mod:`hypr.training.metrics` does,
without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.quantization.dequantize import formats_of
from hardware import emulate
from hardware.chain import Layer
from hardware.decision import classify
from hardware.populations import Population
from hardware.program import Program
from hardware.trace import Trace
from hypr.data.dataset import SequenceDataset
from hypr.errors import HyprError

_DENSE_BYTES = 2**29


def time_major(data: SequenceDataset) -> np.ndarray:
    """Inputs of a data set as every engine takes them: int32 (T, n, N_in)."""
    return np.ascontiguousarray(data.dense().transpose(1, 0, 2), dtype=np.int32)


def outputs_of(program: Program, data: SequenceDataset) -> np.ndarray:
    """``Trace.output`` (T, n, N_out) of the emulator, on a few sequences at a time: events never become one array."""
    size = max(1, _DENSE_BYTES // (4 * data.steps * (data.channels + sum(item.size for item in program.populations))))
    parts = [
        emulate(program, time_major(data.subset(slice(start, start + size))), keep_spikes=False).output
        for start in range(0, len(data), size)
    ]
    return np.concatenate(parts, axis=1)


def explained(output: np.ndarray, data: SequenceDataset, ignore_first: int) -> float:
    """R2 of a regression: the part of the targets' variance that real outputs (T, n, C) explain."""
    counts = counting_steps({"ignore_first": ignore_first}, data)
    targets = data.labels[None] if data.labels.ndim == 2 else data.labels.transpose(1, 0, 2)
    wanted = np.broadcast_to(targets, output.shape)[counts].astype(np.float64)
    spread = np.sum((wanted - wanted.mean(axis=0)) ** 2)
    return float(1 - np.sum((output[counts] - wanted) ** 2) / spread) if spread > 0 else 0.0


def integer_accuracy(program: Program, output: np.ndarray, data: SequenceDataset) -> float:
    """Fraction of right decisions from output integers.

    Args:
        program: the integer network, which says how decisions are made.
        output: ``Trace.output`` (T, n, N_out) of any engine for the sequences of ``data``.
        data: labels, and the steps that count.
    """
    if data.regression:
        return explained(output * formats_of(program)[-1].unit, data, program.decision.ignore_first)
    decision = {"rule": program.decision.rule, "ignore_first": program.decision.ignore_first}
    classes = classify(program, output, np.ascontiguousarray(data.mask.T))
    return _accuracy(classes, data, counting_steps(decision, data))


def float_accuracy(decision: Mapping[str, Any], output: np.ndarray, data: SequenceDataset) -> float:
    """Fraction of right decisions from real outputs; the lowest index wins a tie.

    Args:
        decision: ``rule`` and ``ignore_first`` as in :class:`hardware.program.Decision`.
        output: float (T, n, N_out).
        data: labels, and the steps that count.
    """
    if data.regression:
        return explained(output, data, int(decision["ignore_first"]))
    counts = counting_steps(decision, data)
    scores = output if decision["rule"] == "per_step" else (output * counts[..., None]).sum(axis=0)
    return _accuracy(np.argmax(scores, axis=-1), data, counts)


def counting_steps(decision: Mapping[str, Any], data: SequenceDataset) -> np.ndarray:
    """bool (T, n): steps that a decision counts."""
    counts = data.mask.T.copy()
    counts[: int(decision["ignore_first"])] = False
    return counts


@dataclass(frozen=True)
class SpikeDifference:
    """The first spike that only one of two networks has.

    Attributes:
        layer, step, neuron: where; the lowest neuron where several differ at once.
        float_spike, integer_spike: 0 or 1.
        float_value, integer_value: membrane after that step, the integer one in the float network's unit.
    """

    layer: str
    step: int
    neuron: int
    float_spike: int
    integer_spike: int
    float_value: float
    integer_value: float


def first_spike_difference(program: Program, real: Trace, whole: Trace, sample: int) -> SpikeDifference | None:
    """Where a float and an integer run of one network first part, in one sequence; None where all spikes agree.

    Args:
        program: the integer network, with its formats recorded.
        real, whole: traces of the two with every state, (T, B, N).
        sample: index of the sequence.
    """
    units = {layer.name: form.unit for layer, form in zip(program.populations, formats_of(program), strict=True)}
    first: SpikeDifference | None = None
    for layer in program.populations:
        if not layer.spec.spiking:
            continue
        different = real.spikes[layer.name][:, sample] != whole.spikes[layer.name][:, sample]
        if not different.any():
            continue
        step = int(np.argmax(different.any(axis=1)))
        if first is not None and first.step <= step:
            continue
        neuron = int(np.argmax(different[step]))
        where, key = (step, sample, neuron), f"{membrane_state(layer)}/{layer.name}"
        first = SpikeDifference(
            layer=layer.name,
            step=step,
            neuron=neuron,
            float_spike=int(real.spikes[layer.name][where]),
            integer_spike=int(whole.spikes[layer.name][where]),
            float_value=float(real.states[key][where]),
            integer_value=float(whole.states[key][where] * units[layer.name][neuron]),
        )
    return first


def membrane_state(layer: Layer | Population) -> str:
    """Name of the state that is the membrane: ``v`` of a CubaLIF, whose ``u`` is its synaptic current, else ``u``."""
    return "v" if layer.model == "cuba_lif" else "u"


def _accuracy(classes: np.ndarray, data: SequenceDataset, counts: np.ndarray) -> float:
    if classes.ndim == 2:
        labels = data.labels.T if data.per_step else np.broadcast_to(data.labels, classes.shape)
        return float(np.mean((classes == labels)[counts]))
    if data.per_step:
        raise HyprError(
            f"data set '{data.name}' has a class for every step, the network decides once per sequence; "
            "train with decision per_step"
        )
    return float(np.mean(classes == data.labels))
