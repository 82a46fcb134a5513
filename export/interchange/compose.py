"""One linear map after another as a single map, exactly: what lies between two populations becomes one projection.

A convolution after a convolution or a pooling is a convolution with a larger kernel, where the edges of the pictures
allow it; everything else is worked out synapse by synapse.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from export.interchange.weights import ConvolutionWeights, Coo, DenseWeights, SparseWeights, Weights, matrix_of
from hardware.synapses import Pair

_DENSE_SHARE = 5
"""A matrix is kept sparse where fewer than one synapse in so many is there: an index takes four bytes, a weight one."""


def compose(first: Weights, second: Weights) -> Weights:
    """``second(first(s))``; both must fit."""
    if isinstance(first, ConvolutionWeights) and isinstance(second, ConvolutionWeights):
        found = _convolutions(first, second)
        if found is not None:
            return found
    if isinstance(first, DenseWeights) and isinstance(second, DenseWeights):
        return DenseWeights(second.matrix @ first.matrix)
    if isinstance(second, DenseWeights):
        return compact(_dense_after(first, second.matrix))
    if isinstance(first, DenseWeights):
        return DenseWeights(second.apply(first.matrix.T).T)
    return compact(_sparse_product(first, second))


def add(a: Weights, b: Weights) -> Weights | None:
    """The sum of two maps between the same populations; None where it has no better form than the two."""
    if isinstance(a, DenseWeights) and isinstance(b, DenseWeights):
        return DenseWeights(a.matrix + b.matrix)
    if isinstance(a, SparseWeights) and isinstance(b, SparseWeights):
        return SparseWeights.of(_joined(a.coo(), b.coo()), a.shape)
    if {a.kind, b.kind} == {"dense", "sparse"}:
        return DenseWeights(matrix_of(a) + matrix_of(b))
    return None


def _joined(a: Coo, b: Coo) -> Coo:
    target, source, values = (np.concatenate(pair) for pair in zip(a, b, strict=True))
    return target, source, values


def compact(weights: Weights) -> Weights:
    """Sparse synapses as a matrix where that takes less room."""
    if isinstance(weights, SparseWeights):
        targets, sources = weights.shape
        if _DENSE_SHARE * weights.values.size + 4 * (targets + 1) >= targets * sources:
            return DenseWeights(matrix_of(weights))
    return weights


def _dense_after(first: Weights, matrix: np.ndarray) -> Weights:
    """``matrix @ first`` by columns: the transpose of ``first`` scatters what each target hears."""
    target, source, values = first.coo()
    product = np.zeros((first.shape[1], matrix.shape[0]))
    np.add.at(product, source, matrix.T[target] * values[:, None])
    return DenseWeights(np.ascontiguousarray(product.T))


def _sparse_product(first: Weights, second: Weights) -> SparseWeights:
    """Every pair of synapses that meets in a middle neuron."""
    middle, source, values = first.coo()
    target, through, weight = second.coo()
    begin = np.searchsorted(middle, through, "left")
    counts = np.searchsorted(middle, through, "right") - begin
    place = np.repeat(begin - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    products = np.repeat(weight, counts) * values[place]
    return SparseWeights.of((np.repeat(target, counts), source[place], products), (second.shape[0], first.shape[1]))


def _convolutions(first: ConvolutionWeights, second: ConvolutionWeights) -> ConvolutionWeights | None:
    """A kernel for both, None where padding of the second one lies where the first one would see its input."""
    if not all(_edges_agree(first, second, axis) for axis in range(2)):
        return None
    stride = _pair(first.stride[i] * second.stride[i] for i in range(2))
    padding = _pair(second.padding[i] * first.stride[i] + first.padding[i] for i in range(2))
    steps = [second.dilation[i] * first.stride[i] for i in range(2)]
    size = [
        (second.kernel.shape[2 + i] - 1) * steps[i] + (first.kernel.shape[2 + i] - 1) * first.dilation[i] + 1
        for i in range(2)
    ]
    groups, outer, inner = _grouped_kernels(first, second)
    kernel = np.zeros((outer.shape[0], inner.shape[1], *size))
    per_group = outer.shape[0] // groups
    for g in range(groups):
        out = slice(g * per_group, (g + 1) * per_group)
        middle = slice(g * outer.shape[1], (g + 1) * outer.shape[1])
        for a, b in np.ndindex(*outer.shape[2:]):
            for c, d in np.ndindex(*inner.shape[2:]):
                y, x = a * steps[0] + c * first.dilation[0], b * steps[1] + d * first.dilation[1]
                kernel[out, :, y, x] += outer[out, :, a, b] @ inner[middle, :, c, d]
    found = ConvolutionWeights.of(kernel, first.in_shape, stride, padding, (1, 1), groups)
    return found if found.out_shape == second.out_shape else None


def _grouped_kernels(first: ConvolutionWeights, second: ConvolutionWeights) -> tuple[int, np.ndarray, np.ndarray]:
    """Both kernels cut into the same number of groups of the middle channels."""
    middle = first.out_shape[0]
    if first.groups == second.groups:
        return first.groups, second.kernel, first.kernel
    if first.groups == middle == first.in_shape[0]:  # a pooling, or another map of each channel by itself
        size = middle // second.groups
        inner = np.zeros((middle, size, *first.kernel.shape[2:]))
        inner[np.arange(middle), np.arange(middle) % size] = first.kernel[:, 0]
        return second.groups, second.kernel, inner
    if second.groups == middle == second.out_shape[0]:
        size = middle // first.groups
        outer = np.zeros((middle, size, *second.kernel.shape[2:]))
        outer[np.arange(middle), np.arange(middle) % size] = second.kernel[:, 0]
        return first.groups, outer, first.kernel
    return 1, _ungrouped(second), _ungrouped(first)


def _ungrouped(convolution: ConvolutionWeights) -> np.ndarray:
    kernel, groups = convolution.kernel, convolution.groups
    rows, size = kernel.shape[0] // groups, kernel.shape[1]
    full = np.zeros((kernel.shape[0], size * groups, *kernel.shape[2:]))
    for g in range(groups):
        full[g * rows : (g + 1) * rows, g * size : (g + 1) * size] = kernel[g * rows : (g + 1) * rows]
    return full


def _edges_agree(first: ConvolutionWeights, second: ConvolutionWeights, axis: int) -> bool:
    """Whether, along one axis, everything that the second map reads outside the middle picture would come from outside
    the first picture: both are 0 then."""
    length, middle = first.in_shape[1 + axis], first.out_shape[1 + axis]
    out, taps = second.out_shape[1 + axis], second.kernel.shape[2 + axis]
    reads = (
        np.arange(out)[:, None] * second.stride[axis] - second.padding[axis] + np.arange(taps) * second.dilation[axis]
    )
    outside = np.unique(reads[(reads < 0) | (reads >= middle)])
    origin = outside[:, None] * first.stride[axis] - first.padding[axis]
    origin = origin + np.arange(first.kernel.shape[2 + axis]) * first.dilation[axis]
    return not np.any((origin >= 0) & (origin < length))


def _pair(values: Iterable[int]) -> Pair:
    first, second = values
    return int(first), int(second)
