"""What a step takes from the step before: as tensors of a graph, and as a NetworkState."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.onnx.builder import UINT8
from export.onnx.delays import HISTORY
from export.onnx.description import Description
from hardware.errors import InputError
from hardware.trace import NetworkState

Sizes = Mapping[str, tuple[int, int]]
"""Tensor name -> (element type, elements per sample)."""


def first(about: Description, sizes: Sizes, batch: int) -> dict[str, np.ndarray]:
    """Tensors before the first step: initial states, no spikes, inputs of 0."""
    found = {}
    for name in about.handed_on:
        kind, size = sizes[name]
        steps = about.histories[name.removeprefix(HISTORY)] if name.startswith(HISTORY) else 0
        shape = (steps, batch, size) if steps else (batch, size)
        found[name] = np.zeros(shape, np.uint8 if kind == UINT8 else np.int32)
        if name in about.initial:
            found[name][:] = about.initial[name]
    return found


def to_state(about: Description, last: Mapping[str, np.ndarray]) -> NetworkState:
    """Tensors after a step, by name, as what the next chunk starts from."""
    states = {name: last[name] for name in about.trace if not name.startswith("spikes/")}
    spikes = {name.split("/", 1)[1]: last[name] for name in about.trace if name.startswith("spikes/")}
    history = {}
    for name in about.history:
        rows = last[HISTORY + name] if name in about.histories else spikes[name][None]
        history[name] = rows if name in spikes else rows.astype(np.int32)
    return NetworkState(states, spikes, history)


def from_state(about: Description, sizes: Sizes, state: NetworkState, batch: int) -> dict[str, np.ndarray]:
    """A state as tensors.

    Raises:
        InputError: an entry is missing, unknown, of the wrong shape, or cannot be what a step returned.
    """
    given = {
        **state.states,
        **{f"spikes/{name}": value for name, value in state.spikes.items()},
        **{HISTORY + name: value for name, value in state.history.items()},
    }
    found = {}
    for name, zeros in first(about, sizes, batch).items():
        if name not in given:
            raise InputError(f"initial state: '{name}' is missing; entries are {', '.join(about.handed_on)}")
        found[name] = _checked(name, np.asarray(given[name]), zeros, _limits(about, name))
    for name in given:
        if name not in found:
            _check_repeated(name, given, found)
    for name in about.histories:
        spikes = found.get(f"spikes/{name}")
        if spikes is not None and not np.array_equal(found[HISTORY + name][-1], spikes):
            raise InputError(f"initial state: the last row of '{HISTORY}{name}' must be the spikes of '{name}'")
    return found


def _limits(about: Description, name: str) -> tuple[int, int]:
    """Smallest and largest value; a graph does not say how wide each state is, so that states have all of 32 bits."""
    if name.startswith(HISTORY):
        source = next((item for item in about.inputs if HISTORY + item.name == name), None)
        if source is not None:
            return min(source.low, 0), max(source.high, 0)
    if name.startswith((HISTORY, "spikes/")):
        return 0, about.most_spikes.get(name.partition("/")[2], 1)
    return -(2**31) + 1, 2**31 - 1


def _checked(name: str, value: np.ndarray, zeros: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    if value.shape != zeros.shape or value.dtype.kind not in "biu":
        raise InputError(
            f"initial state: '{name}' must be integers of shape {zeros.shape}, got {value.dtype} of shape {value.shape}"
        )
    if value.size and not limits[0] <= int(value.min()) <= int(value.max()) <= limits[1]:
        raise InputError(
            f"initial state: '{name}' must be {limits[0]} to {limits[1]}, got {value.min()} to {value.max()}"
        )
    return value.astype(zeros.dtype)


def _check_repeated(name: str, given: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> None:
    """One last step of a population may be given besides, as its history; it is the spikes."""
    spikes = found.get(f"spikes/{name.removeprefix(HISTORY)}") if name.startswith(HISTORY) else None
    if spikes is None or not np.array_equal(np.asarray(given[name]), spikes[None]):
        raise InputError(f"initial state: unknown entry '{name}'; entries are {', '.join(found)}")
