"""State units and synaptic exponents from the weights: the scales with the least squared error, or that clip
nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from export.errors import QuantizationError
from export.interchange.weights import ConvolutionWeights, Weights
from export.quantization.tensors import quantize_weights, weight_limit
from hardware.populations import MAX_EXPONENT

_CLIPPINGS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
"""Row scales tried below the one that keeps the largest weight; at few bits a clipped maximum costs less than coarse
steps."""

_MAX_COARSENING = 4.0
"""With per-row scales a neuron's unit is at most this much coarser than the finest one its states allow."""

_Fit = tuple[float, np.ndarray, tuple[int, ...]]
"""Squared error, unit of each neuron, exponent of each projection."""

_TRIED_TOGETHER = 2
"""So many projections of a population get their exponents together, more of them one after the other."""


@dataclass(frozen=True)
class Table:
    """Weights of a projection by row: of a convolution each row stands for the neurons of a channel.

    Attributes:
        values: float64 (R, K), folded. repeat: neurons of a row, N = R * repeat.
    """

    values: np.ndarray
    repeat: int = 1

    @classmethod
    def of(cls, weights: Weights) -> Table:
        repeat = weights.positions if isinstance(weights, ConvolutionWeights) else 1
        return cls(weights.table(), repeat)

    def rows(self, neurons: np.ndarray) -> np.ndarray:
        """Of a value for each neuron, that of each row."""
        return neurons[:: self.repeat]

    def neurons(self, rows: np.ndarray) -> np.ndarray:
        """A value for each row, at each neuron."""
        return rows if self.repeat == 1 else np.repeat(rows, self.repeat)


def best_exponent(weight: np.ndarray, bits: int, unit: np.ndarray, choice: str, what: str) -> int:
    """Exponent of a power-of-two scale: the smallest that keeps the maximum, or one of the three below it with a
    smaller squared error."""
    largest = float(np.max(np.abs(weight) / unit[:, None]))
    if largest <= weight_limit(bits):
        return 0
    top = int(np.ceil(np.log2(largest / (weight_limit(bits) + 0.499))))
    if top > MAX_EXPONENT:
        raise QuantizationError(
            f"{what} reaches {largest:.6g} state units, which needs an exponent of {top}, limit {MAX_EXPONENT}; lower "
            "state_fraction_bits"
        )
    if choice == "maximum":
        return max(top, 0)
    candidates = range(max(top, 0), max(top - 4, -1), -1)
    return min(candidates, key=lambda exponent: squared_error(weight, bits, exponent, unit).sum())


def squared_error(weight: np.ndarray, bits: int, exponent: int, unit: np.ndarray) -> np.ndarray:
    """Sum over each row of the squared difference between weights and their integers, float64 (N,)."""
    restored = quantize_weights(weight, bits, exponent, unit) * (unit[:, None] * 2.0**exponent)
    result: np.ndarray = np.sum((restored - weight) ** 2, axis=1)
    return result


def fitted_units(
    tables: Sequence[Table], bits: int, finest: np.ndarray, choice: str, shared: bool, where: str = "layer"
) -> tuple[np.ndarray, tuple[int, ...]]:
    """A unit for each neuron (or one for all; one for each channel that a convolution ends in), used by all
    projections into a population, and their exponents, with the least squared error in all.

    Args:
        finest: (N,), smallest unit that the states allow.
    """
    limit = weight_limit(bits)
    clippings = _CLIPPINGS if choice == "squared_error" else (1.0,)
    together = _Together(tables, bits, finest, clippings, shared)
    rows = [np.abs(table.values).max(axis=1) for table in tables]
    choices = [
        exponents_worth_trying(row, limit, table.rows(finest), where) for row, table in zip(rows, tables, strict=True)
    ]
    best: list[_Fit] = []  # better ones, the last is the best so far
    for exponents in combinations(choices, best):
        need = np.zeros_like(finest)
        for table, row, exponent in zip(tables, rows, exponents, strict=True):
            need = np.maximum(need, table.neurons(row / (limit * 2.0**exponent)))
        unit, error = together.best_units(exponents, together.joined(need, np.max))
        if not best or error < best[-1][0]:
            best.append((error, unit, exponents))
    return best[-1][1], best[-1][2]


def combinations(choices: Sequence[Sequence[int]], best: Sequence[_Fit]) -> Iterator[tuple[int, ...]]:
    """All combinations where there are few projections; else one projection after the other, the others at their best
    so far."""
    if len(choices) <= _TRIED_TOGETHER:
        yield from itertools.product(*choices)
        return
    yield tuple(options[-1] for options in choices)
    for index, options in enumerate(choices):
        for exponent in options[:-1]:
            found = best[-1][2]
            yield (*found[:index], exponent, *found[index + 1 :])


def exponents_worth_trying(
    rows: np.ndarray, limit: int, finest: np.ndarray, where: str, coarsest: float = 4.0
) -> list[int]:
    """Exponents worth a try: from the one at which the largest row needs no coarser unit, downwards."""
    used = rows[rows > 0]
    if used.size == 0:
        return [0]
    top = int(np.ceil(np.log2(float(used.max()) / (limit * float(finest.min())))))
    if top > MAX_EXPONENT:
        raise QuantizationError(
            f"{where}: weights reach {used.max():.6g} and need an exponent of {top}, limit {MAX_EXPONENT}; lower "
            "state_fraction_bits"
        )
    return sorted({max(0, top - i) for i in range(3 + int(np.log2(coarsest)))})


def groups_of(tables: Sequence[Table], size: int, shared: bool) -> int:
    """How many neurons in a row must have one unit: all where it is shared, those of a channel behind a convolution."""
    repeats = {table.repeat for table in tables if table.repeat > 1}
    nested = all(a % b == 0 for a in repeats for b in repeats if a >= b)
    return size if shared or not nested else max(repeats, default=1)


class _Together:
    """Neurons that must have one unit: all of them where it is shared, those of a channel behind a convolution."""

    def __init__(
        self, tables: Sequence[Table], bits: int, finest: np.ndarray, clippings: Sequence[float], shared: bool
    ) -> None:
        self.tables, self.bits, self.finest, self.clippings = tables, bits, finest, clippings
        self.repeat = groups_of(tables, finest.size, shared)

    def joined(self, neurons: np.ndarray, how: Callable[..., np.ndarray]) -> np.ndarray:
        """One value for each group, at each neuron."""
        if self.repeat == 1:
            return neurons
        groups = how(neurons.reshape(-1, self.repeat), axis=1)
        return np.repeat(groups, self.repeat)

    def best_units(self, exponents: Sequence[int], need: np.ndarray) -> tuple[np.ndarray, float]:
        """Among the clippings, the unit of each group with the least squared error, and that error in all."""
        unit, least = self.finest, np.full(self.finest.shape, np.inf)
        for clipping in self.clippings:
            candidate = np.clip(need * clipping, self.finest, self.finest * _MAX_COARSENING)
            error = np.zeros(self.finest.shape)
            for table, exponent in zip(self.tables, exponents, strict=True):
                rows = squared_error(table.values, self.bits, exponent, table.rows(candidate))
                error += table.neurons(rows)
            better = self.joined(error, np.sum) < self.joined(least, np.sum)
            unit, least = np.where(better, candidate, unit), np.where(better, error, least)
        return unit, float(least.sum())
