"""Everything of the emulator that is compiled (numba): steps of the models, synapses, and the loop over time.

It is one file on purpose: numba's cache on disk notices a change of the file that holds a function, not of the files
    that this function calls.
The readable form of the steps is :mod:`hardware.neurons`; :mod:`hardware.kernels` prepares the arguments.

A lane is one neuron of one sample; lanes of a sample are neighbours. States are float64, which holds every integer of
the contract exactly: a product of a 24-bit state and a 17-bit coefficient has at most 41 bits, a coefficient is stored
divided by 2^k (exact), and ``trunc`` rounds toward zero (FP-1.2, FP-1.3). float64 is what vectorises: AVX has no fast
64-bit integer multiplication. In the steps, ``parameters`` is float64 (rows, lanes), rows as listed in :data:`ROWS`;
``drive`` is int32, the synaptic current without bias; ``before`` and ``after`` are the spikes of step t - 1 and t,
uint8.
"""

# mypy: ignore-errors

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from hardware.models import STATE_MAX

MAX = float(STATE_MAX)
WRAP = MAX + 1.0
WIDTH = 16
"""Rows of weights are padded with zeros to a multiple of this many int32; a drive has WIDTH - 1 spare elements."""

WORD = 64
"""Inputs that become the bits of one mask."""

LANE_PADDING = 32
"""Blocks are padded to a multiple of this many lanes, so that no lane is left to the scalar rest of a vector loop."""

MODEL_CODES = {"brf": 0, "se_adlif": 1, "alif": 2, "lif": 3, "cuba_lif": 4, "li": 5}
ROWS = {
    "brf": ("bias", "C/K", "S/K", "D/Kd", "R/KR", "TH", "J", "1/K"),
    "se_adlif": ("bias", "A/K", "1/g", "Be/K", "At/Ka", "Bt", "TH"),
    "alif": ("bias", "A/K", "Rho/K", "Ja", "B0"),
    "lif": ("bias", "A/K", "TH"),
    "cuba_lif": ("bias", "du", "dv", "vth"),
    "li": ("bias", "A/K"),
}
"""Parameter rows of each model; ``X/k`` is parameter X times 2^-k."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@intrinsic
def _trunc(typing_context, x):
    """LLVM's trunc, which vectorises (numba's own calls a library function)."""

    def codegen(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.trunc", [arguments[0].type]), arguments)

    return types.float64(types.float64), codegen


@numba.njit(inline="always")
def _sat(x):
    return min(max(x, -MAX), MAX)


@_jit
def brf(parameters, states, drive, before, after):
    """FP-3.1."""
    u, v, q = states[0], states[1], states[2]
    bias, c, s, dq, r = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    threshold, jump, unit = parameters[5], parameters[6], parameters[7, 0]
    for i in range(u.size):
        u0, v0, q0 = u[i], v[i], q[i]
        d = max(0.0, c[i] - _trunc(q0 * dq[i]) * unit)
        u1 = _sat(_trunc(u0 * d) - _trunc(v0 * s[i]) + (drive[i] + bias[i]))
        v1 = _sat(_trunc(u0 * s[i]) + _trunc(v0 * d))
        z = u1 - q0 > threshold[i]
        u[i] = u1
        v[i] = v1
        q[i] = _sat(_trunc(q0 * r[i]) + (jump[i] if z else 0.0))
        after[i] = z


@_jit
def se_adlif(parameters, states, drive, before, after, adapts_before):
    """FP-3.2; ``adapts_before``: z* is the spike of step t - 1."""
    u, w = states[0], states[1]
    bias, a, guard, be, at = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    bt, threshold = parameters[5], parameters[6]
    for i in range(u.size):
        w0 = w[i]
        u1 = _sat(_trunc(u[i] * a[i]) - _trunc(w0 * guard[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        u1 = 0.0 if z else u1
        star = before[i] != 0 if adapts_before else z
        u[i] = u1
        w[i] = _sat(_trunc(w0 * be[i]) + _trunc(u1 * at[i]) + (bt[i] if star else 0.0))
        after[i] = z


@_jit
def alif(parameters, states, drive, before, after):
    """FP-3.3."""
    a, u = states[0], states[1]
    bias, alpha, rho, ja, b0 = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(u.size):
        spiked = before[i] != 0
        a1 = _sat(_trunc(a[i] * rho[i]) + (ja[i] if spiked else 0.0))
        threshold = b0[i] + a1
        u1 = _sat(_trunc(u[i] * alpha[i]) + (drive[i] + bias[i]) - (threshold if spiked else 0.0))
        a[i] = a1
        u[i] = u1
        after[i] = u1 > threshold


@_jit
def lif(parameters, states, drive, before, after, subtracts):
    """FP-3.4; ``subtracts``: reset by subtraction."""
    u = states[0]
    bias, a, threshold = parameters[0], parameters[1], parameters[2]
    for i in range(u.size):
        u1 = _sat(_trunc(u[i] * a[i]) + (drive[i] + bias[i]))
        z = u1 > threshold[i]
        reset = u1 - threshold[i] if subtracts else 0.0  # u1 > threshold >= 0: the difference is a valid state
        u[i] = reset if z else u1
        after[i] = z


@_jit
def cuba_lif(parameters, states, drive, before, after):
    """FP-3.5; rows du, dv, vth hold (4096 - (du + 1)) / 4096, (4096 - dv) / 4096 and vth * 64."""
    u, v = states[0], states[1]
    bias, du, dv, threshold = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(u.size):
        x = _trunc(u[i] * du[i]) + drive[i] * 64.0
        u1 = x - 2.0 * WRAP if x > WRAP else (x + 2.0 * WRAP if x <= -WRAP else x)
        v1 = _sat(_trunc(v[i] * dv[i]) + u1 + bias[i])
        z = v1 > threshold[i]
        u[i] = u1
        v[i] = 0.0 if z else v1
        after[i] = z


@_jit
def li(parameters, states, drive):
    """FP-3.6."""
    u = states[0]
    bias, a = parameters[0], parameters[1]
    for i in range(u.size):
        u[i] = _sat(_trunc(u[i] * a[i]) + (drive[i] + bias[i]))


def _address(context, builder, array_type, array, index, element):
    """Pointer to ``array[index]``, as a pointer to the LLVM type ``element``."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


