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

from hardware.chain import Layer, Synapses
from hardware.errors import ProgramError
from hardware.program import Program

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


def dense_weights(synapses: Synapses) -> DenseWeights:
    """Mantissas, exponent and width as Lava's Dense takes them."""
    shift = 9 - synapses.weight_bits
    return DenseWeights(
        weights=synapses.weight.astype(np.int32) << shift,
        weight_exp=synapses.exponent - shift,
        num_weight_bits=synapses.weight_bits,
    )


def check_fits_dense(program: Program) -> None:
    """Refuse a Program whose sums Lava's Dense cannot hold in 32 bits before it shifts them.

    Raises:
        ProgramError: names layer, neuron, limit and the alternative.
    """
    largest = max(abs(program.input.low), abs(program.input.high))
    for layer in program.layers:
        _check_sum(layer, layer.input, "input", largest)
        if layer.recurrent is not None:
            _check_sum(layer, layer.recurrent, "recurrent", 1)
        largest = 1


def fits_dense(program: Program) -> bool:
    """Whether :func:`check_fits_dense` passes."""
    try:
        check_fits_dense(program)
    except ProgramError:
        return False
    return True


def _check_sum(layer: Layer, synapses: Synapses, kind: str, largest: int) -> None:
    sums = np.abs(synapses.weight.astype(np.int64)).sum(axis=1) * largest << (9 - synapses.weight_bits)
    neuron = int(np.argmax(sums))
    if sums[neuron] > MAX_SUM:
        raise ProgramError(
            f"layer '{layer.name}': {kind} synapses of neuron {neuron} can add up to {int(sums[neuron])} "
            f"inside Lava's Dense, which sums in 32 bits (limit {MAX_SUM}); narrow the input range, "
            "or run with connections='batched'"
        )
