"""Accuracy on a data set from the output of any engine, float or integer; :mod:`hypr.metrics` without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware.decision import classify
from hardware.program import Program
from hypr.data.dataset import SequenceDataset
from hypr.errors import HyprError


def time_major(data: SequenceDataset) -> np.ndarray:
    """Inputs of a data set as every engine takes them: int32 (T, n, N_in)."""
    return np.ascontiguousarray(data.inputs.transpose(1, 0, 2), dtype=np.int32)


def integer_accuracy(program: Program, output: np.ndarray, data: SequenceDataset) -> float:
    """Fraction of right decisions from output integers.

    Args:
        output: ``Trace.output`` (T, n, N_out) of any engine for the sequences of ``data``.
    """
    decision = {"rule": program.decision.rule, "ignore_first": program.decision.ignore_first}
    classes = classify(program, output, np.ascontiguousarray(data.mask.T))
    return _accuracy(classes, data, counting_steps(decision, data))


def float_accuracy(decision: Mapping[str, Any], output: np.ndarray, data: SequenceDataset) -> float:
    """Fraction of right decisions from real outputs; the lowest index wins a tie.

    Args:
        decision: ``rule`` and ``ignore_first`` as in :class:`hardware.program.Decision`.
        output: float (T, n, N_out).
    """
    counts = counting_steps(decision, data)
    scores = output if decision["rule"] == "per_step" else (output * counts[..., None]).sum(axis=0)
    return _accuracy(np.argmax(scores, axis=-1), data, counts)


def counting_steps(decision: Mapping[str, Any], data: SequenceDataset) -> np.ndarray:
    """bool (T, n): steps that a decision counts."""
    counts = data.mask.T.copy()
    counts[: int(decision["ignore_first"])] = False
    return counts


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
