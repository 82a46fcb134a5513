"""FP-4.1: the class that a network decides for, computed from output integers alone, the same for every engine."""

from __future__ import annotations

import numpy as np

from hardware.errors import InputError
from hardware.program import Program


def classify(program: Program, output: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Classes from the output of any engine; the lowest index wins a tie.

    Args:
        program: has the decision rule (FP-4.1).
        output: integers (T, B, N_out), ``Trace.output``.
        mask: bool (T, B), steps that count (for padded sequences), or None for all; the decision's ``ignore_first``
            applies besides.

    Returns:
        int64 (T, B) for rule ``per_step`` (defined at every step, also those that do not count), else (B,).

    Raises:
        InputError: if shapes or types do not fit.
    """
    output = np.asarray(output)
    size = program.output.size
    if (
        output.ndim != 3
        or output.shape[2] != size
        or not (output.dtype == np.bool_ or np.issubdtype(output.dtype, np.integer))
    ):
        raise InputError(f"output must be integers of shape (T, B, {size}), got {output.dtype} of shape {output.shape}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != output.shape[:2] or mask.dtype != np.bool_:
            raise InputError(f"mask must be bool of shape {output.shape[:2]}, got {mask.dtype} of shape {mask.shape}")
    scores = output.astype(np.int64)  # |output| < 2^23 and multiplier < 2^24: no overflow
    if program.decision.rule != "per_step":
        counts = counting_steps(program, output.shape[0], output.shape[1], mask)
        scores = (scores * counts[..., None]).sum(axis=0)
    decided: np.ndarray = np.argmax(_scaled(scores, program), axis=-1)
    return decided


def counting_steps(program: Program, steps: int, batch: int, mask: np.ndarray | None = None) -> np.ndarray:
    """bool (T, B): steps that the decision counts, after ``ignore_first`` and the mask."""
    counts = np.ones((steps, batch), bool) if mask is None else mask.copy()
    counts[: program.decision.ignore_first] = False
    return counts


def _scaled(scores: np.ndarray, program: Program) -> np.ndarray:
    multiplier = program.decision.multiplier
    if multiplier is None:
        return scores
    factors = multiplier.astype(np.int64)
    if int(np.abs(scores).max(initial=0)) * int(factors.max()) >= 2**63:
        result: np.ndarray = scores.astype(object) * factors.astype(
            object
        )  # sums over very long sequences: Python ints
        return result
    return scores * factors
