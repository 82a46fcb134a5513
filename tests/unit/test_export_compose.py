"""Linear maps one after another and side by side, as matrices: dense, sparse, convolutions with groups of all kinds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from export.interchange.compose import add, compose
from export.interchange.weights import ConvolutionWeights, DenseWeights, SparseWeights, matrix_of

PICTURE = (4, 6, 5)
SIZE = 120


def convolution(rng, in_shape, channels, groups, kernel=3, stride=1, padding=0, dilation=1):
    weights = rng.normal(size=(channels, in_shape[0] // groups, kernel, kernel))
    return ConvolutionWeights.of(weights, in_shape, (stride, stride), (padding, padding), (dilation, dilation), groups)


def dense(rng, targets, sources):
    return DenseWeights(rng.normal(size=(targets, sources)))


def sparse(rng, targets, sources):
    target, source = np.nonzero(rng.random((targets, sources)) < 0.05)
    return SparseWeights.of((target, source, rng.normal(size=target.size)), (targets, sources))


@pytest.mark.parametrize(("first", "second"), list(itertools.product((1, 2, 4), (1, 2, 4))))
def test_two_convolutions_of_any_groups_are_one_with_a_larger_kernel(first, second):
    rng = np.random.default_rng(first + 10 * second)
    inner = convolution(rng, PICTURE, 4, first, stride=1, padding=1)
    outer = convolution(rng, inner.out_shape, 8 if second < 4 else 4, second, kernel=2, stride=2)
    both = compose(inner, outer)
    assert isinstance(both, ConvolutionWeights)
    assert np.allclose(matrix_of(both), matrix_of(outer) @ matrix_of(inner), rtol=0, atol=1e-12)


def test_padding_inside_is_no_larger_kernel_but_the_same_map():
    rng = np.random.default_rng(0)
    inner = convolution(rng, PICTURE, 4, 1, padding=1)
    outer = convolution(rng, inner.out_shape, 2, 1, padding=1)
    both = compose(inner, outer)
    assert not isinstance(both, ConvolutionWeights)
    assert np.allclose(matrix_of(both), matrix_of(outer) @ matrix_of(inner), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("first", "second"), [pair for pair in itertools.product("dsc", "dsc") if pair != ("c", "c")])
def test_any_kind_after_any_other_is_the_product_of_their_matrices(first, second):
    rng = np.random.default_rng(1)
    make = {"d": dense, "s": sparse, "c": lambda rng, n, m: convolution(rng, PICTURE, 4, 2, padding=1)}
    inner, outer = make[first](rng, SIZE, SIZE), make[second](rng, SIZE, SIZE)
    assert np.allclose(matrix_of(compose(inner, outer)), matrix_of(outer) @ matrix_of(inner), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("one", "other"), [("d", "d"), ("s", "s"), ("d", "s"), ("s", "d")])
def test_sums_of_maps_are_sums_of_their_matrices(one, other):
    rng, make = np.random.default_rng(2), {"d": dense, "s": sparse}
    a, b = make[one](rng, 30, 40), make[other](rng, 30, 40)
    found = add(a, b)
    assert found is not None and np.allclose(matrix_of(found), matrix_of(a) + matrix_of(b), rtol=0, atol=1e-12)
    assert add(a, convolution(rng, (1, 5, 8), 1, 1, padding=1)) is None