@intrinsic(prefer_literal=True)
def _bits_above(typing_context, array, index, limit):
    """Bit i of the result: ``array[index + i] > limit``, uint8, for 64 elements; limit is a literal."""

    def codegen(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), WORD)
        data = builder.load(_address(context, builder, signature.args[0], *arguments[:2], vector), align=1)
        limit = ir.Constant(vector, [signature.args[2].literal_value] * WORD)
        return builder.bitcast(builder.icmp_unsigned(">", data, limit), ir.IntType(WORD))

    return types.uint64(array, types.intp, limit), codegen


def _summing(vectors):
    """An intrinsic for that many vectors of WIDTH int32 columns, whose sums stay in registers."""

    @intrinsic
    def sums(typing_context, drive, start, add, table, inputs, groups, own, own_groups):
        """``drive[start : start + WIDTH * vectors]`` becomes (``add``: rises by) the sum of one row of ``table`` per
        four bits of ``inputs`` and then of ``own``."""

        def codegen(context, builder, signature, arguments):
            vector = ir.VectorType(ir.IntType(32), WIDTH)
            drive, start, add, table, inputs, groups, own, own_groups = arguments
            first = _address(context, builder, signature.args[0], drive, start, vector)
            rows = _address(context, builder, signature.args[3], table, ir.Constant(start.type, 0), vector)
            places = [builder.gep(first, [ir.Constant(start.type, n)]) for n in range(vectors)]
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

            add_rows(inputs, groups, ir.Constant(groups.type, 0))
            add_rows(own, own_groups, groups)
            for total, place in zip(totals, places, strict=True):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        word, index = types.uint64, types.intp
        return types.none(drive, index, types.boolean, table, word, index, word, index), codegen

    return sums


