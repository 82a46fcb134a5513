"""What a caller may ask for, checked before any process is started: inputs, recorded states, kinds of connections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware.errors import HardwareError, InputError
from hardware.lava.synapses import fits_dense
from hardware.program import Program

CONNECTIONS = ("dense", "batched")
"""Lava's own Dense, one sample at a time; or this package's connection for several samples at once."""

DENSE_SAMPLE_STEPS = 24_000
"""``auto`` gives Lava's own Dense as many samples as fit into this many steps (about 20 seconds on two cores), and at
least one.
"""


class LavaError(HardwareError):
    """A run on Lava failed: its Processes raised, died or stood still. The message says which; ``traceback`` holds the
    child's own, if any.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def dense_samples(program: Program, shape: tuple[int, ...], connections: str) -> int:
    """How many of the first samples run through Lava's own Dense; the rest runs through the batched connection.

    Args:
        shape: (T, B, N_in) of the inputs.
        connections: ``"dense"``, ``"batched"`` or ``"auto"``.

    Raises:
        InputError: an unknown kind of connections.
    """
    steps, samples, _ = shape
    if connections == "batched":
        return 0
    if connections == "dense":
        return samples
    if connections == "auto":
        return min(samples, max(1, DENSE_SAMPLE_STEPS // steps)) if fits_dense(program) else 0
    raise InputError(f"connections: {connections!r}, must be auto, {' or '.join(CONNECTIONS)}")


def check_inputs(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Inputs as an integer array (T, B, N_in) within the Program's range (FP-2.2).

    Raises:
        InputError: wrong type, shape or range; says what, where, limit and actual value.
    """
    inputs = np.asarray(inputs)
    if inputs.dtype.kind not in "biu":
        raise InputError(f"inputs: type {inputs.dtype}, must be integer or bool; encode as spikes or payloads first")
    if inputs.ndim != 3 or inputs.shape[2] != program.input.size or 0 in inputs.shape:
        raise InputError(f"inputs: shape {inputs.shape}, must be (T, B, {program.input.size}) with T and B at least 1")
    low, high = int(inputs.min()), int(inputs.max())
    if low < program.input.low or high > program.input.high:
        raise InputError(
            f"inputs: values {low} to {high}, the Program takes {program.input.low} to {program.input.high}"
        )
    return inputs


def recorded_states(program: Program, record: Sequence[str] | str) -> dict[str, tuple[str, ...]]:
    """Layer name -> names of the states to record there.

    Args:
        record: ``"all"``, or state names (``"u"``: every layer that has it) and ``"<state>/<layer>"``.

    Raises:
        InputError: a name that no layer has.
    """
    if record == "all" or tuple(record) == ("all",):
        return {layer.name: layer.spec.states for layer in program.layers}
    wanted = [record] if isinstance(record, str) else list(record)
    known = [f"{state}/{layer.name}" for layer in program.layers for state in layer.spec.states]
    for name in wanted:
        if not any(name in (key, key.split("/")[0]) for key in known):
            raise InputError(f"record: no state '{name}'; states are {', '.join(known)}")
    return {
        layer.name: tuple(s for s in layer.spec.states if s in wanted or f"{s}/{layer.name}" in wanted)
        for layer in program.layers
    }
