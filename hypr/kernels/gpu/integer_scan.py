"""The integer S-stage of one layer in Triton: every model's step (clauses FP-3.1 to FP-3.6 of hardware/FIXED_POINT.md)
in int64, the recurrent product in float16 with float32 sums. That product is exact: spikes are 0 or 1, weights have 8
bits, and fewer than 2^17 of them add up to less than 2^24.

Blocks, tiles and barriers as in :mod:`hypr.kernels.gpu.scan`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hypr.kernels.gpu.device import component, put

BRF = tl.constexpr(0)
SE_ADLIF = tl.constexpr(1)
ALIF = tl.constexpr(2)
LIF = tl.constexpr(3)
CUBA_LIF = tl.constexpr(4)
LI = tl.constexpr(5)


@triton.jit
def integer_scan(  # type: ignore[no-untyped-def]
    states, spikes, drive, record, coefficients, shifts, outgoing, steps, batch, n,
    MODEL: tl.constexpr, OPTION: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    SLOT_0: tl.constexpr, SLOT_1: tl.constexpr, SLOT_2: tl.constexpr, SLOTS: tl.constexpr,
    RECURRENT: tl.constexpr, TILES: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """states (D, batch, n) int32, in and out; spikes (steps + 1, batch, n) float16, row 0 given; drive (steps, batch,
    n) int64, the input's share of the current; record (steps, SLOTS, batch, n) int32, state d into slot SLOT_d (-1:
    nowhere); coefficients (C, n) int64; shifts (8,) int64: three shift counts, the recurrent exponent, and 2^shift - 1
    for each count; outgoing (n, n) float16, row j = weights from neuron j. OPTION: 1 for an adaptation by the current
    spike (SE-adLIF) or a reset by subtraction (LIF).
    """
    b, area = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B), batch * n
    for _ in tl.range(0, steps, num_stages=1):
        for tile in tl.range(0, TILES, num_stages=1):
            columns = (tl.program_id(1) * TILES + tile) * BLOCK_N + tl.arange(0, BLOCK_N)
            mask = (b < batch)[:, None] & (columns < n)[None, :]
            flat = b[:, None] * n + columns[None, :]
            i = tl.load(drive + flat, mask=mask, other=0)
            if RECURRENT:
                exponent = tl.load(shifts + 3)
                total = _events(spikes, outgoing, b, columns, batch, n, STAGES, BLOCK_B, BLOCK_N, BLOCK_K)
                i += total.to(tl.int32).to(tl.int64) << exponent
            s0 = component(states, 0, flat, area, mask, D).to(tl.int64)
            s1 = component(states, 1, flat, area, mask, D).to(tl.int64)
            s2 = component(states, 2, flat, area, mask, D).to(tl.int64)
            z = tl.load(spikes + flat, mask=mask, other=0.0).to(tl.int64)
            s0, s1, s2, z = _step(MODEL, OPTION, s0, s1, s2, z, i, coefficients, shifts, n, columns, C)
            put(states, 0, flat, area, mask, s0.to(tl.int32), D)
            put(states, 1, flat, area, mask, s1.to(tl.int32), D)
            put(states, 2, flat, area, mask, s2.to(tl.int32), D)
            if SLOT_0 >= 0:
                tl.store(record + SLOT_0 * area + flat, s0.to(tl.int32), mask=mask)
            if SLOT_1 >= 0:
                tl.store(record + SLOT_1 * area + flat, s1.to(tl.int32), mask=mask)
            if SLOT_2 >= 0:
                tl.store(record + SLOT_2 * area + flat, s2.to(tl.int32), mask=mask)
            tl.store(spikes + area + flat, z.to(tl.float16), mask=mask)
        tl.debug_barrier()  # every thread of the program sees the spikes and states just written
        spikes += area
        drive += area
        record += SLOTS * area


@triton.jit
def _step(MODEL: tl.constexpr, OPTION: tl.constexpr, s0, s1, s2, z, i, table, shifts, n, columns, C: tl.constexpr):  # type: ignore[no-untyped-def]
    n0, n1, n2 = s0, s1, s2
    c0, c1 = _row(table, 0, n, columns, C), _row(table, 1, n, columns, C)
    c2, c3 = _row(table, 2, n, columns, C), _row(table, 3, n, columns, C)
    c4, c5 = _row(table, 4, n, columns, C), _row(table, 5, n, columns, C)
    if MODEL == BRF:  # u, v, q; C, S, D, R, TH, J; K, Kd, KR
        d = tl.maximum(c0 - _mulsh(s2, c2, shifts, 1), 0)
        n0 = _sat(_mulsh(s0, d, shifts, 0) - _mulsh(s1, c1, shifts, 0) + i)
        n1 = _sat(_mulsh(s0, c1, shifts, 0) + _mulsh(s1, d, shifts, 0))
        fired = (n0 - s2 > c4).to(tl.int64)
        n2 = _sat(_mulsh(s2, c3, shifts, 2) + c5 * fired)
    elif MODEL == SE_ADLIF:  # u, w; A, Be, At, Bt, TH; K, Ka, g
        n0 = _sat(_mulsh(s0, c0, shifts, 0) - _shz(s1, shifts, 2) + i)
        fired = (n0 > c4).to(tl.int64)
        n0 = n0 * (1 - fired)
        driver = fired if OPTION == 1 else z
        n1 = _sat(_mulsh(s1, c1, shifts, 0) + _mulsh(n0, c2, shifts, 1) + c3 * driver)
    elif MODEL == ALIF:  # a, u; A, Rho, Ja, B0; K
        n0 = _sat(_mulsh(s0, c1, shifts, 0) + c2 * z)
        threshold = c3 + n0
        n1 = _sat(_mulsh(s1, c0, shifts, 0) + i - threshold * z)
        fired = (n1 > threshold).to(tl.int64)
    elif MODEL == LIF:  # u; A, TH; K
        n0 = _sat(_mulsh(s0, c0, shifts, 0) + i)
        fired = (n0 > c1).to(tl.int64)
        n0 = _sat(n0 - c1 * fired) if OPTION == 1 else n0 * (1 - fired)
    elif MODEL == CUBA_LIF:  # u, v; 4096 - (du + 1), 4096 - dv, vth << 6, bias; 12
        n0 = _wrap24(_mulsh(s0, c0, shifts, 0) + (i << 6))
        n1 = _sat(_mulsh(s1, c1, shifts, 0) + n0 + c3)
        fired = (n1 > c2).to(tl.int64)
        n1 = n1 * (1 - fired)
    else:  # LI: u; A; K
        n0 = _sat(_mulsh(s0, c0, shifts, 0) + i)
        fired = z
    return n0, n1, n2, fired


@triton.jit
def _events(  # type: ignore[no-untyped-def]
    spikes, outgoing, b, columns, batch, n,
    STAGES: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    total = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    for low in tl.range(0, n, BLOCK_K, num_stages=STAGES):
        k = low + tl.arange(0, BLOCK_K)
        left = tl.load(spikes + b[:, None] * n + k[None, :], mask=(b < batch)[:, None] & (k < n)[None, :], other=0.0)
        right = tl.load(
            outgoing + k[:, None] * n + columns[None, :], mask=(k < n)[:, None] & (columns < n)[None, :], other=0.0
        )
        total = tl.dot(left, right, total)
    return total


@triton.jit
def _row(table, k: tl.constexpr, n, columns, C: tl.constexpr):  # type: ignore[no-untyped-def]
    if k < C:
        value = tl.load(table + k * n + columns, mask=columns < n, other=0)
    else:
        value = tl.zeros_like(columns).to(tl.int64)
    return value[None, :]


@triton.jit
def _shz(x, shifts, which: tl.constexpr):  # type: ignore[no-untyped-def]
    """Right shift toward zero (FP-1.3): ``>>`` floors, so negatives get 2^shift - 1 added first."""
    return (x + ((x >> 63) & tl.load(shifts + 4 + which))) >> tl.load(shifts + which)


@triton.jit
def _mulsh(x, coefficient, shifts, which: tl.constexpr):  # type: ignore[no-untyped-def]
    """FP-1.2, coefficient >= 0."""
    return _shz(x * coefficient, shifts, which)


@triton.jit
def _sat(x):  # type: ignore[no-untyped-def]
    """Symmetric saturation to 24 bits (FP-1.1)."""
    return tl.minimum(tl.maximum(x, -8388607), 8388607)


@triton.jit
def _wrap24(x):  # type: ignore[no-untyped-def]
    """One wrap into (-2^23, 2^23] (FP-3.5)."""
    return x - ((x > 8388608).to(tl.int64) << 24) + ((x <= -8388608).to(tl.int64) << 24)
