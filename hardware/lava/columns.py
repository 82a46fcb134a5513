"""Convolution of many pictures at once as products of matrices, which the linear algebra library is fast at.

What lies under the kernel at each place of the output is laid out as a row, a bounded number of rows at a time; the
matrix of all synapses is never made.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hardware.synapses import Convolution

CHUNK = 2**16
"""Values laid out at one time: 512 KiB of float64, which a processor's cache holds."""

EXACT_FAN_IN = 2**22
"""A sum of fewer products of an 8-bit mantissa and a 24-bit payload stays below 2^53 with all its parts: 7 + 24 bits
each."""


class Columns:
    """``W s`` of a convolution for rows (samples, N_source), in float64: the integers, exactly.

    Args:
        synapses: with fewer than :data:`EXACT_FAN_IN` products per sum.
    """

    def __init__(self, synapses: Convolution) -> None:
        self.synapses = synapses
        self.fan_in = int(np.prod(synapses.kernel.shape[1:]))
        groups = synapses.kernel.reshape(synapses.groups, -1, self.fan_in)
        self._matrices = np.ascontiguousarray(groups.transpose(0, 2, 1), dtype=np.float64)

    def product(self, rows: np.ndarray) -> np.ndarray:
        """float64 (samples, N_target) from numbers (samples, N_source)."""
        synapses = self.synapses
        (down, across), (step_y, step_x), (pad_y, pad_x) = synapses.dilation, synapses.stride, synapses.padding
        pictures = rows.reshape(-1, *synapses.in_shape).astype(np.float64)
        padded = np.pad(pictures, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
        reach = (down * (synapses.kernel.shape[2] - 1) + 1, across * (synapses.kernel.shape[3] - 1) + 1)
        under = sliding_window_view(padded, reach, axis=(2, 3))[:, :, ::step_y, ::step_x, ::down, ::across]
        result = np.empty((len(pictures), *synapses.out_shape))
        for samples, lines in self._chunks(len(pictures)):
            for group, matrix in enumerate(self._matrices):
                result[samples, self._outputs(group), lines] = self._part(under[samples, :, lines], group, matrix)
        return result.reshape(len(pictures), -1)

    def _part(self, under: np.ndarray, group: int, matrix: np.ndarray) -> np.ndarray:
        """Outputs (samples, channels of the group, lines, columns) of some samples and lines."""
        count = self.synapses.kernel.shape[1]
        seen = under[:, group * count : (group + 1) * count].transpose(0, 2, 3, 1, 4, 5)
        products = seen.reshape(-1, self.fan_in) @ matrix
        result: np.ndarray = products.reshape(*seen.shape[:3], -1).transpose(0, 3, 1, 2)
        return result

    def _outputs(self, group: int) -> slice:
        count = self.synapses.out_shape[0] // self.synapses.groups
        return slice(group * count, (group + 1) * count)

    def _chunks(self, samples: int) -> list[tuple[slice, slice]]:
        """Samples and lines of the output that are laid out together."""
        _, height, width = self.synapses.out_shape
        lines = max(1, min(height, CHUNK // (self.fan_in * width)))
        together = max(1, CHUNK // (self.fan_in * width * height)) if lines == height else 1
        return [
            (slice(first, first + together), slice(line, line + lines))
            for first in range(0, samples, together)
            for line in range(0, height, lines)
        ]
