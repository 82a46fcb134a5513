"""Event data: kept as events, made dense batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypr.errors import HyprError


@dataclass(frozen=True, eq=False)
class EventArray:
    """Sequences of spikes that look like an array (n, T, N_in) to who takes samples out of it.

    Attributes:
        steps, units: int32 (events,), sorted by sample; bounds: int64 (n + 1,), where each sample's events begin.
        shape: (n, T, N_in).
        high: largest value; several events of one unit in one step add up to at most this.
    """

    steps: np.ndarray
    units: np.ndarray
    bounds: np.ndarray
    shape: tuple[int, int, int]
    high: int = 1

    ndim = 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the dense form."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Dense uint8 (samples, T, N_in) for a slice or an array of indices, (T, N_in) for one index."""
        if isinstance(index, int | np.integer):
            return self._dense(np.array([index]))[0]
        return self._dense(np.arange(len(self))[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        dense = self[:]
        return dense if dtype is None else dense.astype(dtype)

    def take(self, index: Any) -> EventArray:
        """The samples that ``index`` chooses (a slice, integers or bools), still as events."""
        chosen = np.arange(len(self))[index]
        kept = self._events_of(chosen)
        lengths = self.bounds[chosen + 1] - self.bounds[chosen]
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return EventArray(self.steps[kept], self.units[kept], bounds, (len(chosen), *self.shape[1:]), self.high)

    def min(self) -> int:
        """Least value of the dense form."""
        return 0

    def max(self) -> int:
        """Largest value of the dense form."""
        return self.high

    def update_hash(self, digest: Any) -> None:
        """Add everything that the dense form follows from to ``digest``, an object of ``hashlib``."""
        digest.update(f"events {self.shape} {self.high}".encode())
        for array in (self.steps, self.units, self.bounds):
            digest.update(np.ascontiguousarray(array).data)

    def sha256(self) -> str:
        """64 hexadecimal digits over everything that the dense form follows from."""
        digest = hashlib.sha256()
        self.update_hash(digest)
        return digest.hexdigest()

    def _events_of(self, chosen: np.ndarray) -> np.ndarray:
        parts = [np.arange(self.bounds[i], self.bounds[i + 1]) for i in chosen]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _dense(self, chosen: np.ndarray) -> np.ndarray:
        kept = self._events_of(chosen)
        sample = np.repeat(np.arange(len(chosen)), self.bounds[chosen + 1] - self.bounds[chosen])
        dense = np.zeros((len(chosen), *self.shape[1:]), np.uint8)
        where = (sample, self.steps[kept], self.units[kept])
        if self.high == 1:
            dense[where] = 1
            return dense
        counts = np.zeros(dense.shape, np.int32)
        np.add.at(counts, where, 1)
        return np.minimum(counts, self.high).astype(np.uint8)


def binned(
    times: Sequence[Any], units: Sequence[Any], width: float, steps: int | None, channels: int | None, high: int
) -> EventArray:
    """Events in steps of a given width; what comes after the last step is dropped.

    Args:
        times, units: one array per sample: when, from 0, and which input channel.
        width: duration of a step in the unit of ``times``.
        steps: number of steps; None: as many as the latest event needs.
        channels: number of input channels; None: the largest unit + 1.
        high: see :class:`EventArray`.

    Raises:
        HyprError: lists that do not fit each other, negative times, units out of range.
    """
    if len(times) != len(units) or not len(times):
        raise HyprError(f"events: {len(times)} lists of times and {len(units)} of units; give one of each per sample")
    if not width > 0 or not 1 <= high <= 255:
        raise HyprError(
            f"events: a step of {width} and at most {high} events; the step must be positive, events 1 to 255"
        )
    when, which = [], []
    for sample, (t, u) in enumerate(zip(times, units, strict=True)):
        t, u = np.asarray(t, dtype=np.float64), np.asarray(u)
        if t.ndim != 1 or t.shape != u.shape or (len(u) and u.dtype.kind not in "iu"):
            raise HyprError(
                f"events of sample {sample}: times {t.shape} and units {u.dtype} {u.shape}; give two lists of equal "
                "length, units as whole numbers"
            )
        if len(t) and (not np.isfinite(t).all() or t.min() < 0 or u.min() < 0):
            raise HyprError(
                f"events of sample {sample}: times and units must be finite and at least 0; subtract the start"
            )
        when.append(np.floor(t / width).astype(np.int64))
        which.append(u.astype(np.int64))
    latest = max((int(t.max()) for t in when if len(t)), default=-1)
    largest = max((int(u.max()) for u in which if len(u)), default=-1)
    steps, channels = latest + 1 if steps is None else steps, largest + 1 if channels is None else channels
    if steps < 1 or channels < 1 or largest >= channels:
        raise HyprError(
            f"events: unit {largest} and {steps} steps do not fit {channels} channels; give channels and steps that "
            "hold "
            "all events"
        )
    kept = [t < steps for t in when]
    counts = np.array([int(k.sum()) for k in kept])
    return EventArray(
        np.concatenate([t[k] for t, k in zip(when, kept, strict=True)]).astype(np.int32),
        np.concatenate([u[k] for u, k in zip(which, kept, strict=True)]).astype(np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        (len(when), int(steps), int(channels)),
        high,
    )
