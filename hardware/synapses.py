"""Integer synapses of a projection: dense, sparse, or a convolution. Mantissas only; exponent and delay belong to the
projection.

All three mean one matrix W of mantissas, int8 (N_target, N_source), and stand for ``W s``. What differs is how much of
it is stored. Engines that have no better way take :meth:`coo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.checks import check_int, check_mantissas, frozen
from hardware.errors import ProgramError

Pair = tuple[int, int]
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Dense:
    """One weight per pair of neurons.

    Attributes:
        weight: mantissas, int8 (N_target, N_source), each within ``weight_bits`` signed bits, symmetric.
        weight_bits: declared width of a mantissa, 2 to 8.
    """

    weight: np.ndarray
    weight_bits: int = 8
    kind = "dense"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(self.weight))

    @property
    def shape(self) -> Pair:
        """(N_target, N_source)."""
        return int(self.weight.shape[0]), int(self.weight.shape[1])

    def check(self, what: str) -> None:
        """Raises ProgramError, one line that begins with ``what``."""
        weight = self.weight
        if weight.dtype != np.int8 or weight.ndim != 2 or 0 in weight.shape:
            raise ProgramError(
                f"{what}: weights must be int8 of shape (N_target, N_source), got {weight.dtype} of shape "
                f"{weight.shape}"
            )
        check_mantissas(weight, self.weight_bits, what)

    def coo(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Synapses that are not 0: target, source (int64 each) and mantissa (int8), by target, then by source."""
        target, source = np.nonzero(self.weight)
        return target, source, self.weight[target, source]

    def matrix(self) -> np.ndarray:
        """W, int8 (N_target, N_source)."""
        return self.weight

    def interval(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest ``W s`` of each target, int64, for s in ``[low, high]``."""
        weight = self.weight.astype(np.int64)
        a, b = weight * low, weight * high
        return np.minimum(a, b).sum(axis=1), np.maximum(a, b).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Sparse:
    """Compressed sparse rows by target; canonical: sources rise within a row, no stored zeros.

    Attributes:
        indptr: int32 (N_target + 1,), where each target's row begins in ``indices``.
        indices: int32 (number of synapses,), sources.
        weight: mantissas, int8 (number of synapses,).
        weight_bits: declared width of a mantissa, 2 to 8.
        shape: (N_target, N_source).
    """

    indptr: np.ndarray
    indices: np.ndarray
    weight: np.ndarray
    weight_bits: int
    shape: Pair
    kind = "sparse"

    def __post_init__(self) -> None:
        for name in ("indptr", "indices", "weight"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        object.__setattr__(self, "shape", tuple(self.shape))

    @classmethod
    def from_coo(cls, target: Any, source: Any, weight: Any, shape: Pair, weight_bits: int = 8) -> Sparse:
        """Synapses as triples in any order; repeats are added, zeros dropped.

        Args:
            target, source: ints (n,). weight: integer mantissas (n,).
            shape: (N_target, N_source). weight_bits: 2 to 8.

        Raises:
            ProgramError: where an index does not exist or a sum does not fit ``weight_bits``.
        """
        rows, columns, values = (np.asarray(x) for x in (target, source, weight))
        if not rows.shape == columns.shape == values.shape or rows.ndim != 1:
            shapes = f"{rows.shape}, {columns.shape}, {values.shape}"
            raise ProgramError(f"Sparse.from_coo: target, source and weight must be equally long lists, got {shapes}")
        for name, array in (("target", rows), ("source", columns), ("weight", values)):
            if array.size and not np.issubdtype(array.dtype, np.integer):
                raise ProgramError(f"Sparse.from_coo: {name} must be integers, got {array.dtype}")
        check_int(weight_bits, 2, 8, "Sparse.from_coo: weight_bits")
        for name, array, limit in (("target", rows, shape[0]), ("source", columns, shape[1])):
            if array.size and not 0 <= int(array.min()) <= int(array.max()) < limit:
                raise ProgramError(
                    f"Sparse.from_coo: {name} must be 0 to {limit - 1}, got {array.min()} to {array.max()}"
                )
        flat, inverse = np.unique(rows.astype(np.int64) * shape[1] + columns.astype(np.int64), return_inverse=True)
        sums = np.zeros(flat.size, np.int64)
        np.add.at(sums, inverse, values.astype(np.int64))
        limit = 2 ** (weight_bits - 1) - 1
        wide = np.flatnonzero(np.abs(sums) > limit)
        if wide.size:
            place = [int(x) for x in divmod(int(flat[wide[0]]), shape[1])]
            raise ProgramError(
                f"Sparse.from_coo: the weights at {place} add up to {int(sums[wide[0]])}, {weight_bits} bits hold "
                f"{-limit} to {limit}"
            )
        flat, sums = flat[sums != 0], sums[sums != 0]
        counts = np.bincount(flat // shape[1], minlength=shape[0])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return cls(indptr, (flat % shape[1]).astype(np.int32), sums.astype(np.int8), weight_bits, shape)

    @classmethod
    def from_matrix(cls, weight: np.ndarray, weight_bits: int = 8) -> Sparse:
        """The non-zero elements of ``weight``, integer mantissas (N_target, N_source) of ``weight_bits`` bits."""
        weight = np.asarray(weight)
        target, source = np.nonzero(weight)
        return cls.from_coo(target, source, weight[target, source], (weight.shape[0], weight.shape[1]), weight_bits)

    def check(self, what: str) -> None:
        """Raises ProgramError, one line that begins with ``what``."""
        if len(self.shape) != 2:
            raise ProgramError(f"{what}: shape must be (N_target, N_source), got {self.shape}")
        for length in self.shape:
            check_int(length, 1, 2**24, f"{what}: shape")
        for name, dtype in (("indptr", np.int32), ("indices", np.int32), ("weight", np.int8)):
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                raise ProgramError(
                    f"{what}: {name} must be {np.dtype(dtype)} of one dimension, got {array.dtype} of shape "
                    f"{array.shape}"
                )
        self._check_rows(what)
        check_mantissas(self.weight, self.weight_bits, what)
        if (self.weight == 0).any():
            raise ProgramError(
                f"{what}: a zero is stored at synapse {int(np.argmin(self.weight != 0))}; use Sparse.from_coo"
            )

    def _check_rows(self, what: str) -> None:
        targets, sources = self.shape
        if self.indptr.shape != (targets + 1,):
            raise ProgramError(f"{what}: indptr must have {targets + 1} elements, got {self.indptr.size}")
        if self.indices.shape != self.weight.shape:
            raise ProgramError(f"{what}: {self.indices.size} indices but {self.weight.size} weights; one each")
        if self.indptr[0] != 0 or self.indptr[-1] != self.indices.size or (np.diff(self.indptr) < 0).any():
            raise ProgramError(f"{what}: indptr must rise from 0 to the number of synapses, {self.indices.size}")
        if self.indices.size and not 0 <= int(self.indices.min()) <= int(self.indices.max()) < sources:
            raise ProgramError(
                f"{what}: indices must be 0 to {sources - 1}, got {self.indices.min()} to {self.indices.max()}"
            )
        rows = np.repeat(np.arange(targets), np.diff(self.indptr))
        falling = (np.diff(self.indices) <= 0) & (np.diff(rows) == 0)
        if falling.any():
            row = int(rows[int(np.argmax(falling))])
            raise ProgramError(
                f"{what}: sources of target {row} must rise without repeats; use Sparse.from_coo, which sorts and adds"
            )

    def coo(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Synapses: target, source (int64 each) and mantissa (int8), by target, then by source."""
        target = np.repeat(np.arange(self.shape[0], dtype=np.int64), np.diff(self.indptr))
        return target, self.indices.astype(np.int64), self.weight

    def matrix(self) -> np.ndarray:
        """W, int8 (N_target, N_source)."""
        return _matrix(self.coo(), self.shape)

    def interval(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest ``W s`` of each target, int64, for s in ``[low, high]``."""
        weight = self.weight.astype(np.int64)
        a, b = weight * low, weight * high
        low_sums, high_sums = (np.concatenate([[0], np.cumsum(x)]) for x in (np.minimum(a, b), np.maximum(a, b)))
        begin, end = self.indptr[:-1], self.indptr[1:]
        return low_sums[end] - low_sums[begin], high_sums[end] - high_sums[begin]


@dataclass(frozen=True, eq=False)
class Convolution:
    """Cross-correlation of a picture of channels with a kernel, as ONNX Conv (FP-2.5)::

        out[o, y, x] = sum_{c, a, b} kernel[o, c, a, b]
                       * in[g C_in / groups + c, y s_h - p_h + a d_h, x s_w - p_w + b d_w]

    with ``g = o // (C_out / groups)`` and 0 outside the picture. Neurons are numbered channel-major. One dimension:
    H = kH = 1.

    Attributes:
        kernel: mantissas, int8 (C_out, C_in / groups, kH, kW).
        stride, padding, dilation: (vertical, horizontal); padding is equal on both sides.
        groups: channels are cut into so many groups that do not hear each other.
        in_shape, out_shape: (C, H, W).
        weight_bits: declared width of a mantissa, 2 to 8.
    """

    kernel: np.ndarray
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    in_shape: Shape
    out_shape: Shape
    weight_bits: int = 8
    kind = "convolution"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", frozen(self.kernel))
        for name in ("stride", "padding", "dilation", "in_shape", "out_shape"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(
        cls,
        kernel: np.ndarray,
        in_shape: Shape,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
        weight_bits: int = 8,
    ) -> Convolution:
        """A convolution whose output shape is computed (FP-2.5).

        Args:
            kernel: integer mantissas (C_out, C_in / groups, kH, kW). in_shape: (C_in, H, W).
            stride, padding, dilation: (vertical, horizontal), in pixels; padding on both sides.
            groups: of channels. weight_bits: 2 to 8.

        Raises:
            ProgramError: a kernel or shape of other dimensions, or values that do not fit.
        """
        kernel = np.asarray(kernel)
        if kernel.ndim != 4 or len(in_shape) != 3:
            raise ProgramError(
                f"Convolution.of: needs a kernel of 4 dimensions and in_shape (C, H, W), got {kernel.shape} "
                f"and {in_shape}"
            )
        height, width = (
            output_length(in_shape[1 + i], kernel.shape[2 + i], stride[i], padding[i], dilation[i]) for i in range(2)
        )
        out_shape = (int(kernel.shape[0]), height, width)
        return cls(kernel, stride, padding, dilation, groups, in_shape, out_shape, weight_bits)

    @property
    def shape(self) -> Pair:
        """(N_target, N_source)."""
        return int(np.prod(self.out_shape, dtype=np.int64)), int(np.prod(self.in_shape, dtype=np.int64))

    def check(self, what: str) -> None:
        """Raises ProgramError, one line that begins with ``what``."""
        kernel = self.kernel
        if kernel.dtype != np.int8 or kernel.ndim != 4 or 0 in kernel.shape:
            raise ProgramError(
                f"{what}: the kernel must be int8 of shape (C_out, C_in / groups, kH, kW), got {kernel.dtype} of shape "
                f"{kernel.shape}"
            )
        for name, length, low, high in (
            ("in_shape", 3, 1, 2**24),
            ("out_shape", 3, 1, 2**24),
            ("stride", 2, 1, 2**16),
            ("padding", 2, 0, 2**16),
            ("dilation", 2, 1, 2**16),
        ):
            values = getattr(self, name)
            if len(values) != length:
                raise ProgramError(f"{what}: {name} must hold {length} ints, got {values}")
            for value in values:
                check_int(value, low, high, f"{what}: {name}")
        self._check_channels(what)
        expected = tuple(
            output_length(self.in_shape[1 + i], kernel.shape[2 + i], self.stride[i], self.padding[i], self.dilation[i])
            for i in range(2)
        )
        if self.out_shape[1:] != expected:
            raise ProgramError(f"{what}: out_shape {self.out_shape} must be {(kernel.shape[0], *expected)}")
        check_mantissas(kernel, self.weight_bits, what)

    def _check_channels(self, what: str) -> None:
        outputs, inputs = int(self.kernel.shape[0]), int(self.in_shape[0])
        check_int(self.groups, 1, 2**24, f"{what}: groups")
        if inputs % self.groups or outputs % self.groups:
            raise ProgramError(
                f"{what}: {self.groups} groups do not divide {inputs} input and {outputs} output channels"
            )
        if self.kernel.shape[1] != inputs // self.groups:
            raise ProgramError(
                f"{what}: the kernel has {self.kernel.shape[1]} input channels per group, in_shape and groups give "
                f"{inputs // self.groups}"
            )
        if self.out_shape[0] != outputs:
            raise ProgramError(f"{what}: out_shape has {self.out_shape[0]} channels, the kernel {outputs}")

    def tap(self, a: int, b: int) -> tuple[slice, slice, slice, slice] | None:
        """Where kernel element (a, b) lies inside the picture: output rows and columns, input rows and columns.

        None where it lies outside for every output.
        """
        sides = []
        for axis, index in ((0, a), (1, b)):
            length, stride = self.in_shape[1 + axis], self.stride[axis]
            offset = index * self.dilation[axis] - self.padding[axis]
            first = max(0, -(offset // stride))  # ceil(-offset / stride)
            last = min(self.out_shape[1 + axis] - 1, (length - 1 - offset) // stride)
            if last < first:
                return None
            start = first * stride + offset
            sides.append((slice(first, last + 1), slice(start, last * stride + offset + 1, stride)))
        (rows, from_rows), (columns, from_columns) = sides
        return rows, columns, from_rows, from_columns

    def apply(self, values: np.ndarray) -> np.ndarray:
        """``W s`` for each of a batch, (B, N_source) to (B, N_target), in the type of ``values``."""
        channels, per_group = self.out_shape[0], self.kernel.shape[1]
        picture = values.reshape(-1, *self.in_shape)
        result = np.zeros((picture.shape[0], *self.out_shape), values.dtype)
        kernel = self.kernel.astype(values.dtype)
        for a in range(kernel.shape[2]):
            for b in range(kernel.shape[3]):
                place = self.tap(a, b)
                if place is None:
                    continue
                rows, columns, from_rows, from_columns = place
                for g in range(self.groups):
                    out = slice(g * channels // self.groups, (g + 1) * channels // self.groups)
                    source = picture[:, g * per_group : (g + 1) * per_group, from_rows, from_columns]
                    result[:, out, rows, columns] += np.einsum("oc,bcyx->boyx", kernel[out, :, a, b], source)
        return result.reshape(picture.shape[0], -1)

    def coo(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Synapses that are not 0: target, source (int64 each) and mantissa (int8), by target, then by source."""
        source_number = np.arange(self.shape[1]).reshape(self.in_shape)
        target_number = np.arange(self.shape[0]).reshape(self.out_shape)
        per_group = self.kernel.shape[1]
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for o, c, a, b in np.argwhere(self.kernel):
            place = self.tap(int(a), int(b))
            if place is None:
                continue
            rows, columns, from_rows, from_columns = place
            channel = int(o) // (self.out_shape[0] // self.groups) * per_group + int(c)
            targets = target_number[o, rows, columns].ravel()
            sources = source_number[channel, from_rows, from_columns].ravel()
            parts.append((targets, sources, np.full(targets.size, self.kernel[o, c, a, b], np.int8)))
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8)
        target, source, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((source, target))
        return target[order], source[order], weight[order]

    def matrix(self) -> np.ndarray:
        """W, int8 (N_target, N_source)."""
        return _matrix(self.coo(), self.shape)

    def interval(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest ``W s`` of each target, int64, for s in ``[low, high]``; outside the picture is 0."""
        weight = self.kernel.astype(np.int64)
        ones = np.ones((1, self.shape[1]), np.int64)
        sides = []
        for bound in (np.minimum(weight * low, weight * high), np.maximum(weight * low, weight * high)):
            wide = Convolution(
                bound, self.stride, self.padding, self.dilation, self.groups, self.in_shape, self.out_shape
            )
            sides.append(wide.apply(ones)[0])
        return sides[0], sides[1]


Connections = Dense | Sparse | Convolution
"""What a projection may have as ``synapses``."""


def output_length(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """FP-2.5: ``floor((n + 2 p - d (k - 1) - 1) / s) + 1``."""
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // max(stride, 1) + 1


def _matrix(coo: tuple[np.ndarray, np.ndarray, np.ndarray], shape: Pair) -> np.ndarray:
    target, source, weight = coo
    matrix = np.zeros(shape, np.int8)
    matrix[target, source] = weight
    return matrix
