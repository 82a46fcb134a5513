"""Check and normalise what engines are given: inputs and initial states."""

from __future__ import annotations

import numpy as np

from hardware.errors import InputError
from hardware.models import STATE_MAX
from hardware.program import Layer, Program
from hardware.trace import NetworkState


def check_inputs(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Inputs as given, an integer or bool array (T, B, N_in), after checking shape, type and range.

    Raises:
        InputError: names the shape, type or value that does not fit.
    """
    inputs = np.asarray(inputs)
    if inputs.dtype != np.bool_ and not np.issubdtype(inputs.dtype, np.integer):
        raise InputError(f"inputs must be integers, got {inputs.dtype}; encode them as spikes or graded payloads first")
    size, low, high = program.input.size, program.input.low, program.input.high
    if inputs.ndim != 3 or inputs.shape[2] != size:
        raise InputError(f"inputs must have shape (T, B, {size}), time first, got {inputs.shape}")
    if inputs.shape[0] < 1 or inputs.shape[1] < 1:
        raise InputError(f"inputs must hold at least one step and one sample, got {inputs.shape}")
    smallest, largest = int(inputs.min()), int(inputs.max())
    if smallest < low or largest > high:
        raise InputError(
            f"inputs must be {low} to {high}, got {smallest} to {largest}; rescale them or declare a wider range"
        )
    return inputs


def zero_state(program: Program, batch: int) -> NetworkState:
    """All states 0 and no spikes (FP-2.3), for ``batch`` samples."""
    states = {
        f"{state}/{layer.name}": np.zeros((batch, layer.size), np.int32)
        for layer in program.layers
        for state in layer.spec.states
    }
    spikes = {layer.name: np.zeros((batch, layer.size), np.uint8) for layer in program.layers if layer.spec.spiking}
    return NetworkState(states, spikes)


def check_state(program: Program, state: NetworkState | None, batch: int) -> NetworkState:
    """A complete initial state of the right shapes and ranges, int32 and uint8; zeros where None is given.

    Raises:
        InputError: for a missing or unknown entry, a wrong shape or a value out of range.
    """
    zero = zero_state(program, batch)
    if state is None:
        return zero
    states = {
        key: _check_entry(
            key, state.states.get(key), value.shape, state_limit(program.layer(key.split("/", 1)[1]), key)
        )
        for key, value in zero.states.items()
    }
    spikes = {
        name: _check_entry(f"spikes/{name}", state.spikes.get(name), value.shape, (0, 1))
        for name, value in zero.spikes.items()
    }
    unknown = sorted((set(state.states) - set(states)) | (set(state.spikes) - set(spikes)))
    if unknown:
        raise InputError(f"initial state: unknown entry '{unknown[0]}'; entries are {', '.join([*states, *spikes])}")
    return NetworkState(
        {key: value.astype(np.int32) for key, value in states.items()},
        {key: value.astype(np.uint8) for key, value in spikes.items()},
    )


def state_limit(layer: Layer, key: str) -> tuple[int, int]:
    """Smallest and largest value of a state (FP-1.1); the current of CubaLIF wraps instead of saturating and has 32
    bits (FP-3.5)."""
    if layer.model == "cuba_lif" and key.startswith("u"):
        return -(2**31) + 1, 2**31 - 1
    return -STATE_MAX, STATE_MAX


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
