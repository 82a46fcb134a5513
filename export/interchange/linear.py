"""What NIR's linear nodes do to a signal of a given shape: a map, a bias, and the shape that comes out.

Pictures are (channels, height, width), numbered channel-major; a Conv1d works on pictures of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from export.interchange.weights import ConvolutionWeights, DenseWeights, SparseWeights, Weights, diagonal
from hardware.synapses import Pair

Shape = tuple[int, ...]

LINEAR = (nir.Affine, nir.Linear, nir.Scale, nir.Flatten, nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)


@dataclass(frozen=True)
class LinearMap:
    """``W s + bias``.

    Attributes:
        weights: None for the identity. bias: float64 (N,) or None. shape: of the result.
    """

    weights: Weights | None
    bias: np.ndarray | None
    shape: Shape


def linear_map(node: nir.NIRNode, shape: Shape, name: str) -> LinearMap:
    """The map of a node for signals of ``shape``.

    Raises:
        GraphError: shapes that do not fit; names the node and both.
        UnsupportedError: a padding or stride that has no exact form.
    """
    if isinstance(node, nir.Flatten):
        return LinearMap(None, None, _flattened(node, shape))
    if isinstance(node, nir.Scale):
        return _scale(node, shape, name)
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return _convolution(node, shape, name)
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        return _pooling(node, shape, name)
    matrix = np.asarray(node.weight, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != size_of(shape):
        raise GraphError(
            f"synapses '{name}' take {matrix.shape[1:]} values but receive {size_of(shape)}; shapes must agree"
        )
    bias = None
    if isinstance(node, nir.Affine):
        bias = np.broadcast_to(np.asarray(node.bias, np.float64).reshape(-1), matrix.shape[:1])
    weights: Weights = DenseWeights(matrix)
    if (node.metadata or {}).get("connectivity") == "sparse":  # a file of ours: zeros are synapses that are not there
        weights = SparseWeights(*weights.coo(), weights.shape)
    return LinearMap(weights, bias, matrix.shape[:1])


def size_of(shape: Shape) -> int:
    return int(np.prod(shape)) if shape else 1


def _flattened(node: nir.Flatten, shape: Shape) -> Shape:
    """The declared shape where it fits; the order of values does not change."""
    declared = (node.output_type or {}).get("output")
    if declared is not None and int(np.prod(declared)) == size_of(shape):
        return tuple(int(n) for n in np.atleast_1d(declared))
    return (size_of(shape),)


def _scale(node: nir.Scale, shape: Shape, name: str) -> LinearMap:
    scale = np.asarray(node.scale, dtype=np.float64)
    try:
        values = scale.reshape(shape) if scale.size == size_of(shape) else np.broadcast_to(scale, shape)
    except ValueError:
        raise GraphError(
            f"Scale '{name}' of shape {scale.shape} meets signals of shape {shape}; shapes must agree"
        ) from None
    if len(shape) == 3:
        by_channel = values.reshape(shape[0], -1)
        if np.all(by_channel == by_channel[:, :1]):  # stays a convolution with what follows
            kernel = by_channel[:, 0].reshape(-1, 1, 1, 1).copy()
            return LinearMap(ConvolutionWeights(kernel, shape, shape, groups=shape[0]), None, shape)
    return LinearMap(diagonal(values.reshape(-1).copy()), None, shape)


def _convolution(node: nir.Conv1d | nir.Conv2d, shape: Shape, name: str) -> LinearMap:
    flat = isinstance(node, nir.Conv1d)
    kernel = np.asarray(node.weight, dtype=np.float64)
    if kernel.ndim != (3 if flat else 4) or 0 in kernel.shape:
        raise GraphError(f"node '{name}': weight has shape {kernel.shape}; expected (C_out, C_in, ...)")
    kernel = kernel[:, :, None] if flat else kernel
    groups = _whole(node.groups, f"node '{name}': groups", 1)[0]
    channels = kernel.shape[1] * groups
    if kernel.shape[0] % groups:
        raise GraphError(f"node '{name}': {groups} groups do not divide {kernel.shape[0]} output channels")
    picture = _picture(node.input_shape, shape, channels, flat, name)
    stride = _sides(node.stride, f"node '{name}': stride", flat, 1)
    dilation = _sides(node.dilation, f"node '{name}': dilation", flat, 1)
    kernel, dilation, padding = _padded(node.padding, kernel, stride, dilation, flat, name)
    weights = ConvolutionWeights.of(kernel, picture, stride, padding, dilation, groups)
    if min(weights.out_shape) < 1:
        raise GraphError(f"node '{name}': its kernel does not fit into a picture of {picture[1:]}; shapes must agree")
    bias = np.asarray(node.bias if node.bias is not None else 0.0, np.float64).reshape(-1)
    if bias.size not in (1, kernel.shape[0]):
        raise GraphError(f"node '{name}': bias has {bias.size} values for {kernel.shape[0]} output channels")
    spread = np.repeat(np.broadcast_to(bias, kernel.shape[:1]), weights.positions)
    out = weights.out_shape
    return LinearMap(weights, spread, (out[0], out[2]) if flat else out)


def _picture(declared: Any, shape: Shape, channels: int, flat: bool, name: str) -> tuple[int, int, int]:
    """(C, H, W) of what a convolution receives."""
    inner = tuple(n for i, n in enumerate(shape) if n != 1 or i >= len(shape) - (2 if flat else 3))
    spatial = None if declared is None else tuple(int(n) for n in np.atleast_1d(declared))
    if len(inner) == 1 and spatial is not None:
        inner = (channels, *spatial)
    expected = f"{channels} channels" + ("" if spatial is None else f" of {spatial}")
    wrong = len(inner) != (2 if flat else 3) or inner[0] != channels or size_of(inner) != size_of(shape)
    if wrong or (spatial is not None and inner[1:] != spatial):
        raise GraphError(f"node '{name}' takes {expected} but receives {shape}; shapes must agree")
    return (channels, 1, inner[1]) if flat else (channels, inner[1], inner[2])


def _padded(
    given: Any, kernel: np.ndarray, stride: Pair, dilation: Pair, flat: bool, name: str
) -> tuple[np.ndarray, Pair, Pair]:
    """Kernel, dilation and equal padding on both sides that mean the same.

    ``same`` pads ``d (k - 1)`` in all, the odd one behind the picture, as PyTorch does: the kernel then gets a row of
    zeros in front.
    """
    given = given.decode() if isinstance(given, bytes) else given
    given = str(given) if isinstance(given, np.str_) else given
    if not isinstance(given, str):
        return kernel, dilation, _sides(given, f"node '{name}': padding", flat, 0)
    if given == "valid":
        return kernel, dilation, (0, 0)
    if given != "same":
        raise GraphError(f"node '{name}': padding is '{given}'; allowed are 'same', 'valid' and numbers")
    if stride != (1, 1):
        raise UnsupportedError(
            f"node '{name}': padding 'same' with stride {stride} has no agreed meaning; give numbers"
        )
    padding = []
    for axis in range(2):
        total = dilation[axis] * (kernel.shape[2 + axis] - 1)
        if total % 2:
            kernel, spread = _spread(kernel, 2 + axis, dilation[axis])
            dilation = (spread, dilation[1]) if axis == 0 else (dilation[0], spread)
            front = [(0, 0)] * 4
            front[2 + axis] = (1, 0)
            kernel = np.pad(kernel, front)
        padding.append((total + 1) // 2)
    return kernel, dilation, (padding[0], padding[1])


def _spread(kernel: np.ndarray, axis: int, dilation: int) -> tuple[np.ndarray, int]:
    """The same kernel with its gaps written as zeros."""
    length = dilation * (kernel.shape[axis] - 1) + 1
    wide = np.zeros([length if i == axis else n for i, n in enumerate(kernel.shape)])
    index: list[slice] = [slice(None)] * 4
    index[axis] = slice(None, None, dilation)
    wide[tuple(index)] = kernel
    return wide, 1


def _pooling(node: nir.SumPool2d | nir.AvgPool2d, shape: Shape, name: str) -> LinearMap:
    """A sum over each window, of each channel by itself; an average divides by the whole window, padding included."""
    inner = tuple(n for i, n in enumerate(shape) if n != 1 or i >= len(shape) - 3)
    if len(inner) != 3:
        raise GraphError(f"node '{name}' takes (channels, height, width) but receives {shape}; shapes must agree")
    size = _sides(node.kernel_size, f"node '{name}': kernel_size", False, 1)
    stride = _sides(node.stride, f"node '{name}': stride", False, 1)
    padding = _sides(node.padding, f"node '{name}': padding", False, 0)
    value = 1.0 / (size[0] * size[1]) if isinstance(node, nir.AvgPool2d) else 1.0
    picture = (inner[0], inner[1], inner[2])
    weights = ConvolutionWeights.of(np.full((inner[0], 1, *size), value), picture, stride, padding, groups=inner[0])
    if min(weights.out_shape) < 1:
        raise GraphError(f"node '{name}': its window does not fit into a picture of {inner[1:]}; shapes must agree")
    return LinearMap(weights, None, weights.out_shape)


def _sides(value: Any, what: str, flat: bool, least: int) -> Pair:
    """(vertical, horizontal) of one or two numbers; one dimension has no vertical."""
    numbers = _whole(value, what, least)
    if flat:
        if len(numbers) != 1:
            raise GraphError(f"{what} has {len(numbers)} values; one is needed")
        return (max(least, 0), numbers[0])
    if len(numbers) not in (1, 2):
        raise GraphError(f"{what} has {len(numbers)} values; one or two are needed")
    return numbers[0], numbers[-1]


def _whole(value: Any, what: str, least: int) -> list[int]:
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64)).reshape(-1)
    except (TypeError, ValueError):
        raise GraphError(f"{what} is {value!r}; it must be whole numbers") from None
    if numbers.size == 0 or not np.isfinite(numbers).all() or np.any(numbers != np.round(numbers)):
        raise GraphError(f"{what} is {value!r}; it must be whole numbers")
    if np.any(numbers < least) or np.any(numbers > 2**20):
        raise GraphError(f"{what} is {numbers.astype(int).tolist()}; limit {least} to {2**20}")
    return [int(n) for n in numbers]
