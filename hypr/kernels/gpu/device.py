"""Pieces of the GPU kernels in Triton: one step of every neuron model, its adjoint, and the recurrent product.

A block holds (BLOCK_B samples, BLOCK_N neurons); coefficients are rows (1, BLOCK_N). Every model has up to three states
s0..s2, four per-neuron coefficients c0..c3, four constants k0..k3 and four parameter sums g0..g3; what they mean stands
beside each branch and, for the host, in :mod:`hypr.kernels.gpu.models`. The branches are chosen when a kernel is
compiled. Equations: :mod:`hypr.neurons`.
"""

from __future__ import annotations

import triton
import triton.language as tl

BRF_EULER = tl.constexpr(0)
BRF_EXPONENTIAL = tl.constexpr(1)
SE_ADLIF = tl.constexpr(2)
ALIF = tl.constexpr(3)
LIF = tl.constexpr(4)
CUBA_LIF = tl.constexpr(5)
LI = tl.constexpr(6)

SLAYER = tl.constexpr(0)
DOUBLE_GAUSSIAN = tl.constexpr(1)


@triton.jit
def step(MODEL: tl.constexpr, OPTION: tl.constexpr, s0, s1, s2, z, i, c0, c1, c2, c3, k0, k1, k2, k3):  # type: ignore[no-untyped-def]
    """New s0, s1, s2, z, from the previous ones and the current i. OPTION: 1 for a reset by subtraction (LIF, CubaLIF)
    or an adaptation that takes the current spike (SE-adLIF), else 0.
    """
    n0, n1, n2 = s0, s1, s2
    if MODEL == BRF_EULER:  # u, v, q; damping - b_offset, omega; dt, theta, gamma
        c = c0 - s2
        n0 = s0 + k0 * (c * s0 - c1 * s1 + i)
        n1 = s1 + k0 * (c1 * s0 + c * s1)
        x = n0 - k1 - s2
    elif MODEL == BRF_EXPONENTIAL:  # u, v, q; b_offset, cos, sin of dt omega; dt, theta, gamma
        decay = tl.exp(-k0 * (c0 + s2))
        n0 = decay * (c1 * s0 - c2 * s1) + k0 * i
        n1 = decay * (c2 * s0 + c1 * s1)
        x = n0 - k1 - s2
    elif MODEL == SE_ADLIF:  # u, w; alpha, beta, (1 - beta) rho a, (1 - beta) rho b; theta
        n0 = c0 * s0 * (1.0 - z) + (1.0 - c0) * (i - s1)
        x = n0 - k0
    elif MODEL == ALIF:  # u, a; alpha, r; beta, b0
        n1 = c1 * s1 + (1.0 - c1) * z
        threshold = k1 + k0 * n1
        n0 = c0 * s0 + (1.0 - c0) * i - threshold * z
        x = n0 - threshold
    elif MODEL == LIF:  # u; alpha; theta
        n0 = c0 * _after_reset(OPTION, s0, z, k0) + (1.0 - c0) * i
        x = n0 - k0
    elif MODEL == CUBA_LIF:  # u, v; alpha_syn, alpha_mem, bias; theta, syn_gain, mem_gain
        n0 = c0 * s0 + k1 * i
        n1 = c1 * _after_reset(OPTION, s1, z, k0) + k2 * n0 + c2
        x = n1 - k0
    else:  # LI: u; kappa
        n0 = c0 * s0 + (1.0 - c0) * i
        x = n0
    fired = tl.where(x > 0, 1.0, 0.0).to(s0.dtype)
    if MODEL == LI:
        fired = n0
    elif MODEL == SE_ADLIF:
        adapting = fired if OPTION == 1 else z
        n1 = c1 * s1 + (c2 * n0 * (1.0 - fired) + c3 * adapting)
    elif MODEL == BRF_EULER or MODEL == BRF_EXPONENTIAL:  # noqa: SIM109 (Triton knows no tuples of constants)
        n2 = k2 * s2 + fired
    return n0, n1, n2, fired


