"""Real synapses of a projection: dense, sparse, or a convolution, as ``hardware.synapses`` has them in integers.

Each means a matrix W, float64 (N_target, N_source). What all share:

``shape``
    (N_target, N_source).
``apply(values)``
    ``W s`` for each row s of ``values``, float64 (B, N_source) to (B, N_target).
``scaled(factor)``
    Rows multiplied by ``factor``, (N_target,); a convolution stays one where the factor is equal within each channel.
``table()``
    Values by row, (R, K), for choosing scales: of a dense matrix its rows, of a convolution its output channels, of
    sparse synapses their rows filled up with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hardware.synapses import Pair, Shape, output_length

Coo = tuple[np.ndarray, np.ndarray, np.ndarray]
_CHUNK = 2**24
"""Values that one part of a product may hold at a time."""


@dataclass(frozen=True, eq=False)
class DenseWeights:
    """``matrix``: float64 (N_target, N_source)."""

    matrix: np.ndarray
    kind = "dense"

    @property
    def shape(self) -> Pair:
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def apply(self, values: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.matmul(values, self.matrix.T)
        return result

    def scaled(self, factor: np.ndarray) -> DenseWeights:
        return DenseWeights(self.matrix * factor[:, None])

    def table(self) -> np.ndarray:
        return self.matrix

    def coo(self) -> Coo:
        """Synapses that are not 0: target, source (int64 each) and weight, by target, then by source."""
        target, source = np.nonzero(self.matrix)
        return target, source, self.matrix[target, source]


@dataclass(frozen=True, eq=False)
class SparseWeights:
    """Synapses by target, then by source, without repeats.

    Attributes:
        target, source: int64 (n,). values: float64 (n,). shape: (N_target, N_source).
    """

    target: np.ndarray
    source: np.ndarray
    values: np.ndarray
    shape: Pair
    kind = "sparse"

    @classmethod
    def of(cls, coo: Coo, shape: Pair) -> SparseWeights:
        """Synapses in any order; repeats are added, in the order given."""
        target, source, values = coo
        flat, inverse = np.unique(target * shape[1] + source, return_inverse=True)
        if flat.size == values.size and np.all(np.diff(inverse) > 0):
            return cls(target, source, values, shape)
        sums = np.zeros(flat.size)
        np.add.at(sums, inverse, values)
        return cls(flat // shape[1], flat % shape[1], sums, shape)

    @classmethod
    def diagonal(cls, values: np.ndarray) -> SparseWeights:
        n = np.arange(values.size)
        return cls(n, n, values, (values.size, values.size))

    def apply(self, values: np.ndarray) -> np.ndarray:
        if self.shape[0] * self.shape[1] <= _CHUNK:
            found: np.ndarray = np.matmul(values, matrix_of(self).T)
            return found
        result = np.zeros((values.shape[0], self.shape[0]))
        rows, begin = np.unique(self.target, return_index=True)
        part = max(1, _CHUNK // max(self.values.size, 1))
        for start in range(0, values.shape[0] if rows.size else 0, part):
            products = values[start : start + part, self.source] * self.values
            result[start : start + part, rows] = np.add.reduceat(products, begin, axis=1)
        return result

    def scaled(self, factor: np.ndarray) -> SparseWeights:
        return replace(self, values=self.values * factor[self.target])

    def table(self) -> np.ndarray:
        counts = np.bincount(self.target, minlength=self.shape[0])
        place = np.arange(self.target.size) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.zeros((self.shape[0], max(1, int(counts.max(initial=0)))))
        table[self.target, place] = self.values
        return table

    def coo(self) -> Coo:
        """As :meth:`DenseWeights.coo`, zeros included."""
        return self.target, self.source, self.values


@dataclass(frozen=True, eq=False)
class ConvolutionWeights:
    """Cross-correlation, as :class:`hardware.synapses.Convolution` (FP-2.5), with a kernel of real numbers.

    Attributes:
        kernel: float64 (C_out, C_in / groups, kH, kW).
        in_shape, out_shape: (C, H, W).
        stride, padding, dilation: (vertical, horizontal).
    """

    kernel: np.ndarray
    in_shape: Shape
    out_shape: Shape
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    kind = "convolution"

    @classmethod
    def of(
        cls,
        kernel: np.ndarray,
        in_shape: Shape,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> ConvolutionWeights:
        """With the output shape computed; its lengths may be below 1 where the kernel does not fit."""
        height, width = (
            output_length(in_shape[1 + i], kernel.shape[2 + i], stride[i], padding[i], dilation[i]) for i in range(2)
        )
        return cls(kernel, in_shape, (int(kernel.shape[0]), height, width), stride, padding, dilation, groups)

    @property
    def shape(self) -> Pair:
        return int(np.prod(self.out_shape)), int(np.prod(self.in_shape))

    @property
    def positions(self) -> int:
        """Neurons of an output channel."""
        return self.out_shape[1] * self.out_shape[2]

    def apply(self, values: np.ndarray) -> np.ndarray:
        per_group, rows = self.kernel.shape[1], self.out_shape[0] // self.groups
        taps = per_group * self.kernel.shape[2] * self.kernel.shape[3]
        result = np.empty((values.shape[0], *self.out_shape))
        part = max(1, _CHUNK // (taps * self.positions))
        for start in range(0, values.shape[0], part):
            picture = self._padded(values[start : start + part].reshape(-1, *self.in_shape))
            for g in range(self.groups):
                columns = self._columns(picture[:, g * per_group : (g + 1) * per_group]).reshape(
                    -1, taps, self.positions
                )
                out = slice(g * rows, (g + 1) * rows)
                found = np.matmul(self.kernel[out].reshape(rows, taps), columns)
                result[start : start + part, out] = found.reshape(-1, rows, *self.out_shape[1:])
        return result.reshape(values.shape[0], -1)

    def _padded(self, picture: np.ndarray) -> np.ndarray:
        (up, left), tail = self.padding, picture.shape[:2]
        height, width = picture.shape[2:]
        padded = np.zeros((*tail, height + 2 * up, width + 2 * left))
        padded[:, :, up : up + height, left : left + width] = picture
        return padded

    def _columns(self, picture: np.ndarray) -> np.ndarray:
        """(B, C, kH, kW, H_out, W_out): what each kernel element meets."""
        kernel_height, kernel_width = self.kernel.shape[2:]
        height, width = self.out_shape[1:]
        columns = np.empty((*picture.shape[:2], kernel_height, kernel_width, height, width))
        for a in range(kernel_height):
            for b in range(kernel_width):
                y, x = a * self.dilation[0], b * self.dilation[1]
                rows = slice(y, y + (height - 1) * self.stride[0] + 1, self.stride[0])
                columns[:, :, a, b] = picture[:, :, rows, x : x + (width - 1) * self.stride[1] + 1 : self.stride[1]]
        return columns

    def scaled(self, factor: np.ndarray) -> ConvolutionWeights | SparseWeights:
        channels = self.by_channel(factor)
        if channels is None:
            return SparseWeights(*self.coo(), self.shape).scaled(factor)
        return replace(self, kernel=self.kernel * channels[:, None, None, None])

    def by_channel(self, values: np.ndarray) -> np.ndarray | None:
        """(C_out,) of a value for each target, None where it differs within a channel."""
        rows = values.reshape(self.out_shape[0], -1)
        return rows[:, 0] if np.all(rows == rows[:, :1]) else None

    def table(self) -> np.ndarray:
        return self.kernel.reshape(self.kernel.shape[0], -1)

    def coo(self) -> Coo:
        """As :meth:`DenseWeights.coo`, zeros of the kernel included."""
        number = np.arange(1, self.shape[1] + 1).reshape(1, *self.in_shape)
        per_group, rows = self.kernel.shape[1], self.out_shape[0] // self.groups
        targets = np.arange(self.shape[0]).reshape(self.out_shape)
        parts = []
        for g in range(self.groups):
            met = self._columns(self._padded(number[:, g * per_group : (g + 1) * per_group]))[0].astype(np.int64)
            for o in range(g * rows, (g + 1) * rows):
                source = met - 1  # -1 outside the picture
                target = np.broadcast_to(targets[o], source.shape)
                value = np.broadcast_to(self.kernel[o][..., None, None], source.shape)
                inside = source >= 0
                parts.append((target[inside], source[inside], value[inside]))
        target, source, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((source, target))
        return target[order], source[order], value[order]


Weights = DenseWeights | SparseWeights | ConvolutionWeights
"""What a projection may have as ``weights``."""


def matrix_of(weights: Weights) -> np.ndarray:
    """W, float64 (N_target, N_source)."""
    if isinstance(weights, DenseWeights):
        return weights.matrix
    target, source, values = weights.coo()
    matrix = np.zeros(weights.shape)
    matrix[target, source] = values
    return matrix


def as_kind(weights: Weights, kind: str) -> Weights | None:
    """The same synapses stored as ``kind``; None where they are no convolution."""
    if weights.kind == kind:
        return weights
    if kind == "dense":
        return DenseWeights(matrix_of(weights))
    return SparseWeights(*weights.coo(), weights.shape) if kind == "sparse" else None


def identity(n: int) -> DenseWeights | SparseWeights:
    """Each target hears the source of its number."""
    return diagonal(np.ones(n))


_SMALL = 256


def diagonal(values: np.ndarray) -> DenseWeights | SparseWeights:
    """A matrix where it is small, else sparse."""
    return DenseWeights(np.diag(values)) if values.size <= _SMALL else SparseWeights.diagonal(values)
