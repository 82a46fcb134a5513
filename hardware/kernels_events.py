"""Event-driven synapses, compiled (numba): the rows of the weights of those inputs that are not 0 are added to the drive (FP-2.1)."""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 8
"""Rows of weights are padded with zeros to a multiple of this many int32; a drive needs WIDTH - 1 spare elements at its end."""

_BYTES = np.uint64(0x0101010101010101)
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def _address(context, builder, array_type, array, index, element):  # noqa: ANN001, ANN202
    """Pointer to ``array[index]``, as a pointer to the LLVM type ``element``."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


@intrinsic
def _load_word(typing_context, array, index):  # noqa: ANN001, ANN202 (numba's protocol)
    """Eight bytes of a contiguous uint8 array from ``index`` on, at any alignment, little end first, as uint64."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        pointer = _address(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        word = builder.load(pointer)
        word.align = 1
        return word

    return types.uint64(array, types.intp), codegen


@intrinsic
def _trailing_zeros(typing_context, word):  # noqa: ANN001, ANN202 (numba's protocol)
    """Number of zero bits below the lowest set bit; word is not 0."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


@intrinsic
def _add_row(typing_context, drive, start, weight, row, block):  # noqa: ANN001, ANN202 (numba's protocol)
    """``drive[start + 8 block : ... + 8] += weight[row, 8 block : ... + 8]`` as one vector addition; int32, contiguous."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        vector = ir.VectorType(ir.IntType(32), WIDTH)
        to, start, table, row, block = arguments
        offset = builder.mul(block, ir.Constant(block.type, WIDTH))
        columns = builder.extract_value(context.make_array(signature.args[2])(context, builder, table).shape, 1)
        target = _address(context, builder, signature.args[0], to, builder.add(start, offset), vector)
        source = _address(
            context, builder, signature.args[2], table, builder.add(builder.mul(row, columns), offset), vector
        )
        values = builder.load(target), builder.load(source)
        for value in values:
            value.align = 4
        builder.store(builder.add(*values), target).align = 4
        return context.get_dummy_value()

    return types.none(drive, types.intp, weight, types.intp, types.intp), codegen


@_jit
def _add_event(drive, start, size, x, weight, i):  # noqa: ANN001, ANN202
    if x == 1:
        for block in range(weight.shape[1] // WIDTH):
            _add_row(drive, start, weight, i, block)
    else:
        for j in range(size):
            drive[start + j] += np.int32(x) * weight[i, j]


@_jit
def add_spikes(drive, start, size, values, offset, count, weight):  # noqa: ANN001, ANN201
    """``drive[start : start + size] += W x`` for x = values[offset : offset + count], uint8, looking at eight of them at a time.

    Args:
        drive: int32, at least start + size rounded up to :data:`WIDTH` elements; what lies behind ``size`` is left as it was (zeros are added).
        values: uint8, flat and contiguous; offsets instead of slices, because a slice costs as much as several events.
        weight: int32 (count, size rounded up to :data:`WIDTH`), shifted by its exponent.
    """
    words = count // 8
    for k in range(words):
        word = _load_word(values, offset + 8 * k)
        if word != 0:
            word |= word >> np.uint64(4)  # gather the bits of each byte in its lowest
            word |= word >> np.uint64(2)
            word |= word >> np.uint64(1)
            word &= _BYTES
            while word != 0:
                i = 8 * k + np.intp(_trailing_zeros(word) >> np.uint64(3))
                word &= word - np.uint64(1)
                _add_event(drive, start, size, values[offset + i], weight, i)
    for i in range(8 * words, count):
        if values[offset + i] != 0:
            _add_event(drive, start, size, values[offset + i], weight, i)


@_jit
def add_payloads(drive, start, size, values, offset, count, weight):  # noqa: ANN001, ANN201
    """As :func:`add_spikes`, for int32 values."""
    for i in range(count):
        if values[offset + i] != 0:
            _add_event(drive, start, size, values[offset + i], weight, i)
