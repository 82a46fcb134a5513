"""Teacher-forced runs: every step starts from given states, so that one wrong step cannot hide behind, or be blamed on,
an earlier one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.verification.engines import Engine
from export.verification.guarded import step_guarded
from export.verification.inputs import inputs_shape, of_each
from hardware.inputs import Inputs, named_inputs
from hardware.program import Program
from hardware.trace import Trace

ROWS = 2**14
"""Steps of all samples are independent here; so many are computed at once."""


def run_forced(engine: Engine, program: Program, inputs: Inputs, teacher: Trace) -> Trace:
    """One step of `engine` from each state of `teacher`.

    Args:
        inputs: (T, B, N_in); with several inputs a mapping by name.
        teacher: full trace (record ``all``) of another engine on the same inputs.

    Returns:
        Trace of `engine`, whose step t was computed from what the teacher had at step t - 1 and, where there are
        delays, earlier.

    Raises:
        ExportError: the engine cannot take single steps.
    """
    steps, batch, _ = inputs_shape(inputs)
    given = {name: value for name, value in teacher.arrays().items() if name != "output"}
    before = {name: _previous(value, _start(program, name)) for name, value in given.items()}
    lines = _lines(program, named_inputs(program, inputs), teacher)
    parts = []
    for first in range(0, steps * batch, ROWS):
        rows = np.arange(first, min(first + ROWS, steps * batch))
        previous = {name: value[rows] for name, value in before.items()}
        for name, line in lines.items():
            previous[f"history/{name}"] = _last_steps(line, program.history[name], rows, batch)
        parts.append(step_guarded(engine, program, _rows(inputs, rows), previous))
    found = {
        name: np.concatenate([part[name] for part in parts]).reshape(steps, batch, -1) for name in ("output", *given)
    }
    return Trace(
        engine=engine.name,
        output=found["output"],
        spikes={name.split("/", 1)[1]: value for name, value in found.items() if name.startswith("spikes/")},
        states={name: value for name, value in found.items() if name != "output" and not name.startswith("spikes/")},
    )


def _rows(inputs: Inputs, rows: np.ndarray) -> Inputs:
    return of_each(inputs, lambda value: value.reshape(-1, value.shape[2])[rows])


def _start(program: Program, name: str) -> np.ndarray | int:
    """What a spike or state is before the first step (FP-2.6)."""
    kind, _, population = name.partition("/")
    return 0 if kind == "spikes" else program.population(population).start(kind)


def _previous(trace: np.ndarray, start: np.ndarray | int) -> np.ndarray:
    """(T * B, N): the value before each step."""
    before = np.empty_like(trace)
    before[0] = start
    before[1:] = trace[:-1]
    return before.reshape(-1, trace.shape[2])


def _lines(program: Program, inputs: Mapping[str, np.ndarray], teacher: Trace) -> dict[str, np.ndarray]:
    """Source -> (D + T, B, N), its D steps of zeros before the first and then all of them, for every source of which a
    delay needs more than the spikes of the step before."""
    found = {}
    for name, steps in program.history.items():
        if name in teacher.spikes and steps == 1:
            continue
        values = teacher.spikes[name] if name in teacher.spikes else inputs[name].astype(np.int32)
        found[name] = np.concatenate([np.zeros((steps, *values.shape[1:]), values.dtype), values])
    return found


def _last_steps(line: np.ndarray, depth: int, rows: np.ndarray, batch: int) -> np.ndarray:
    """(D, R, N): the D steps before each row; row r is step r // B of sample r % B."""
    step, sample = np.divmod(rows, batch)
    return line[step + np.arange(depth)[:, None], sample]