_sum1, _sum2, _sum3, _sum4 = (_summing(n) for n in (1, 2, 3, 4))


@intrinsic
def _trailing_zeros(typing_context, word):
    """Number of zero bits below the lowest set bit; word is not 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


@intrinsic
def _add_row(typing_context, drive, start, weight, row, block):
    """Vector number ``block`` of ``weight[row]``, WIDTH int32, added to that of ``drive[start:]``."""

    def codegen(context, builder, signature, arguments):
        drive, start, table, row, block = arguments
        vector = ir.VectorType(ir.IntType(32), WIDTH)
        columns = builder.extract_value(context.make_array(signature.args[2])(context, builder, table).shape, 1)
        target = _address(context, builder, signature.args[0], drive, start, vector)
        source = _address(context, builder, signature.args[2], table, builder.mul(row, columns), vector)
        target, source = builder.gep(target, [block]), builder.gep(source, [block])
        builder.store(builder.add(builder.load(target, align=4), builder.load(source, align=4)), target, align=4)
        return context.get_dummy_value()

    return types.none(drive, types.intp, weight, types.intp, types.intp), codegen


@numba.njit(inline="always")
def _add_payload(drive, start, size, x, weight, i):
    for j in range(size):
        drive[start + j] += np.int32(x) * weight[i, j]


@_jit
def _first_bits(count):
    """A mask of the lowest ``count`` bits, at most all."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(WORD - min(count, WORD))


@_jit
def add_spikes(drive, samples, size, values, offset, count, weight):
    """``drive += W x`` for each of several samples in a row, uint8 inputs.

    Up to 64 inputs become the bits of one mask without a branch, and only set bits cost anything after that. Samples
    are a loop in here, and offsets stand for slices, because a call or a slice costs as much as several events
    (reference counts). Inputs of one (spikes) are added, larger payloads multiplied first.

    Args:
        drive: int32, samples * size elements and at least WIDTH - 1 more; what lies behind a sample is left as it was
            (zeros are added).
        values: uint8, flat and contiguous, with :data:`WORD` bytes behind it that can be read; sample b is
            values[offset + b * count : offset + (b + 1) * count].
        weight: int32 (count, size rounded up to :data:`WIDTH`), shifted by its exponent.
    """
    blocks = weight.shape[1] // WIDTH
    start = 0
    for _ in range(samples):
        for first in range(0, count, WORD):
            mask = _bits_above(values, offset + first, 0) & _first_bits(count - first)
            larger = _bits_above(values, offset + first, 1) & mask
            mask &= ~larger
            while larger != 0:
                i = first + np.intp(_trailing_zeros(larger))
                larger &= larger - np.uint64(1)
                _add_payload(drive, start, size, values[offset + i], weight, i)
            while mask != 0:
                i = first + np.intp(_trailing_zeros(mask))
                mask &= mask - np.uint64(1)
                for block in range(blocks):
                    _add_row(drive, start, weight, i, block)
        start += size
        offset += count


@_jit
def sum_groups(drive, add, samples, size, values, offset, count, before, table):
    """``drive = W_in x + W_rec z'`` (``add``: is added) for small layers, without a branch that depends on data.

    Four inputs at a time select one of 16 sums of their weights, so that the cost does not depend on the spikes.

    Args:
        drive to count: as for :func:`add_spikes`, but values 0 or 1, count at most 64; count 0 leaves the inputs out.
        before: uint8 (samples * size and WORD more,), the layer's own spikes, ignored if table has no rows for them.
        table: int32, 16 rows for every four inputs, then for every four neurons; columns padded, at most 4 * WIDTH.
    """
    vectors, groups = table.shape[1] // WIDTH, (count + 3) // 4
    own_groups = table.shape[0] // 16 - groups
    some, all_own = _first_bits(count), _first_bits(size)
    for b in range(samples):
        word = _bits_above(values, offset + b * count, 0) & some
        own = _bits_above(before, b * size, 0) & all_own
        if vectors == 1:
            _sum1(drive, b * size, add, table, word, groups, own, own_groups)
        elif vectors == 2:
            _sum2(drive, b * size, add, table, word, groups, own, own_groups)
        elif vectors == 3:
            _sum3(drive, b * size, add, table, word, groups, own, own_groups)
        else:
            _sum4(drive, b * size, add, table, word, groups, own, own_groups)


