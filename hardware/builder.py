"""Graph programs in a few lines: arrays or numbers in, a validated :class:`hardware.program.Program` out.

::

    graph = hardware.ProgramBuilder()
    graph.input("pixels", (2, 34, 34))
    graph.population("edges", (8, 16, 16), "lif", parameters={"A": 3900, "TH": 4096}, shifts={"K": 12})
    graph.project("pixels", "edges", hardware.Convolution.of(kernel, (2, 34, 34), stride=(2, 2)), exponent=6)
    graph.project("edges", "edges", recurrent, exponent=4, delay=1)
    program = graph.build(outputs="edges", decision=hardware.Decision("spike_count"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hardware.errors import ProgramError
from hardware.populations import Decision, Input, Population, Projection
from hardware.program import Program
from hardware.synapses import Connections, Convolution, Dense, Sparse

Values = Mapping[str, "int | np.ndarray | Sequence[int]"]


class ProgramBuilder:
    """Collects inputs, populations (in order of evaluation) and projections; every error names the item."""

    def __init__(self) -> None:
        self._inputs: list[Input] = []
        self._populations: list[Population] = []
        self._projections: list[Projection] = []

    def input(self, name: str, size: int | tuple[int, ...], low: int = 0, high: int = 1) -> str:
        """Input channels that accept integers from ``low`` to ``high``; returns the name. ``size`` is their number, or
        (channels, height, width).
        """
        self._inputs.append(Input(name, size, low, high))  # type: ignore[arg-type]
        return name

    def population(
        self,
        name: str,
        size: int | tuple[int, ...],
        model: str,
        parameters: Values,
        shifts: Mapping[str, int] | None = None,
        bias: int | np.ndarray | Sequence[int] = 0,
        options: Mapping[str, str] | None = None,
        coefficient_bits: int = 12,
        initial: Values | None = None,
    ) -> str:
        """Neurons of one model, evaluated after those that were added before; returns the name.

        Args:
            size: number of neurons, or (channels, height, width).
            parameters, bias, initial: an integer for all neurons, or one for each.
            shifts, options, coefficient_bits: as of a :class:`Population`.

        Raises:
            ProgramError: names the population and the item.
        """
        where = f"population '{name}'"
        count = int(np.prod(size))
        self._populations.append(
            Population(
                name,
                size,  # type: ignore[arg-type]
                model,
                _spread(bias, count, f"{where}: bias"),
                {key: _spread(value, count, f"{where}: parameter {key}") for key, value in parameters.items()},
                shifts or {},
                options or {},
                coefficient_bits,
                {key: _spread(value, count, f"{where}: initial {key}") for key, value in (initial or {}).items()},
            )
        )
        return name

    def project(
        self,
        source: str,
        target: str,
        synapses: Connections | np.ndarray | Sequence[Sequence[int]],
        exponent: int = 0,
        delay: int = 0,
        name: str | None = None,
        weight_bits: int = 8,
    ) -> str:
        """Synapses from an input or a population to a population; returns the name.

        Args:
            synapses: Dense, Sparse or Convolution, or a matrix of integer mantissas (N_target, N_source).
            exponent: power of two by which the sum is multiplied, 0 to 23. delay: steps, 0 to 62.
            name: by default made of source, target and delay.
            weight_bits: of a matrix.

        Raises:
            ProgramError: names the projection and the item.
        """
        name = name or f"{source}.{target}.{delay}"
        if not isinstance(synapses, (Dense, Sparse, Convolution)):
            matrix = _integers(synapses, f"projection '{name}': weights", -(2**7), 2**7 - 1)
            synapses = Dense(matrix.astype(np.int8), weight_bits)
        self._projections.append(Projection(name, source, target, synapses, exponent, delay))
        return name

    def build(
        self,
        outputs: str | Sequence[str] | None = None,
        decision: Decision | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Program:
        """The program.

        Args:
            outputs: populations whose results are wanted; None is the last one.
            decision, metadata: as of a Program.

        Raises:
            ProgramError: names what does not fit.
        """
        if outputs is None:
            outputs = [population.name for population in self._populations[-1:]]
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        parts = (tuple(self._inputs), tuple(self._populations), tuple(self._projections))
        return Program(*parts, names, decision or Decision(), metadata or {})


def _spread(value: int | np.ndarray | Sequence[int], count: int, what: str) -> np.ndarray:
    """int32 (count,), from one integer or ``count`` of them."""
    array = _integers(value, what, -(2**31), 2**31 - 1)
    if array.ndim == 0:
        array = np.full(count, array)
    if array.shape != (count,):
        raise ProgramError(f"{what} must be one integer or {count}, got shape {array.shape}")
    return array.astype(np.int32)


def _integers(value: object, what: str, low: int, high: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype == np.bool_ or not np.issubdtype(array.dtype, np.integer):
        raise ProgramError(f"{what} must be integers, got {array.dtype}; quantize first")
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        raise ProgramError(f"{what} must be {low} to {high}, got {int(array.min())} to {int(array.max())}")
    return array
