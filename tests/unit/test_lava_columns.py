"""Convolution as products of matrices: the integers of the sums, whatever kernel, stride, padding, dilation and groups,
and however many pictures are laid out at once."""

from __future__ import annotations

import numpy as np
import pytest

from hardware import Convolution
from hardware.lava import columns
from hardware.lava.columns import Columns


def pair(rng: np.random.Generator, low: int) -> tuple[int, int]:
    one, other = rng.integers(low, low + 3, 2)
    return int(one), int(other)


def random_convolution(rng: np.random.Generator) -> Convolution:
    while True:
        groups = int(rng.integers(1, 4))
        channels = groups * rng.integers(1, 4, 2)
        height, width = (int(n) for n in rng.integers(1, 12, 2))
        kernel = (channels[1], channels[0] // groups, *rng.integers(1, 5, 2))
        stride, padding, dilation = (pair(rng, low) for low in (1, 0, 1))
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel[2:], strict=True)]
        if all(size + 2 * pad >= need for size, pad, need in zip((height, width), padding, reach, strict=True)):
            values = rng.integers(-128, 128, kernel).astype(np.int8)
            shape = (int(channels[0]), height, width)
            return Convolution.of(
                values,
                shape,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )


@pytest.mark.parametrize("chunk", [1, 300, columns.CHUNK])
def test_products_of_matrices_are_the_sums_of_the_convolution(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CHUNK", chunk)
    split = 0
    for seed in range(150):
        rng = np.random.default_rng([8, seed])
        synapses = random_convolution(rng)
        largest = int(rng.choice([1, 127, 2**24 - 1]))
        rows = rng.integers(-largest, largest + 1, (int(rng.integers(1, 6)), synapses.shape[1])).astype(np.int32)
        found = Columns(synapses).product(rows)
        expected = rows.astype(np.int64) @ synapses.matrix().T.astype(np.int64)
        assert found.shape == expected.shape and np.array_equal(found, expected), f"seed {seed}: {synapses}"
        split += len(Columns(synapses)._chunks(len(rows))) > 1
    assert split > 50 or chunk == columns.CHUNK


def test_a_bounded_number_of_values_is_laid_out_at_once() -> None:
    kernel = np.ones((8, 4, 3, 3), np.int8)
    wide = Columns(Convolution.of(kernel, (4, 500, 400), padding=(1, 1)))
    chunks = wide._chunks(3)
    assert len(chunks) > 3 * 100
    assert all((lines.stop - lines.start) * 400 * 36 <= max(columns.CHUNK, 400 * 36) for _, lines in chunks)
    covered = np.zeros((3, 500), int)
    for samples, lines in chunks:
        covered[samples, lines] += 1
    assert (covered == 1).all()


def test_the_largest_sums_are_exact() -> None:
    kernel = np.full((1, 1, 64, 1024), -127, np.int8)
    synapses = Convolution.of(kernel, (1, 64, 1024))
    rows = np.full((2, 2**16), 2**24 - 1, np.int32)
    rows[1, 5] -= 1
    assert Columns(synapses).fan_in < columns.EXACT_FAN_IN
    exact = -127 * (2**24 - 1) * 2**16
    assert Columns(synapses).product(rows).tolist() == [[exact], [exact + 127]]
