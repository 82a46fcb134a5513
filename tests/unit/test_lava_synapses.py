"""Lava's Dense is given weights that it computes with exactly as the Program means them (FP-2.1)."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.chain import InputFormat, Layer, Synapses
from hardware.errors import ProgramError
from hardware.lava.synapses import check_fits_dense, dense_weights, fits_dense
from hardware.program import Program
from hardware.synapses import Dense

SIGNS = {"mixed": (-1, 1), "positive": (0, 1), "negative": (-1, 0), "zero": (0, 0)}


def lava_dense(weights: np.ndarray, exponent: int, bits: int, message: np.ndarray) -> np.ndarray:
    """Lava 0.10's fixed-point Dense, written out from its documented rules (sign mode, clip, truncation, shift)."""
    mixed = bool(weights.min() < 0 < weights.max())
    inhibitory = not mixed and weights.max() <= 0 and weights.min() < 0
    magnitude = -weights if inhibitory else weights
    magnitude = np.clip(magnitude, -256 if mixed else 0, 255)
    cleared = 8 - bits + mixed
    kept = (magnitude >> cleared) << cleared
    total = (-kept if inhibitory else kept) @ message
    return total << exponent if exponent > 0 else total >> -exponent


def random_weights(rng: np.random.Generator, bits: int, signs: str, shape: tuple[int, int]) -> np.ndarray:
    limit, (low, high) = 2 ** (bits - 1) - 1, SIGNS[signs]
    weights = rng.integers(low * limit, high * limit + 1, shape).astype(np.int8)
    weights.flat[:2] = low * limit, high * limit  # both ends of the range
    return weights


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("exponent", [0, 1, 2, 7, 8])
def test_what_dense_computes_is_the_weighted_sum_shifted_left(bits, signs, exponent):
    rng = np.random.default_rng([bits, exponent])
    weights = random_weights(rng, bits, signs, (6, 9))
    sent = dense_weights(Dense(weights, bits), exponent)
    for message in (rng.integers(0, 2, 9), rng.integers(-500, 500, 9)):
        expected = (weights.astype(np.int64) @ message) << exponent
        computed = lava_dense(sent.weights.astype(np.int64), sent.weight_exp, sent.num_weight_bits, message)
        assert np.array_equal(computed, expected)


def readout(weight: int, fan_in: int) -> Layer:
    return Layer(
        name="readout",
        model="li",
        input=Synapses(np.full((1, fan_in), weight, dtype=np.int8), exponent=0),
        recurrent=None,
        bias=np.zeros(1, dtype=np.int32),
        parameters={"A": np.ones(1, dtype=np.int32)},
        shifts={"K": 12},
    )


def test_a_sum_that_dense_cannot_hold_in_32_bits_is_refused_and_the_largest_one_is_not():
    # An 8-bit weight is sent doubled: 2 * 127 * 128 * high must stay below 2^31.
    largest = (2**31 - 1) // (2 * 127 * 128)
    fits = Program.chain((readout(127, 128),), InputFormat(128, 0, largest))
    check_fits_dense(fits)
    too_wide = Program.chain((readout(127, 128),), InputFormat(128, 0, largest + 1))
    assert fits_dense(fits) and not fits_dense(too_wide)
    with pytest.raises(
        ProgramError, match=r"population 'readout': projection '.*' into neuron 0 .* 32 bits .*connections='batched'"
    ):
        check_fits_dense(too_wide)
