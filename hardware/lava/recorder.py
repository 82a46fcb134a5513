"""Traces in memory that the worker shares with the processes that Lava forks: writing is a plain copy, reading is free.

Lava's own Monitor moves every element through a channel (tens of microseconds each).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

import numpy as np


def shared_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array of zeros on an anonymous shared mapping; a forked child and its parent see each other's writes."""
    count = int(np.prod(shape, dtype=np.int64))
    size = max(1, count * np.dtype(dtype).itemsize)
    return np.frombuffer(mmap.mmap(-1, size), dtype=dtype, count=count).reshape(shape)


class Recorder:
    """Trace of one population.

    Args:
        steps, samples, size: T, number of samples, N.
        kept: states whose trace is wanted.
        states: all states of the model; their last values are kept always.
        spiking: whether there are spikes to keep.
        dtype: of states, int32 or float64.

    Attributes:
        spikes: uint8 (T, samples, N), or None where the population does not spike.
        states: state name -> (T, samples, N).
        last: state name -> (samples, N), after the last step.
        progress: int64 (1,), the Lava step that this population finished last.
    """

    def __init__(
        self,
        steps: int,
        samples: int,
        size: int,
        kept: Iterable[str],
        states: Iterable[str],
        spiking: bool,
        dtype: type = np.int32,
    ) -> None:
        shape = (steps, samples, size)
        self._steps = steps
        self.spikes = shared_zeros(shape, np.uint8) if spiking else None
        self.states = {name: shared_zeros(shape, dtype) for name in kept}
        self.last = {name: shared_zeros(shape[1:], dtype) for name in states}
        self.progress = shared_zeros((1,), np.int64)

    def write(self, step: int, first: int, spikes: np.ndarray | None, states: dict[str, np.ndarray]) -> None:
        """Store one step of the samples from ``first`` on; each value is (N,) for one sample or (group, N)."""
        if self.spikes is not None and spikes is not None:
            rows = np.atleast_2d(spikes)
            self.spikes[step, first : first + len(rows)] = rows
        for name, trace in self.states.items():
            rows = np.atleast_2d(states[name])
            trace[step, first : first + len(rows)] = rows
        if step == self._steps - 1:
            for name, last in self.last.items():
                rows = np.atleast_2d(states[name])
                last[first : first + len(rows)] = rows
