"""How the Program's weights are handed to Lava's Dense so that what Dense computes is exactly ``(W s) << exponent``
(FP-2.1).

Lava's fixed-point Dense keeps 8-bit mantissas whose lowest bits it clears: with ``num_weight_bits = n`` it clears ``8
- n`` bits, one more when the matrix has both signs. A b-bit mantissa is therefore sent shifted left by ``9 - b`` with
``num_weight_bits = b``, and the exponent is lowered by the same amount. A matrix of one sign is cleared less, so the
same shift holds for it. The shift back is exact, since the shifted bits are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.currents import mantissa_bound
from hardware.errors import ProgramError
from hardware.program import Program
from hardware.synapses import Dense

MAX_SUM = 2**31 - 1
"""Lava's Dense sums in int32."""


@dataclass(frozen=True)
class DenseWeights:
    """Arguments of Lava's Dense.

    Attributes:
        weights: int32 (N, N_pre), ``W << (9 - b)``.
        weight_exp: exponent for Lava, may be negative.
        num_weight_bits: b.
    """

    weights: np.ndarray
    weight_exp: int
    num_weight_bits: int


def dense_weights(synapses: Dense, exponent: int) -> DenseWeights:
    """Mantissas, exponent and width as Lava's Dense takes them."""
    shift = 9 - synapses.weight_bits
    return DenseWeights(
        weights=synapses.weight.astype(np.int32) << shift,
        weight_exp=exponent - shift,
        num_weight_bits=synapses.weight_bits,
    )


def check_fits_dense(program: Program) -> None:
    """Refuse a Program with dense synapses whose sums Lava's Dense cannot hold in 32 bits before it shifts them.

    Raises:
        ProgramError: names population, projection, neuron, limit and the alternative.
    """
    for projection in program.projections:
        if not isinstance(projection.synapses, Dense):
            continue
        shift = 9 - projection.synapses.weight_bits
        largest = mantissa_bound(projection, *program.ranges[projection.source]) << shift
        if largest > MAX_SUM:
            rows = np.abs(projection.synapses.weight.astype(np.int64)).sum(axis=1)
            raise ProgramError(
                f"population '{projection.target}': projection '{projection.name}' into neuron {int(np.argmax(rows))} "
                f"can add up to {largest} inside Lava's Dense, which sums in 32 bits (limit {MAX_SUM}); narrow the "
                "input range, or run with connections='batched'"
            )


def fits_dense(program: Program) -> bool:
    """Whether :func:`check_fits_dense` passes."""
    try:
        check_fits_dense(program)
    except ProgramError:
        return False
    return True
