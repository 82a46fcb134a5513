"""Equality of two traces in every array, type and integer, and of what they hand to the next chunk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware import NetworkState, Trace


def assert_same_trace(expected: Trace, found: Trace, what: object) -> None:
    """Raises AssertionError that begins with ``what`` (a seed, a case) and names the first differing integer."""
    assert_same_arrays(expected.arrays(), found.arrays(), what)
    assert expected.final_state is not None and found.final_state is not None, what
    assert_same_state(expected.final_state, found.final_state, what)


def assert_same_state(expected: NetworkState, found: NetworkState, what: object) -> None:
    for part in ("states", "spikes", "history"):
        assert_same_arrays(getattr(expected, part), getattr(found, part), f"{what}: final {part}")


def assert_same_arrays(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], what: object) -> None:
    assert expected.keys() == found.keys(), f"{what}: {sorted(expected.keys() ^ found.keys())}"
    for name, value in expected.items():
        assert (value.dtype, value.shape) == (found[name].dtype, found[name].shape), f"{what}: {name}"
        different = np.argwhere(value != found[name])
        assert not len(different), f"{what}: {name} differs first at {different[0]}"
