"""State units and synaptic exponents with the least error of states on calibration data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from export.quantization.drives import StateError
from export.quantization.scales import Table, combinations, exponents_worth_trying, groups_of
from export.quantization.tensors import weight_limit

_COARSE = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_FINE = tuple(np.round(np.arange(1.2, 0.395, -0.02), 2))
"""Units tried, as multiples of the one that keeps the largest weight: less clips it, more is another grid."""

_FINE_OF_LARGE = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
_LARGE = 2e8
"""Multiplications of one evaluation above which fewer units are tried."""

_MOST_COARSE = 8.0
"""A neuron's unit is at most this much coarser than the finest one that its states allow."""

_NEURONS = 64
"""Exponents of a population are chosen on so many of its neurons."""


def fit_units(
    error: StateError, tables: Sequence[Table], bits: int, finest: np.ndarray, shared: bool, where: str
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Unit of the synaptic sum of each neuron, used by all projections into a population, and their exponents.

    Args:
        finest: (N,), smallest unit that the states allow. shared: one unit for all neurons.
    """
    repeat = groups_of(tables, finest.size, shared)
    few = np.unique(np.linspace(0, finest.size - 1, min(finest.size, _NEURONS)).astype(int))
    some = error.some(few) if repeat == 1 else None
    small, part = (error, np.arange(finest.size)) if some is None else (some, few)
    largest = [table.neurons(np.abs(table.values).max(axis=1)) for table in tables]
    limit = weight_limit(bits)
    options = [exponents_worth_trying(rows, limit, finest, where, _MOST_COARSE) for rows in largest]
    best: list[tuple[float, np.ndarray, tuple[int, ...]]] = []
    for exponents in combinations(options, best):
        need = _need(largest, limit, exponents, repeat)[part]
        unit, least = _units(small, bits, exponents, need, finest[part], _COARSE, repeat)
        if not best or least.sum() < best[-1][0]:
            best.append((float(least.sum()), unit, exponents))
    exponents = best[-1][2]
    clippings = _FINE if error.work() < _LARGE else _FINE_OF_LARGE
    need = _need(largest, limit, exponents, repeat)
    return _units(error, bits, exponents, need, finest, clippings, repeat)[0], exponents


def _need(largest: Sequence[np.ndarray], limit: int, exponents: Sequence[int], repeat: int) -> np.ndarray:
    """Unit at which no weight is clipped, (N,); one for each group."""
    need = np.max([rows / (limit * 2.0**e) for rows, e in zip(largest, exponents, strict=True)], axis=0)
    return need if repeat == 1 else np.repeat(need.reshape(-1, repeat).max(axis=1), repeat)


def _units(
    error: StateError,
    bits: int,
    exponents: Sequence[int],
    need: np.ndarray,
    finest: np.ndarray,
    clippings: Sequence[float],
    repeat: int,
) -> tuple[np.ndarray, np.ndarray]:
    candidates = list(_different(np.clip(need * c, finest, finest * _MOST_COARSE) for c in clippings))
    errors = error.of(bits, exponents, candidates)
    compared = errors
    if repeat > 1:
        compared = np.repeat(errors.reshape(len(errors), -1, repeat).sum(axis=2), repeat, axis=1)
    best = np.argmin(compared, axis=0)
    columns = np.arange(len(finest))
    return np.stack(candidates)[best, columns], errors[best, columns]


def _different(candidates: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Without those that equal the one before."""
    last: np.ndarray | None = None
    for candidate in candidates:
        if last is None or not np.array_equal(candidate, last):
            yield candidate
        last = candidate
