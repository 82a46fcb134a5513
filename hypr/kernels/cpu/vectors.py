"""Access to flat memory for the CPU kernels: the same element of several rows as one tuple, and rows in whole vectors.

Indices are flat, not negative and not checked. These are intrinsics, since an element of an array in a tuple costs a
reference count each time in numba, and what Python would make of a negative index a comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload, register_jitable
from numba.np.numpy_support import as_dtype

from hypr.kernels.cpu.compile import INLINED, inlined, intrinsic

WIDTH = 8
"""Numbers of a vector. :func:`add_scaled_rows` and :func:`copy_row` read and write whole ones: up to WIDTH - 1 numbers
behind a row, which must exist and not matter."""

LANES = 32
"""Numbers looked at at once by :func:`nonzero`."""


@register_jitable
def padded(n: int) -> int:
    """n, filled up to whole vectors."""
    return -(-n // WIDTH) * WIDTH


@intrinsic
def load(typing_context, array, index):  # type: ignore[no-untyped-def]
    """The number at a flat index of a contiguous array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), codegen


@intrinsic
def store(typing_context, array, index, value):  # type: ignore[no-untyped-def]
    """Puts a number of the array's type at a flat index of a contiguous array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return types.none(array, types.intp, array.dtype), codegen


@intrinsic
def take(typing_context, arrays, index):  # type: ignore[no-untyped-def]
    """A tuple of the numbers at one flat index of each array of a tuple."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, (rows, index) = signature.args[0], arguments
        values = [
            builder.load(_pointer(context, builder, kind.dtype, builder.extract_value(rows, k), index))
            for k in range(kind.count)
        ]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(arrays.dtype.dtype, arrays.count)(arrays, types.intp), codegen


@intrinsic
def put(typing_context, arrays, index, values):  # type: ignore[no-untyped-def]
    """Stores a tuple of numbers at one flat index, one in each array of a tuple."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, (rows, index, values) = signature.args[0], arguments
        for k in range(kind.count):
            place = _pointer(context, builder, kind.dtype, builder.extract_value(rows, k), index)
            builder.store(builder.extract_value(values, k), place)
        return context.get_dummy_value()

    return types.none(arrays, types.intp, types.UniTuple(arrays.dtype.dtype, arrays.count)), codegen


@intrinsic
def accumulate(typing_context, arrays, index, values):  # type: ignore[no-untyped-def]
    """Adds a tuple of numbers at one flat index, one in each array of a tuple."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, (rows, index, values) = signature.args[0], arguments
        for k in range(kind.count):
            place = _pointer(context, builder, kind.dtype, builder.extract_value(rows, k), index)
            builder.store(builder.fadd(builder.load(place), builder.extract_value(values, k)), place)
        return context.get_dummy_value()

    return types.none(arrays, types.intp, types.UniTuple(arrays.dtype.dtype, arrays.count)), codegen


