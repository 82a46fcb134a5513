"""The two scans of a layer over a window, each in one launch.

A program owns BLOCK_B samples and ``TILES`` tiles of BLOCK_N neurons. Where nothing passes between neurons, or one tile
holds them all (``RESIDENT``), states and adjoints stay in registers for the whole window. Otherwise the program goes
from tile to tile within each step and takes the states back from the trajectory that it has just written, which the L1
and L2 caches hold. The rows that the recurrent product reads are exchanged the same way: written by one step, read by
the next after a barrier of the program. Programs never wait for each other: where a layer is spread over several
programs, a launch runs one step (:mod:`hypr.kernels.gpu.launch`).

Loops over time that hold a recurrent product must not be software-pipelined: a prefetch would read rows before they are
written. They say ``num_stages=1``; the launch says it again.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hypr.kernels.gpu.device import adjoint, coefficient, component, product, put, step


@triton.jit
def forward_scan(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, outgoing, steps, batch, n,
    MODEL: tl.constexpr, OPTION: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    RECURRENT: tl.constexpr, RESIDENT: tl.constexpr, DOT: tl.constexpr, TILES: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """S-stage. states (steps + 1, batch, D, n) and spikes (steps + 1, batch, n), row 0 given, the rest written; current
    (steps, batch, n), given without its recurrent part, completed in place; coefficients (C, n); constants (8,);
    outgoing (n, n), row j = weights from neuron j.
    """
    b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    k0, k1, k2, k3 = (
        tl.load(constants),
        tl.load(constants + 1),
        tl.load(constants + 2),
        tl.load(constants + 3),
    )
    columns = tl.program_id(1) * TILES * BLOCK_N + tl.arange(0, BLOCK_N)
    c0 = coefficient(coefficients, 0, n, columns, C)
    c1 = coefficient(coefficients, 1, n, columns, C)
    c2 = coefficient(coefficients, 2, n, columns, C)
    c3 = coefficient(coefficients, 3, n, columns, C)
    mask = (b < batch)[:, None] & (columns < n)[None, :]
    flat, wide = b[:, None] * n + columns[None, :], b[:, None] * (n * D) + columns[None, :]
    s0 = component(states, 0, wide, n, mask, D)
    s1 = component(states, 1, wide, n, mask, D)
    s2 = component(states, 2, wide, n, mask, D)
    z = tl.load(spikes + flat, mask=mask, other=0.0)
    for _ in tl.range(0, steps, num_stages=1):
        for tile in tl.range(0, TILES, num_stages=1):
            if not RESIDENT:
                columns = (tl.program_id(1) * TILES + tile) * BLOCK_N + tl.arange(0, BLOCK_N)
                c0 = coefficient(coefficients, 0, n, columns, C)
                c1 = coefficient(coefficients, 1, n, columns, C)
                c2 = coefficient(coefficients, 2, n, columns, C)
                c3 = coefficient(coefficients, 3, n, columns, C)
                mask = (b < batch)[:, None] & (columns < n)[None, :]
                flat, wide = b[:, None] * n + columns[None, :], b[:, None] * (n * D) + columns[None, :]
                s0 = component(states, 0, wide, n, mask, D)
                s1 = component(states, 1, wide, n, mask, D)
                s2 = component(states, 2, wide, n, mask, D)
                z = tl.load(spikes + flat, mask=mask, other=0.0)
            i = tl.load(current + flat, mask=mask, other=0.0)
            if RECURRENT:
                i += product(spikes, outgoing, b, columns, batch, n, DOT, STAGES, BLOCK_B, BLOCK_N, BLOCK_K)
                tl.store(current + flat, i, mask=mask)
            s0, s1, s2, z = step(MODEL, OPTION, s0, s1, s2, z, i, c0, c1, c2, c3, k0, k1, k2, k3)
            after = states + batch * n * D
            put(after, 0, wide, n, mask, s0, D)
            put(after, 1, wide, n, mask, s1, D)
            put(after, 2, wide, n, mask, s2, D)
            tl.store(spikes + batch * n + flat, z, mask=mask)
        if RECURRENT:
            tl.debug_barrier()  # every thread of the program sees the spikes just written
        states += batch * n * D
        spikes += batch * n
        current += batch * n


@triton.jit
def credit_scan(  # type: ignore[no-untyped-def]
    states, spikes, current, coefficients, constants, dz, errors, recurrent,
    synapses, adjoints, later, d_current, direct, sums, scan_stride, errors_stride, steps, batch, n,
    MODEL: tl.constexpr, OPTION: tl.constexpr, SURROGATE: tl.constexpr,
    D: tl.constexpr, C: tl.constexpr, G: tl.constexpr,
    FULL: tl.constexpr, OWN: tl.constexpr, RECURRENT: tl.constexpr, UNIFORM: tl.constexpr, RESIDENT: tl.constexpr,
    DOT: tl.constexpr, TILES: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """P-stage. Pointers of states, spikes, current, dz, d_current, direct and errors stand at the window's last step
    and walk back.

    Several scans share one trajectory (third axis of the grid): adjoints (S, D, batch, n) and sums (S, G, batch, n), in
    and out; d_current (S, rows, batch, n), ``scan_stride`` apart. later (S, batch, n), in and out: dL/dz through the
    own neuron (FULL, OWN), its synapse to itself included with OWN: synapses (n,). d_current has one row more after the
    last step, zeros or the step after (RECURRENT). UNIFORM: instead of dz one error for all neurons per scan and step,
    (S, steps), ``errors_stride`` apart; else direct (steps, batch, n) is written, unless FULL.
    """
    scan = tl.program_id(2)
    adjoints += scan.to(tl.int64) * D * batch * n
    sums += scan.to(tl.int64) * G * batch * n
    if FULL or OWN:
        later += scan.to(tl.int64) * batch * n
    d_current += scan.to(tl.int64) * scan_stride
    b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    area = batch * n
    k0, k1, k2, k3 = (
        tl.load(constants),
        tl.load(constants + 1),
        tl.load(constants + 2),
        tl.load(constants + 3),
    )
    h0, h1, h2, h3 = (
        tl.load(constants + 4),
        tl.load(constants + 5),
        tl.load(constants + 6),
        tl.load(constants + 7),
    )
    columns = tl.program_id(1) * TILES * BLOCK_N + tl.arange(0, BLOCK_N)
    c0 = coefficient(coefficients, 0, n, columns, C)
    c1 = coefficient(coefficients, 1, n, columns, C)
    c2 = coefficient(coefficients, 2, n, columns, C)
    c3 = coefficient(coefficients, 3, n, columns, C)
    mask = (b < batch)[:, None] & (columns < n)[None, :]
    flat, wide = b[:, None] * n + columns[None, :], b[:, None] * (n * D) + columns[None, :]
    m0 = component(adjoints, 0, flat, area, mask, D)
    m1 = component(adjoints, 1, flat, area, mask, D)
    m2 = component(adjoints, 2, flat, area, mask, D)
    g0 = component(sums, 0, flat, area, mask, G)
    g1 = component(sums, 1, flat, area, mask, G)
    g2 = component(sums, 2, flat, area, mask, G)
    g3 = component(sums, 3, flat, area, mask, G)
    back = component(later, 0, flat, area, mask, 1 if FULL or OWN else 0)
    self_weight = coefficient(synapses, 0, n, columns, 1 if OWN else 0)
    for _ in tl.range(0, steps, num_stages=1):
        for tile in tl.range(0, TILES, num_stages=1):
            if not RESIDENT:
                columns = (tl.program_id(1) * TILES + tile) * BLOCK_N + tl.arange(0, BLOCK_N)
                c0 = coefficient(coefficients, 0, n, columns, C)
                c1 = coefficient(coefficients, 1, n, columns, C)
                c2 = coefficient(coefficients, 2, n, columns, C)
                c3 = coefficient(coefficients, 3, n, columns, C)
                mask = (b < batch)[:, None] & (columns < n)[None, :]
                flat, wide = b[:, None] * n + columns[None, :], b[:, None] * (n * D) + columns[None, :]
                m0 = component(adjoints, 0, flat, area, mask, D)
                m1 = component(adjoints, 1, flat, area, mask, D)
                m2 = component(adjoints, 2, flat, area, mask, D)
                g0 = component(sums, 0, flat, area, mask, G)
                g1 = component(sums, 1, flat, area, mask, G)
                g2 = component(sums, 2, flat, area, mask, G)
                g3 = component(sums, 3, flat, area, mask, G)
                back = component(later, 0, flat, area, mask, 1 if FULL or OWN else 0)
                self_weight = coefficient(synapses, 0, n, columns, 1 if OWN else 0)
            if UNIFORM:
                error = tl.zeros_like(m0) + tl.load(errors + scan * errors_stride)
            else:
                error = tl.load(dz + flat, mask=mask, other=0.0)
            above = error
            if FULL or OWN:
                error += back
            if RECURRENT:
                error += product(
                    d_current + area, recurrent, b, columns, batch, n, DOT, STAGES, BLOCK_B, BLOCK_N, BLOCK_K
                )
            s0 = component(states, 0, wide, n, mask, D)
            s1 = component(states, 1, wide, n, mask, D)
            s2 = component(states, 2, wide, n, mask, D)
            z = tl.load(spikes + flat, mask=mask, other=0.0)
            i = tl.load(current + flat, mask=mask, other=0.0)
            m0, m1, m2, d_i, back, through, a0, a1, a2, a3 = adjoint(
                MODEL, OPTION, SURROGATE, s0, s1, s2, z, i, c0, c1, c2, c3, k0, k1, k2, k3, h0, h1, h2, h3,
                m0, m1, m2, error, above,
            )  # fmt: skip
            if OWN:
                back += self_weight * d_i
            g0, g1, g2, g3 = g0 + a0, g1 + a1, g2 + a2, g3 + a3
            tl.store(d_current + flat, d_i, mask=mask)
            if not FULL and not UNIFORM:
                tl.store(direct + flat, through, mask=mask)
            if not RESIDENT:
                put(adjoints, 0, flat, area, mask, m0, D)
                put(adjoints, 1, flat, area, mask, m1, D)
                put(adjoints, 2, flat, area, mask, m2, D)
                put(sums, 0, flat, area, mask, g0, G)
                put(sums, 1, flat, area, mask, g1, G)
                put(sums, 2, flat, area, mask, g2, G)
                put(sums, 3, flat, area, mask, g3, G)
                put(later, 0, flat, area, mask, back, 1 if FULL or OWN else 0)
        if RECURRENT:
            tl.debug_barrier()  # every thread of the program sees the d_current just written
        states -= area * D
        spikes -= area
        current -= area
        d_current -= area
        if UNIFORM:
            errors -= 1
        else:
            dz -= area
            if not FULL:
                direct -= area
    if RESIDENT:
        put(adjoints, 0, flat, area, mask, m0, D)
        put(adjoints, 1, flat, area, mask, m1, D)
        put(adjoints, 2, flat, area, mask, m2, D)
        put(sums, 0, flat, area, mask, g0, G)
        put(sums, 1, flat, area, mask, g1, G)
        put(sums, 2, flat, area, mask, g2, G)
        put(sums, 3, flat, area, mask, g3, G)
        put(later, 0, flat, area, mask, back, 1 if FULL or OWN else 0)
