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
WIDTH = 8
"""Rows of weights are padded with zeros to a multiple of this many int32; a drive needs WIDTH - 1 spare elements at its
end."""

_ONES = np.uint64(0x0101010101010101)
_GATHER = np.uint64(0x0102040810204080)  # times a word of bytes 0 or 1: byte i becomes bit 56 + i

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
    threshold, jump, unit = parameters[5], parameters[6], parameters[7]
    for i in range(u.size):
        u0, v0, q0 = u[i], v[i], q[i]
        d = max(0.0, c[i] - _trunc(q0 * dq[i]) * unit[i])
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


@intrinsic
def _load_word(typing_context, array, index):
    """Eight bytes of a contiguous uint8 array from ``index`` on, at any alignment, little end first, as uint64."""

    def codegen(context, builder, signature, arguments):
        pointer = _address(context, builder, signature.args[0], arguments[0], arguments[1], ir.IntType(64))
        word = builder.load(pointer)
        word.align = 1
        return word

    return types.uint64(array, types.intp), codegen


@intrinsic
def _trailing_zeros(typing_context, word):
    """Number of zero bits below the lowest set bit; word is not 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


@intrinsic
def _add_row(typing_context, drive, start, weight, row, block):
    """``drive[start + 8 block : ... + 8] += weight[row, 8 block : ... + 8]`` as one vector addition; int32,
    contiguous."""

    def codegen(context, builder, signature, arguments):
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


@numba.njit(inline="always")
def _add_payload(drive, start, size, x, weight, i):
    for j in range(size):
        drive[start + j] += np.int32(x) * weight[i, j]


@numba.njit(inline="always")
def _eight(values, offset, k, count):
    """Inputs 8 k to 8 k + 7 of a sample as the bytes of a word; what lies behind ``count`` reads as 0."""
    if 8 * k + 8 <= count:
        return _load_word(values, offset + 8 * k)
    if count >= 8:  # read the last eight and drop those that belong to the word before
        return _load_word(values, offset + count - 8) >> np.uint64(8 * (8 * k + 8 - count))
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(values[offset + i]) << np.uint64(8 * i)
    return word


@_jit
def add_spikes(drive, samples, size, values, offset, count, weight):
    """``drive += W x`` for each of several samples in a row, uint8 inputs.

    Up to 64 inputs become the bits of one mask without a branch, and only set bits cost anything after that. Samples
    are a loop in here, and offsets stand for slices, because a call or a slice costs as much as several events
    (reference counts). Inputs of one (spikes) are added, larger payloads multiplied first.

    Args:
        drive: int32, samples * size elements and at least WIDTH - 1 more; what lies behind a sample is left as it was
            (zeros are added).
        values: uint8, flat and contiguous; sample b is values[offset + b * count : offset + (b + 1) * count].
        weight: int32 (count, size rounded up to :data:`WIDTH`), shifted by its exponent.
    """
    words = (count + 7) // 8
    blocks = weight.shape[1] // WIDTH
    start = 0
    for _ in range(samples):
        for first in range(0, words, 8):
            mask = np.uint64(0)
            for k in range(first, min(first + 8, words)):
                word = _eight(values, offset, k, count)
                ones = word & _ONES
                if word != ones:  # payloads above one
                    for i in range(8 * k, min(8 * k + 8, count)):
                        if values[offset + i] > 1:
                            _add_payload(drive, start, size, values[offset + i], weight, i)
                            ones &= ~(np.uint64(1) << np.uint64(8 * (i - 8 * k)))
                mask |= ((ones * _GATHER) >> np.uint64(56)) << np.uint64(8 * (k - first))
            while mask != 0:
                i = 8 * first + np.intp(_trailing_zeros(mask))
                mask &= mask - np.uint64(1)
                for block in range(blocks):
                    _add_row(drive, start, weight, i, block)
        start += size
        offset += count


@_jit
def add_payloads(drive, samples, size, values, offset, count, weight):
    """As :func:`add_spikes`, for int32 values."""
    start = 0
    for _ in range(samples):
        for i in range(count):
            if values[offset + i] != 0:
                _add_payload(drive, start, size, values[offset + i], weight, i)
        start += size
        offset += count


@_jit
def _add_inputs(drive, samples, size, values, offset, count, weight):
    """Events of every sample of a block; see :func:``."""
    if values.itemsize == 1:
        add_spikes(drive, samples, size, values, offset, count, weight)
    else:
        add_payloads(drive, samples, size, values, offset, count, weight)


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
    model, option, low, size, shape, parameters, pre, weight, dense, feedback, states, before, spikes, kept, keep
):
    """A chunk of steps of one layer for a block of samples. A lane is one neuron of one sample; lanes of a sample are
    neighbours.

    Args:
        model, option: code of the model, bool of its option.
        low: first lane of the block in the whole batch; size: neurons of the layer, N.
        parameters: float64 (rows, lanes of this block).
        shape: (T, B, N_pre) of ``pre``, which is flat, uint8 or int32, and read where ``dense`` is empty.
        weight: int32 (N_pre, N padded), see :func:`add_spikes`.
        dense: int32 (T, B N), input current already computed, or empty.
        feedback: int32 (N, N padded), or empty without recurrence.
        states: float64 (d, lanes), updated.
        before: uint8 (lanes,), spikes of the step before, updated.
        spikes: uint8 (T, B N), written, or empty for a model without spikes.
        kept: int32 (number kept, T, B N), written; keep: which states these are.
    """
    total, batch, fan_in = shape
    lanes = before.size
    samples = lanes // size
    first = low // size * fan_in
    drive = np.zeros(lanes + WIDTH, np.int32)
    after = np.zeros(lanes, np.uint8)
    for t in range(total):
        if dense.size:
            current = dense[t, low : low + lanes]
            for i in range(lanes):
                drive[i] = current[i]
        else:
            for i in range(lanes):
                drive[i] = 0
            _add_inputs(drive, samples, size, pre, t * batch * fan_in + first, fan_in, weight)
        if feedback.size:
            _add_inputs(drive, samples, size, before, 0, size, feedback)
        step_lanes(model, option, parameters, states, drive, before, after)
        for i in range(lanes):
            before[i] = after[i]
        if spikes.size:
            out = spikes[t, low : low + lanes]
            for i in range(lanes):
                out[i] = after[i]
        for k in range(keep.size):
            state, record = states[keep[k]], kept[k, t, low : low + lanes]
            for i in range(lanes):
                record[i] = np.int32(state[i])