@intrinsic
def prefetch(typing_context, array, index):  # type: ignore[no-untyped-def]
    """Asks for the cache line at a flat index ahead of its use; an index outside the array does no harm."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), byte)
        builder.call(ask, [place, word(0), word(3), word(1)])  # to read, into all levels, data
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


def rows_like(arrays: Any, shape: Any) -> Any:
    """As many new arrays as ``arrays`` has, of its type and a shape, uninitialised."""
    return tuple(np.empty(shape, array.dtype) for array in arrays)


@overload(rows_like, jit_options=INLINED)
def _rows_like(arrays, shape):  # type: ignore[no-untyped-def]
    dtype = as_dtype(arrays.dtype.dtype)

    def one(arrays, shape):  # type: ignore[no-untyped-def]
        return (np.empty(shape, dtype),)

    def more(arrays, shape):  # type: ignore[no-untyped-def]
        return (np.empty(shape, dtype), *rows_like(arrays[1:], shape))

    return one if arrays.count == 1 else more


@intrinsic
def add_scaled_rows(typing_context, total, at, size, rows, places, factors):  # type: ignore[no-untyped-def]
    """``total[at + i] += sum_k factors[k] rows[places[k] + i]`` for i < size filled up to whole vectors.

    Each product is fused with the sum, k ascending.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, at, size, rows, places, factors = arguments
        kinds, count = signature.args, signature.args[4].count
        element = context.get_data_type(kinds[0].dtype)
        vector = ir.VectorType(element, WIDTH)

        def address(kind: Any, array: Any, index: Any) -> Any:
            return builder.bitcast(_pointer(context, builder, kind, array, index), vector.as_pointer())

        def spread(number: Any) -> Any:
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
            return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)

        target = address(kinds[0], total, at)
        sources = [address(kinds[3], rows, builder.extract_value(places, k)) for k in range(count)]
        scales = [spread(builder.extract_value(factors, k)) for k in range(count)]
        last = builder.add(size, ir.Constant(size.type, WIDTH - 1))
        bits = kinds[0].dtype.bitwidth
        align, name = bits // 8, f"llvm.fma.v{WIDTH}f{bits}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        with cgutils.for_range(builder, builder.sdiv(last, ir.Constant(size.type, WIDTH))) as loop:
            place = builder.gep(target, [loop.index])
            value = builder.load(place, align=align)
            for source, scale in zip(sources, scales, strict=True):
                row = builder.load(builder.gep(source, [loop.index]), align=align)
                value = builder.call(fma, [scale, row, value])
            builder.store(value, place, align=align)
        return context.get_dummy_value()

    many = places.count
    numbers = types.UniTuple(rows.dtype, many)
    return types.none(total, types.intp, types.intp, rows, types.UniTuple(types.intp, many), numbers), codegen


@intrinsic
def copy_row(typing_context, target, at, source, origin, size):  # type: ignore[no-untyped-def]
    """``target[at + i] = source[origin + i]`` for i < size filled up to whole vectors."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, at, source, origin, size = arguments
        kinds, align = signature.args, signature.args[0].dtype.bitwidth // 8
        vector = ir.VectorType(context.get_data_type(kinds[0].dtype), WIDTH).as_pointer()
        into = builder.bitcast(_pointer(context, builder, kinds[0], target, at), vector)
        out_of = builder.bitcast(_pointer(context, builder, kinds[2], source, origin), vector)
        last = builder.add(size, ir.Constant(size.type, WIDTH - 1))
        with cgutils.for_range(builder, builder.sdiv(last, ir.Constant(size.type, WIDTH))) as loop:
            values = builder.load(builder.gep(out_of, [loop.index]), align=align)
            builder.store(values, builder.gep(into, [loop.index]), align=align)
        return context.get_dummy_value()

    return types.none(target, types.intp, target, types.intp, types.intp), codegen


@intrinsic
def _nonzero_lanes(typing_context, array, index):  # type: ignore[no-untyped-def]
    """Bit k of the result: ``array[index + k] != 0``, for LANES numbers."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(signature.args[0].dtype), LANES)
        place = _pointer(context, builder, signature.args[0], *arguments)
        values = builder.load(builder.bitcast(place, vector.as_pointer()), align=signature.args[0].dtype.bitwidth // 8)
        found = builder.fcmp_unordered("!=", values, ir.Constant(vector, [0.0] * LANES))
        return builder.zext(builder.bitcast(found, ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(array, types.intp), codegen


@intrinsic
def trailing_zeros(typing_context, word):  # type: ignore[no-untyped-def]
    """Number of zero bits below the lowest set bit of an uint64 that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.intp(types.uint64), codegen


@inlined
def nonzero(array, index, count):  # type: ignore[no-untyped-def]
    """Bit k of the result: ``array[index + k] != 0``, for the first ``count`` numbers, at most LANES."""
    if index + LANES <= array.size:
        return _nonzero_lanes(array, index) & (np.uint64(0xFFFFFFFF) >> np.uint64(LANES - min(count, LANES)))
    found = np.uint64(0)
    for k in range(min(count, LANES)):
        if load(array, index + k) != 0:
            found |= np.uint64(1) << np.uint64(k)
    return found


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])