@triton.jit
def adjoint(  # type: ignore[no-untyped-def]
    MODEL: tl.constexpr, OPTION: tl.constexpr, SURROGATE: tl.constexpr, s0, s1, s2, z, i,
    c0, c1, c2, c3, k0, k1, k2, k3, h0, h1, h2, h3, m0, m1, m2, error, above,
):  # fmt: skip
    """One step back: adjoints m of s^t become those of s^{t-1}.

    Returns m0, m1, m2; d_current = dL/dI; back = dL/dz^{t-1} of the same neuron without the recurrent weights; direct =
    the part of d_current that passes from ``above``, the error of the layer above alone, through the spike of this step
    alone; the terms of the sums g0..g3. s, z are those
    of step t - 1, i of step t; error = dL/dz^t; h0..h3 the shape of the surrogate.
    """
    zero = tl.zeros_like(s0)
    n1, n2, back, g1, g2, g3 = m1, m2, zero, zero, zero, zero
    if MODEL == BRF_EULER:  # sums: by c, along the rotation
        c = c0 - s2
        psi = surrogate(SURROGATE, s0 + k0 * (c * s0 - c1 * s1 + i) - k1 - s2, h0, h1, h2, h3)
        d_x = psi * (error + m2)  # q^t = gamma q' + z^t
        d_u, d_v = k0 * (m0 + d_x), k0 * m1
        g0, g1 = d_u * s0 + d_v * s1, d_v * s0 - d_u * s1
        n0 = m0 + d_x + c * d_u + c1 * d_v
        n1 = m1 + c * d_v - c1 * d_u
        n2 = k2 * m2 - d_x - g0
        d_current, direct = d_u, k0 * psi * above
    elif MODEL == BRF_EXPONENTIAL:  # sums: by c, along the rotation
        decay = tl.exp(-k0 * (c0 + s2))
        turned_u, turned_v = decay * (c1 * s0 - c2 * s1), decay * (c2 * s0 + c1 * s1)
        psi = surrogate(SURROGATE, turned_u + k0 * i - k1 - s2, h0, h1, h2, h3)
        d_x = psi * (error + m2)
        d_u = m0 + d_x
        g0, g1 = k0 * (d_u * turned_u + m1 * turned_v), k0 * (m1 * turned_u - d_u * turned_v)
        n0 = decay * (c1 * d_u + c2 * m1)
        n1 = decay * (c1 * m1 - c2 * d_u)
        n2 = k2 * m2 - d_x - g0
        d_current, direct = k0 * d_u, k0 * psi * above
    elif MODEL == SE_ADLIF:  # sums: alpha; dL/dw times w', times u (1 - z), times z*
        new = c0 * s0 * (1.0 - z) + (1.0 - c0) * (i - s1)
        fired = tl.where(new - k0 > 0, 1.0, 0.0).to(s0.dtype)
        psi = surrogate(SURROGATE, new - k0, h0, h1, h2, h3)
        own = c3 + zero if OPTION == 1 else zero
        d_u = m0 + psi * (error + m1 * (own - c2 * new)) + m1 * c2 * (1.0 - fired)
        d_current, direct = (1.0 - c0) * d_u, (1.0 - c0) * psi * above
        g0, g1, g2 = d_u * (s0 * (1.0 - z) - i + s1), m1 * s1, m1 * new * (1.0 - fired)
        g3 = m1 * (fired if OPTION == 1 else z)
        back = m1 * (c3 - own) - c0 * s0 * d_u
        n0 = c0 * (1.0 - z) * d_u
        n1 = c1 * m1 - d_current
    elif MODEL == ALIF:  # sums: alpha, r
        threshold = k1 + k0 * (c1 * s1 + (1.0 - c1) * z)
        x = c0 * s0 + (1.0 - c0) * i - threshold * z - threshold
        psi = surrogate(SURROGATE, x, h0, h1, h2, h3)
        d_x = psi * error
        d_u = m0 + d_x
        d_a = m1 - k0 * (d_x + d_u * z)
        g0, g1 = d_u * (s0 - i), d_a * (s1 - z)
        back = (1.0 - c1) * d_a - threshold * d_u
        n0, n1 = c0 * d_u, c1 * d_a
        d_current, direct = (1.0 - c0) * d_u, (1.0 - c0) * psi * above
    elif MODEL == LIF:  # sums: alpha
        left = _after_reset(OPTION, s0, z, k0)
        psi = surrogate(SURROGATE, c0 * left + (1.0 - c0) * i - k0, h0, h1, h2, h3)
        d_x = psi * error
        d_u = m0 + d_x
        g0 = d_u * (left - i)
        back = -c0 * d_u * _lost(OPTION, s0, k0)
        n0 = c0 * d_u * _kept(OPTION, z)
        d_current, direct = (1.0 - c0) * d_u, (1.0 - c0) * psi * above
    elif MODEL == CUBA_LIF:  # sums: alpha_syn, alpha_mem, bias
        left = _after_reset(OPTION, s1, z, k0)
        psi = surrogate(SURROGATE, c1 * left + k2 * (c0 * s0 + k1 * i) + c2 - k0, h0, h1, h2, h3)
        d_x = psi * error
        d_v = m1 + d_x
        d_u = m0 + k2 * d_v
        g0, g1, g2 = d_u * s0, d_v * left, d_v
        back = -c1 * d_v * _lost(OPTION, s1, k0)
        n0, n1 = c0 * d_u, c1 * d_v * _kept(OPTION, z)
        d_current, direct = k1 * d_u, k1 * k2 * psi * above
    else:  # LI; sums: kappa
        d_u = m0 + error
        g0 = d_u * (s0 - i)
        n0 = c0 * d_u
        d_current, direct = (1.0 - c0) * d_u, (1.0 - c0) * above
    return n0, n1, n2, d_current, back, direct, g0, g1, g2, g3


