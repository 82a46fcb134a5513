"""Check and normalise what engines are given: inputs and initial states."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from hardware.errors import InputError
from hardware.models import STATE_MAX
from hardware.populations import Input
from hardware.program import Program
from hardware.trace import NetworkState

CALIBRATION_STEPS = "calibration_steps"
"""Metadata key of a Program: length of the sequences that its states were scaled on."""

Inputs = np.ndarray | Mapping[str, np.ndarray]
"""Integers or bool (T, B, N), or such an array for each input by name."""


def named_inputs(program: Program, inputs: Inputs) -> dict[str, np.ndarray]:
    """An array (T, B, N) for each input of the program, by name and in its order, after checking shape, type and range.

    Args:
        inputs: an array where the program has one input, else a mapping by name.

    Raises:
        InputError: names the shape, type or value that does not fit.
    """
    if not isinstance(inputs, Mapping):
        _notice_swapped_axes(program, np.shape(inputs))
    return check_named(program.inputs, inputs)


def check_named(accepted: Sequence[Input], inputs: Inputs) -> dict[str, np.ndarray]:
    """As :func:`named_inputs`, where no Program is at hand.

    Args:
        accepted: the inputs of a network.
    """
    names = [item.name for item in accepted]
    if not isinstance(inputs, Mapping):
        if len(names) != 1:
            raise InputError(f"this program has several inputs; give a mapping with an array for {', '.join(names)}")
        return {names[0]: _check_input(accepted[0], inputs, "inputs")}
    missing = [name for name in names if name not in inputs]
    unknown = [str(name) for name in inputs if name not in names]
    if missing or unknown:
        problem = f"'{missing[0]}' is missing" if missing else f"'{unknown[0]}' is unknown"
        raise InputError(f"inputs: {problem}; inputs are {', '.join(names)}")
    what = "inputs" if len(names) == 1 else "inputs '{}'"
    found = {item.name: _check_input(item, inputs[item.name], what.format(item.name)) for item in accepted}
    shapes = {array.shape[:2] for array in found.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in found.items())
        raise InputError(f"inputs must share steps and batch, got {listed}")
    return found


def _notice_swapped_axes(program: Program, shape: tuple[int, ...]) -> None:
    """Warn where the second axis, not the first, is as long as the sequences that the program was calibrated on."""
    known = program.metadata.get(CALIBRATION_STEPS, "")
    if (
        known.isdecimal() and len(known) < 16 and len(shape) == 3 and 1 < shape[0] != int(known) == shape[1]
    ):  # a single step is one
        warnings.warn(
            f"inputs {shape} are taken as {shape[0]} steps of {shape[1]} samples, but this program was calibrated on "
            f"sequences of {known} steps: are the axes swapped? Give (steps, samples, channels)",
            stacklevel=4,
        )


def check_inputs(program: Program, inputs: Inputs) -> np.ndarray:
    """The only input's integers (T, B, N_in), for what runs programs with one input.

    Raises:
        InputError: names the shape, type or value that does not fit.
    """
    if len(program.inputs) != 1:
        names = ", ".join(item.name for item in program.inputs)
        raise InputError(f"this engine takes one input, the program has {names}")
    return named_inputs(program, inputs)[program.inputs[0].name]


def _check_input(accepted: Input, inputs: np.ndarray, what: str) -> np.ndarray:
    inputs = np.asarray(inputs)
    if inputs.dtype != np.bool_ and not np.issubdtype(inputs.dtype, np.integer):
        raise InputError(f"{what} must be integers, got {inputs.dtype}; encode them as spikes or graded payloads first")
    size, low, high = accepted.size, accepted.low, accepted.high
    if inputs.ndim != 3 or inputs.shape[2] != size:
        raise InputError(f"{what} must have shape (T, B, {size}), time first, got {inputs.shape}")
    if inputs.shape[0] < 1 or inputs.shape[1] < 1:
        raise InputError(f"{what} must hold at least one step and one sample, got {inputs.shape}")
    smallest, largest = int(inputs.min()), int(inputs.max())
    if smallest < low or largest > high:
        raise InputError(
            f"{what} must be {low} to {high}, got {smallest} to {largest}; rescale them or declare a wider range"
        )
    return inputs


def start_state(program: Program, batch: int) -> NetworkState:
    """What every sample starts from (FP-2.6): initial states, no spikes and inputs of 0 before."""
    states = {
        f"{state}/{item.name}": np.repeat(item.start(state)[None], batch, axis=0)
        for item in program.populations
        for state in item.spec.states
    }
    spikes = {it.name: np.zeros((batch, it.size), np.uint8) for it in program.populations if it.spec.spiking}
    history = {
        name: np.zeros((steps, batch, program.sizes[name]), np.uint8 if name in spikes else np.int32)
        for name, steps in program.history.items()
    }
    return NetworkState(states, spikes, history)


def check_state(program: Program, state: NetworkState | None, batch: int) -> NetworkState:
    """A complete initial state of the right shapes and ranges, int32 and uint8; what a sample starts from where None is
    given.

    Raises:
        InputError: for a missing or unknown entry, a wrong shape or a value out of range.
    """
    start = start_state(program, batch)
    if state is None:
        return start
    states = {
        key: _check_entry(key, state.states.get(key), value.shape, state_limit(program, key))
        for key, value in start.states.items()
    }
    spikes = {
        name: _check_entry(f"spikes/{name}", state.spikes.get(name), value.shape, program.ranges[name])
        for name, value in start.spikes.items()
    }
    history = {name: _check_history(program, name, state, value.shape, spikes) for name, value in start.history.items()}
    known = (set(states), set(spikes), set(history))
    given = (set(state.states), set(state.spikes), set(state.history))
    unknown = sorted(name for mine, theirs in zip(known, given, strict=True) for name in theirs - mine)
    if unknown:
        raise InputError(f"initial state: unknown entry '{unknown[0]}'; entries are {', '.join([*states, *spikes])}")
    return NetworkState(
        {key: value.astype(np.int32) for key, value in states.items()},
        {key: value.astype(np.uint8) for key, value in spikes.items()},
        {key: value.astype(start.history[key].dtype) for key, value in history.items()},
    )


def state_limit(program: Program, key: str) -> tuple[int, int]:
    """Smallest and largest value of a state (FP-1.1); the current of CubaLIF wraps instead of saturating and has 32
    bits (FP-3.5)."""
    state, _, name = key.partition("/")
    if program.population(name).model == "cuba_lif" and state == "u":
        return -(2**31) + 1, 2**31 - 1
    return -STATE_MAX, STATE_MAX


def _check_history(
    program: Program, name: str, state: NetworkState, shape: tuple[int, ...], spikes: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The last steps of a source; spikes of step t are their last row."""
    given = state.history.get(name)
    if given is None and name in spikes and shape[0] == 1:
        return spikes[name][None]
    low, high = program.ranges[name]
    found = _check_entry(f"history/{name}", given, shape, (min(low, 0), max(high, 0)))
    if name in spikes and not np.array_equal(found[-1], spikes[name]):
        raise InputError(f"initial state: the last row of 'history/{name}' must be the spikes of '{name}'")
    return found


def _check_entry(name: str, array: np.ndarray | None, shape: tuple[int, ...], limits: tuple[int, int]) -> np.ndarray:
    if array is None:
        raise InputError(f"initial state: '{name}' is missing; give every state and the spikes of every spiking layer")
    array = np.asarray(array)
    if array.shape != shape or not (array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer)):
        raise InputError(
            f"initial state: '{name}' must be integers of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    if int(array.min()) < limits[0] or int(array.max()) > limits[1]:
        raise InputError(
            f"initial state: '{name}' must be {limits[0]} to {limits[1]}, got {array.min()} to {array.max()}"
        )
    return array
