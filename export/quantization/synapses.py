"""Between real weights and integer synapses of a projection, and which form of storage they get."""

from __future__ import annotations

import numpy as np

from export.errors import QuantizationError
from export.interchange.compose import compact
from export.interchange.weights import (
    ConvolutionWeights,
    DenseWeights,
    SparseWeights,
    Weights,
    as_kind,
)
from export.quantization.tensors import quantize_weights
from hardware.synapses import Connections, Convolution, Dense, Sparse


def stored(weights: Weights, chain: bool) -> Weights:
    """Folded weights in the form in which their integers take the least memory; a chain stays dense."""
    if chain or isinstance(weights, ConvolutionWeights):
        return weights
    return compact(SparseWeights(*weights.coo(), weights.shape))


def of_kind(weights: Weights, kind: str, where: str) -> Weights:
    """Folded weights in a recorded form; QuantizationError where they no longer have it."""
    found = as_kind(weights, kind)
    if found is None:
        raise QuantizationError(
            f"{where}: the recorded format is a convolution, the synapses are {weights.kind}; quantize again with "
            "settings"
        )
    return found


def quantize_synapses(weights: Weights, bits: int, exponent: int, unit: np.ndarray, where: str) -> Connections:
    """Mantissas of folded weights (FP-2.1).

    Args:
        unit: float64 (N,), synaptic unit of each target.
    """
    if isinstance(weights, DenseWeights):
        return Dense(quantize_weights(weights.matrix, bits, exponent, unit), bits)
    if isinstance(weights, SparseWeights):
        values = quantize_weights(weights.values[:, None], bits, exponent, unit[weights.target])[:, 0]
        return Sparse.from_coo(weights.target, weights.source, values, weights.shape, bits)
    channels = weights.by_channel(unit)
    if channels is None:
        raise QuantizationError(
            f"{where}: recorded state units differ within a channel of a convolution; quantize again with settings"
        )
    w = weights
    kernel = quantize_weights(w.table(), bits, exponent, channels).reshape(w.kernel.shape)
    return Convolution(kernel, w.stride, w.padding, w.dilation, w.groups, w.in_shape, w.out_shape, bits)


def restored_weights(synapses: Connections, exponent: int, unit: np.ndarray, factor: np.ndarray) -> Weights:
    """What integer synapses stand for: mantissas times ``2^exponent``, the unit of each target, over ``factor``."""
    if isinstance(synapses, Dense):
        return DenseWeights(synapses.weight * 2.0**exponent * unit[:, None] / factor[:, None])
    if isinstance(synapses, Sparse):
        target, source, weight = synapses.coo()
        values = weight * 2.0**exponent * unit[target] / factor[target]
        return SparseWeights(target, source, values, synapses.shape)
    s = synapses
    each = slice(None, None, s.out_shape[1] * s.out_shape[2])
    by_channel = (unit[each, None, None, None], factor[each, None, None, None])
    kernel = s.kernel * 2.0**exponent * by_channel[0] / by_channel[1]
    return ConvolutionWeights(kernel, s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups)