@triton.jit
def surrogate(SURROGATE: tl.constexpr, x, h0, h1, h2, h3):  # type: ignore[no-untyped-def]
    """psi(x). Shape (c a / 2, -a) of SLAYER, two pairs (height, -1 / (2 std^2)) of DOUBLE_GAUSSIAN."""
    if SURROGATE == SLAYER:
        psi = h0 * tl.exp(h1 * tl.abs(x))
    else:
        psi = h0 * tl.exp(h1 * (x * x)) + h2 * tl.exp(h3 * (x * x))
    return psi


@triton.jit
def _after_reset(OPTION: tl.constexpr, s, z, theta):  # type: ignore[no-untyped-def]
    return s - theta * z if OPTION == 1 else s * (1.0 - z)


@triton.jit
def _lost(OPTION: tl.constexpr, s, theta):  # type: ignore[no-untyped-def]
    return tl.zeros_like(s) + theta if OPTION == 1 else s


@triton.jit
def _kept(OPTION: tl.constexpr, z):  # type: ignore[no-untyped-def]
    return tl.zeros_like(z) + 1.0 if OPTION == 1 else 1.0 - z


@triton.jit
def product(  # type: ignore[no-untyped-def]
    rows, matrix, b, columns, batch, n,
    DOT: tl.constexpr, STAGES: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """(BLOCK_B, BLOCK_N) block of ``rows`` (batch, n) times ``matrix`` (n, n), both in global memory.

    float32 through ``tl.dot`` in full float32 (no TF32); other types by sums of products, which every version takes.
    """
    total = tl.zeros((BLOCK_B, BLOCK_N), matrix.dtype.element_ty)
    for low in tl.range(0, n, BLOCK_K, num_stages=STAGES):
        k = low + tl.arange(0, BLOCK_K)
        left = tl.load(rows + b[:, None] * n + k[None, :], mask=(b < batch)[:, None] & (k < n)[None, :], other=0.0)
        right = tl.load(
            matrix + k[:, None] * n + columns[None, :], mask=(k < n)[:, None] & (columns < n)[None, :], other=0.0
        )
        if DOT:
            total = tl.dot(left, right, total, input_precision="ieee")
        else:
            total += tl.sum(left[:, :, None] * right[None, :, :], 1)
    return total


@triton.jit
def coefficient(table, k: tl.constexpr, n, columns, HAVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """(1, BLOCK_N): row k of a (rows, n) table, zeros where it has no such row."""
    if k < HAVE:
        value = tl.load(table + k * n + columns, mask=columns < n, other=0.0)
    else:
        value = tl.zeros_like(columns).to(table.dtype.element_ty)
    return value[None, :]


@triton.jit
def component(row, k: tl.constexpr, where, stride, mask, HAVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Block of component k of ``row``, whose components lie ``stride`` apart; zeros where it has no such component."""
    if k < HAVE:
        value = tl.load(row + where + k * stride, mask=mask, other=0.0)
    else:
        value = tl.zeros_like(where).to(row.dtype.element_ty)
    return value


@triton.jit
def put(row, k: tl.constexpr, where, stride, mask, value, HAVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Store component k, if the row has it."""
    if k < HAVE:
        tl.store(row + where + k * stride, value, mask=mask)
