"""Teacher-forced runs: every step starts from given states, so that one wrong step cannot hide behind, or be blamed on,
an earlier one."""

from __future__ import annotations

import numpy as np

from export.errors import ExportError
from export.verification.engines import Engine
from hardware.program import Program
from hardware.trace import Trace

ROWS = 2**14
"""Steps of all samples are independent here; so many are computed at once."""


def run_forced(engine: Engine, program: Program, inputs: np.ndarray, teacher: Trace) -> Trace:
    """One step of `engine` from each state of `teacher`.

    Args:
        inputs: (T, B, N_in).
        teacher: full trace (record ``all``) of another engine on the same inputs.

    Returns:
        Trace of `engine`, whose step t was computed from the teacher's spikes and states of step t - 1.

    Raises:
        ExportError: the engine cannot take single steps.
    """
    if engine.step is None:
        raise ExportError(
            f"engine '{engine.name}' cannot start from given states; leave it out of a teacher-forced verification"
        )
    steps, batch, _ = inputs.shape
    given = {name: value for name, value in teacher.arrays().items() if name != "output"}
    before = {name: _previous(value) for name, value in given.items()}
    rows = inputs.reshape(steps * batch, -1)
    parts = [
        engine.step(program, rows[i : i + ROWS], {name: value[i : i + ROWS] for name, value in before.items()})
        for i in range(0, len(rows), ROWS)
    ]
    found = {
        name: np.concatenate([part[name] for part in parts]).reshape(steps, batch, -1) for name in ("output", *given)
    }
    return Trace(
        engine=engine.name,
        output=found["output"],
        spikes={name.split("/", 1)[1]: value for name, value in found.items() if name.startswith("spikes/")},
        states={name: value for name, value in found.items() if name != "output" and not name.startswith("spikes/")},
    )


def _previous(trace: np.ndarray) -> np.ndarray:
    """(T * B, N): the value before each step; zero before the first (FP-2.3)."""
    before = np.zeros_like(trace)
    before[1:] = trace[:-1]
    return before.reshape(-1, trace.shape[2])
