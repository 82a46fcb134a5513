"""What numba has no words for: arrays at an address, bit masks of spikes, whole vectors, truncation.

Indices are flat, not negative and not checked.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils

from hardware.compiled.compile import inlined, intrinsic

WIDTH = 16
"""int32 of a vector. Rows of dense weights are filled up with zeros to whole vectors; a drive has WIDTH - 1 spare
elements."""

HALF = 8
"""int32 of half a vector, for convolutions with few channels."""

WORD = 64
"""Sources that become the bits of one mask; as many bytes behind a buffer of spikes can be read."""


@intrinsic
def _pointer(typing_context, address):
    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@inlined
def bytes_at(address, size):
    """uint8 (size,) at an address; the caller keeps the memory, as for the next three."""
    return carray(_pointer(address), (size,), np.uint8)


@inlined
def integers_at(address, size):
    """int32 (size,)."""
    return carray(_pointer(address), (size,), np.int32)


@inlined
def rows_at(address, rows, size):
    """int32 (rows, size)."""
    return carray(_pointer(address), (rows, size), np.int32)


@inlined
def numbers_at(address, rows, size):
    """float64 (rows, size)."""
    return carray(_pointer(address), (rows, size), np.float64)


@intrinsic
def trunc(typing_context, x):
    """LLVM's trunc, which vectorises (numba's own calls a library function)."""

    def codegen(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.trunc", [arguments[0].type]), arguments)

    return types.float64(types.float64), codegen


def _address(context, builder, array_type, array, index, element):
    """Pointer to ``array[index]``, as a pointer to the LLVM type ``element``."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


@intrinsic
def at(typing_context, array, index):
    """``array[index]``, contiguous; numba's own would ask first whether the index is negative, as for the next."""

    def codegen(context, builder, signature, arguments):
        element = context.get_value_type(signature.args[0].dtype)
        return builder.load(_address(context, builder, signature.args[0], *arguments, element))

    return array.dtype(array, types.intp), codegen


@intrinsic
def add_at(typing_context, array, index, value):
    """``array[index] += value`` modulo 2^32, int32."""

    def codegen(context, builder, signature, arguments):
        place = _address(context, builder, signature.args[0], *arguments[:2], ir.IntType(32))
        builder.store(builder.add(builder.load(place), arguments[2]), place)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.int32), codegen


@intrinsic(prefer_literal=True)
def bits_above(typing_context, array, index, limit):
    """Bit i of the result: ``array[index + i] > limit``, uint8, for 64 elements; limit is a literal."""

    def codegen(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), WORD)
        data = builder.load(_address(context, builder, signature.args[0], *arguments[:2], vector), align=1)
        limit = ir.Constant(vector, [signature.args[2].literal_value] * WORD)
        return builder.bitcast(builder.icmp_unsigned(">", data, limit), ir.IntType(WORD))

    return types.uint64(array, types.intp, limit), codegen


@inlined
def first_bits(count):
    """A mask of the lowest ``count`` bits, at most all."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(WORD - min(count, WORD))


@intrinsic
def trailing_zeros(typing_context, word):
    """Number of zero bits below the lowest set bit; word is not 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


def _adding(width):
    """An intrinsic: that many int32 of ``source[first:]`` added to those of ``target[start:]``."""

    @intrinsic
    def add(typing_context, target, start, source, first):
        def codegen(context, builder, signature, arguments):
            vector = ir.VectorType(ir.IntType(32), width)
            to = _address(context, builder, signature.args[0], *arguments[:2], vector)
            read = _address(context, builder, signature.args[2], *arguments[2:], vector)
            builder.store(builder.add(builder.load(to, align=4), builder.load(read, align=4)), to, align=4)
            return context.get_dummy_value()

        return types.none(target, types.intp, source, types.intp), codegen

    return add


add_vector, add_half = _adding(WIDTH), _adding(HALF)


def _summing(vectors):
    """An intrinsic for that many vectors of WIDTH int32 columns, whose sums stay in registers."""

    @intrinsic
    def sums(typing_context, drive, start, add, table, first, groups, second, more_groups):
        """``drive[start : start + WIDTH * vectors]`` becomes (``add``: rises by) the sum of one row of ``table`` per
        four bits of ``first`` and then of ``second``."""

        def codegen(context, builder, signature, arguments):
            vector = ir.VectorType(ir.IntType(32), WIDTH)
            drive, start, add, table, first, groups, second, more_groups = arguments
            begin = _address(context, builder, signature.args[0], drive, start, vector)
            rows = _address(context, builder, signature.args[3], table, ir.Constant(start.type, 0), vector)
            places = [builder.gep(begin, [ir.Constant(start.type, n)]) for n in range(vectors)]
            totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in places]
            with builder.if_then(add):
                for total, place in zip(totals, places, strict=True):
                    builder.store(builder.load(place, align=4), total)

            def add_rows(word, count, base):
                with cgutils.for_range(builder, count) as loop:
                    bits = builder.lshr(word, builder.mul(loop.index, ir.Constant(word.type, 4)))
                    group = builder.mul(builder.add(loop.index, base), ir.Constant(word.type, 16))
                    row = builder.add(group, builder.and_(bits, ir.Constant(word.type, 15)))
                    block = builder.mul(row, ir.Constant(word.type, vectors))
                    for n, total in enumerate(totals):
                        source = builder.gep(rows, [builder.add(block, ir.Constant(word.type, n))])
                        builder.store(builder.add(builder.load(total), builder.load(source, align=4)), total)

            add_rows(first, groups, ir.Constant(groups.type, 0))
            add_rows(second, more_groups, groups)
            for total, place in zip(totals, places, strict=True):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        word, index = types.uint64, types.intp
        return types.none(drive, index, types.boolean, table, word, index, word, index), codegen

    return sums


sum1, sum2, sum3, sum4 = (_summing(n) for n in (1, 2, 3, 4))
