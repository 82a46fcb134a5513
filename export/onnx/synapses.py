"""Synapses of a projection as ONNX operators (FP-2.1, FP-2.4, FP-2.5), in carriers that are proven to be exact.

* MatMulInteger and ConvInteger take values of 0 to 127 into 32 bits.
* Wider values go through a float64 product where every partial sum is an integer below 2^53,
* else, and for every convolution, through the integer operators digit by digit (:class:`Digits`).
* Very sparse synapses are gathered: one product per synapse, sums as differences of a running sum, in 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.errors import UnsupportedError
from export.onnx.builder import DOUBLE, INT64, UINT8, GraphBuilder, Value
from hardware.currents import mantissa_bound
from hardware.populations import Projection
from hardware.synapses import Convolution, Sparse

MAX_INTEGER_OPERAND = 127
"""Without VNNI, x86 kernels of MatMulInteger and ConvInteger add pairs of uint8 x int8 products in 16 saturating bits:
exact while 2 * 127 * value < 2^15."""

MAX_INT32 = 2**31 - 1
MAX_FLOAT64 = 2**53

GATHER_COST = 500
"""Time of one gathered synapse in multiply-additions of a dense product, measured for single samples (4096 x 4096 at
1 %: 16 ns against 0.036 ns; for batches the dense product gains more). Only speed and size depend on it."""

MAX_DENSE_BYTES = 2**28
"""Sparse synapses whose dense matrix would be larger than this are gathered in any case."""

Product = Callable[[Value, int], Value]
"""``product(values, zero_point)``: int32 sums for uint8 values of at most 127, each less the zero point."""


@dataclass(frozen=True)
class Digits:
    """Integers as digits: ``x = sum over k of (digit_k - zero) << (bits k)``, each digit 0 to ``2^bits - 1``.

    Attributes:
        bits: width of a digit. zero: what stands for 0 in each digit: 0, or half of the range where values are
            negative too. count: number of digits.
    """

    bits: int
    zero: int
    count: int

    @property
    def offset(self) -> int:
        """What is added to a value so that its plain digits are those above."""
        return sum(self.zero << (self.bits * k) for k in range(self.count))


def digits_for(low: int, high: int, row_sum: int) -> Digits:
    """The fewest digits that hold ``low`` to ``high``, narrow enough for 32-bit sums.

    Args:
        row_sum: largest sum of |mantissas| over a row.

    Raises:
        UnsupportedError: the row is too long for digits of two bits.
    """
    bits = MAX_INTEGER_OPERAND.bit_length()
    while row_sum * (2**bits - 1) > MAX_INT32:
        bits -= 1
    if bits < 2:
        raise UnsupportedError(
            f"synapses whose mantissas add up to {row_sum} in a row (limit {MAX_INT32 // 3}) have no exact ONNX graph "
            "for graded payloads; cut the population that sends into several"
        )
    zero = 2 ** (bits - 1) if low < 0 else 0
    count = 1
    while True:
        found = Digits(bits, zero, count)
        if -found.offset <= low and high <= 2 ** (bits * count) - 1 - found.offset:
            return found
        count += 1


def drive(graph: GraphBuilder, name: str, projection: Projection, values: Value, low: int, high: int) -> Value:
    """``(W s) << exponent`` as int64 (B, N_target).

    Args:
        name: prefix of the names of constants.
        values: uint8 or int32 (B, N_source), what the source had ``delay`` steps ago.
        low, high: range of the source's values.
    """
    if projection.delay:  # 0 arrives before the first step
        low, high = min(low, 0), max(high, 0)
    synapses = projection.synapses
    if isinstance(synapses, Sparse) and not synapses.weight.size:
        return graph.scalar(0)
    if isinstance(synapses, Sparse) and _is_gathered(synapses):
        sums = _gathered(graph, name, synapses, values)
    else:
        sums = _multiplied(graph, name, projection, values, low, high)
    return sums * graph.scalar(1 << projection.exponent) if projection.exponent else sums


def _is_gathered(synapses: Sparse) -> bool:
    dense = synapses.shape[0] * synapses.shape[1]
    return dense > MAX_DENSE_BYTES or GATHER_COST * synapses.weight.size < dense


def _multiplied(graph: GraphBuilder, name: str, projection: Projection, values: Value, low: int, high: int) -> Value:
    synapses = projection.synapses
    bound = mantissa_bound(projection, low, high)
    small = low >= 0 and high <= MAX_INTEGER_OPERAND and bound <= MAX_INT32
    if not small and not isinstance(synapses, Convolution) and bound < MAX_FLOAT64:
        weight = graph.constant(f"{name}_weight", synapses.matrix().T.astype(np.float64))
        return (values.cast(DOUBLE) @ weight).cast(INT64)
    product = _product(graph, name, projection)
    if small:
        return product(values, 0).cast(INT64)
    return _by_digits(graph, product, values, digits_for(low, high, mantissa_bound(projection, 0, 1)))


def _product(graph: GraphBuilder, name: str, projection: Projection) -> Product:
    synapses = projection.synapses
    if isinstance(synapses, Convolution):
        return lambda values, zero: _convolved(graph, name, synapses, values, zero)
    weight = synapses.matrix().T

    def product(values: Value, zero: int) -> Value:
        return graph.node("MatMulInteger", values, graph.constant(f"{name}_weight", weight), *_zero_point(graph, zero))

    return product


def _convolved(graph: GraphBuilder, name: str, synapses: Convolution, values: Value, zero: int) -> Value:
    """FP-2.5; ConvInteger pads with the zero point, which stands for 0."""
    shape = graph.constant(f"{name}_in_shape", np.array([0, *synapses.in_shape], np.int64))  # 0: as it is, the batch
    sums = graph.node(
        "ConvInteger",
        graph.node("Reshape", values, shape),
        graph.constant(f"{name}_kernel", synapses.kernel),
        *_zero_point(graph, zero),
        strides=list(synapses.stride),
        pads=[*synapses.padding, *synapses.padding],
        dilations=list(synapses.dilation),
        group=synapses.groups,
    )
    return graph.node("Flatten", sums, axis=1)


def _zero_point(graph: GraphBuilder, zero: int) -> list[Value]:
    return [graph.index(zero, "uint8")] if zero else []


def _by_digits(graph: GraphBuilder, product: Product, values: Value, digits: Digits) -> Value:
    """Sums are linear in the values: those of each digit, shifted to its place and added."""
    rest = values.cast(INT64)
    if digits.offset:
        rest = rest + graph.scalar(digits.offset)
    total = None
    base = graph.scalar(1 << digits.bits)
    for k in range(digits.count):
        digit = graph.node("Mod", rest, base).cast(UINT8)
        part = product(digit, digits.zero).cast(INT64)
        if k:
            part = part * graph.scalar(1 << (digits.bits * k))
        total = part if total is None else total + part
        rest = graph.node("Div", rest, base)
    assert total is not None
    return total


def _gathered(graph: GraphBuilder, name: str, synapses: Sparse, values: Value) -> Value:
    """Sums of rows as differences of the running sum over all synapses; 2^31 synapses times 127 times 2^24 stay below
    2^62."""
    sources = graph.constant(f"{name}_sources", synapses.indices)
    products = graph.node("Gather", values, sources, axis=1).cast(INT64) * graph.constant(
        f"{name}_weight", synapses.weight.astype(np.int64)
    )
    running = graph.node("CumSum", products, graph.index(1))
    pads = graph.constant("int64_pad_one_in_front", np.array([0, 1, 0, 0], np.int64))
    running = graph.node("Pad", running, pads)
    ends, begins = (
        graph.node("Gather", running, graph.constant(f"{name}_{side}", part), axis=1)
        for side, part in (("ends", synapses.indptr[1:]), ("begins", synapses.indptr[:-1]))
    )
    return ends - begins