@_jit
def add_inputs(drive, samples, size, values, offset, count, weight):
    """As :func:`add_spikes`, for uint8 or int32 values."""
    if values.itemsize == 1:
        add_spikes(drive, samples, size, values, offset, count, weight)
        return
    for b in range(samples):
        for i in range(count):
            x = values[offset + b * count + i]
            if x != 0:
                _add_payload(drive, b * size, size, x, weight, i)


@_jit
def step_lanes(model, option, parameters, states, drive, before, after):
    if model == 0:
        brf(parameters, states, drive, before, after)
    elif model == 1:
        se_adlif(parameters, states, drive, before, after, option)
    elif model == 2:
        alif(parameters, states, drive, before, after)
    elif model == 3:
        lif(parameters, states, drive, before, after, option)
    elif model == 4:
        cuba_lif(parameters, states, drive, before, after)
    else:
        li(parameters, states, drive)


@_jit
def run_block(
    model, option, low, lanes, size, shape, parameters, synapses, grouped, states, before, spikes, kept, keep, begin
):
    """A chunk of steps of one layer for a block of samples.

    Args:
        model, option: code of the model, bool of its option.
        low, lanes: first lane of the block in the whole batch, number of its lanes; size: neurons of the layer, N.
        shape: (T, B, N_pre) of the inputs.
        parameters: float64 (rows, lanes and some more: a multiple of :data:`LANE_PADDING`).
        synapses: inputs, flat, uint8 or int32; weight, int32 (N_pre, N padded), see :func:`add_spikes`; dense, int32
            (T, B N), input current already computed, or empty; feedback, int32 (N, N padded), or empty; table, see
            :func:`sum_groups`, or empty.
        grouped: the table holds the inputs, so that neither weight nor dense are read.
        states: float64 (d, lanes as parameters), updated.
        before: uint8 (lanes,), spikes of the step before, updated.
        spikes: uint8 (T, B N), written, or empty for a model without spikes.
        kept: int32 (number kept, steps of the run, B N), written from step ``begin`` on; keep: which states these are.
    """
    pre, weight, dense, feedback, table = synapses
    total, batch, fan_in = shape
    samples = lanes // size
    first = low // size * fan_in
    drive = np.zeros(states.shape[1] + WIDTH, np.int32)
    last = np.zeros(states.shape[1] + WORD, np.uint8)
    last[:lanes] = before
    after = np.zeros(states.shape[1] + WORD, np.uint8)
    for t in range(total):
        offset = t * batch * fan_in + first
        if grouped:
            sum_groups(drive, False, samples, size, pre, offset, fan_in, last, table)
        else:
            if dense.size:
                drive[:lanes] = dense[t, low : low + lanes]
            else:
                drive[:] = 0
                add_inputs(drive, samples, size, pre, offset, fan_in, weight)
            if table.size:
                sum_groups(drive, True, samples, size, last, 0, 0, last, table)
        if feedback.size:
            add_inputs(drive, samples, size, last, 0, size, feedback)
        step_lanes(model, option, parameters, states, drive, last, after)
        if spikes.size:
            last, after = after, last
            out = spikes[t, low : low + lanes]
            for i in range(lanes):
                out[i] = last[i]
        for k in range(keep.size):
            state, record = states[keep[k]], kept[k, begin + t, low : low + lanes]
            for i in range(lanes):
                record[i] = np.int32(state[i])
    before[:] = last[:lanes]
