"""What a network decided on sequences: classes, accuracy, confusion, and how many spikes it fired for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.quantization.dequantize import formats_of
from export.verification.inputs import of_samples
from hardware import emulate
from hardware.decision import classify
from hardware.program import Program
from hypr.deployment.arrays import Sequences

SILENT_RATE, SATURATED_RATE = 1e-4, 0.5
_BYTES = 2**28


@dataclass(frozen=True)
class Outcome:
    """Decisions on some sequences.

    Attributes:
        predicted: int64 (B,), or (T, B) where the network decides at every step; None for real targets.
        accuracy: fraction of right decisions, R2 for real targets, None without labels.
        decisions: how many counted.
        confusion: int64 (classes, classes), row = label, column = decision; None without labels.
        rates: layer -> spikes per neuron and step; empty where no spikes were kept.
        regression: whether ``accuracy`` is R2.
    """

    predicted: np.ndarray | None
    accuracy: float | None
    decisions: int
    confusion: np.ndarray | None
    rates: Mapping[str, float] = field(default_factory=dict)
    regression: bool = False

    @property
    def warnings(self) -> list[str]:
        """Layers that are silent or saturated: there, equality and accuracy say little."""
        found = []
        for name, rate in self.rates.items():
            if rate == 0:
                found.append(f"{name} fires no spike on these inputs: equality of engines says little there")
            elif rate < SILENT_RATE:
                found.append(f"{name} is nearly silent ({rate:.1e} spikes per neuron and step)")
            elif rate > SATURATED_RATE:
                found.append(f"{name} is saturated ({rate:.2f} spikes per neuron and step)")
        return found

    def to_dict(self) -> dict[str, Any]:
        """For certificates and ``--json``."""
        return {
            "metric": "r2" if self.regression else "accuracy",
            "accuracy": self.accuracy,
            "decisions": self.decisions,
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "rates": dict(self.rates),
            "warnings": self.warnings,
        }


def of_program(program: Program, data: Sequences) -> Outcome:
    """Run the emulator, a few sequences at a time, and decide."""
    steps, batch = data.shape
    neurons = sum(item.size for item in program.populations)
    size = max(1, _BYTES // (4 * steps * neurons))
    outputs, spikes = [], dict[str, int]()
    for start in range(0, batch, size):
        trace = emulate(program, of_samples(data.values, slice(start, start + size)))
        outputs.append(trace.output)
        for name, value in trace.spikes.items():
            spikes[name] = spikes.get(name, 0) + int(value.sum(dtype=np.int64))
    rates = {name: count / (steps * batch * program.sizes[name]) for name, count in spikes.items()}
    return of_integers(program, np.concatenate(outputs, axis=1), data, rates)


def of_integers(
    program: Program, output: np.ndarray, data: Sequences, rates: Mapping[str, float] | None = None
) -> Outcome:
    """From the output integers (T, B, N_out) of any engine."""
    if data.regression:
        return _regression(output * output_unit(program), data, program.decision.ignore_first, rates)
    mask = None if data.mask is None else np.ascontiguousarray(data.mask)
    decision = {"rule": program.decision.rule, "ignore_first": program.decision.ignore_first}
    return _classes(classify(program, output, mask), output.shape[2], data, decision, rates)


def output_unit(program: Program) -> np.ndarray:
    """Value of one unit of each output, float64 (N_out,)."""
    names = [item.name for item in program.populations]
    return formats_of(program)[names.index(program.output.name)].unit


def of_floats(decision: Mapping[str, Any], output: np.ndarray, data: Sequences) -> Outcome:
    """From the real outputs (T, B, N_out) of the float network; the lowest index wins a tie."""
    if data.regression:
        return _regression(output, data, int(decision["ignore_first"]), None)
    counts = data.counts(int(decision["ignore_first"]))
    scores = output if decision["rule"] == "per_step" else (output * counts[..., None]).sum(axis=0)
    return _classes(np.argmax(scores, axis=-1), output.shape[2], data, decision, None)


def _classes(
    predicted: np.ndarray,
    classes: int,
    data: Sequences,
    decision: Mapping[str, Any],
    rates: Mapping[str, float] | None,
) -> Outcome:
    counts = data.counts(int(decision["ignore_first"]))
    if data.labels is None:
        number = int(counts.sum()) if predicted.ndim == 2 else len(predicted)
        return Outcome(predicted, None, number, None, rates or {})
    labels = data.labels
    if predicted.ndim == 2:
        wanted = np.broadcast_to(labels, predicted.shape) if labels.ndim == 1 else labels
        wanted, decided = wanted[counts], predicted[counts]
    else:
        wanted, decided = data.one_per_sequence(), predicted
    size = max(classes, int(wanted.max(initial=0)) + 1)
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (wanted, decided), 1)
    right = int(np.trace(confusion))
    return Outcome(predicted, right / max(len(wanted), 1), len(wanted), confusion, rates or {})


def _regression(output: np.ndarray, data: Sequences, ignore_first: int, rates: Mapping[str, float] | None) -> Outcome:
    assert data.labels is not None
    counts = data.counts(ignore_first)
    wanted = np.broadcast_to(data.labels, output.shape)[counts].astype(np.float64)
    spread = np.sum((wanted - wanted.mean(axis=0)) ** 2)
    score = float(1 - np.sum((output[counts] - wanted) ** 2) / spread) if spread > 0 else 0.0
    return Outcome(None, score, int(counts.sum()), None, rates or {}, regression=True)
