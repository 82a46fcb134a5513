"""Why the exponential BRF has no integer clause yet: how much of a free oscillation 24-bit states and 12- to 16-bit
coefficients keep.

``python -m benchmarks.exponential_brf`` prints, for resonators as the cue recipe draws them (omega log-uniform 0.01 to
10, b_offset log-uniform 1e-9 to 1e-4, dt 0.01), the amplitude that is left of an oscillation started at u = 1, without
spikes (q = 0), so that the decay is the constant exp(-dt b) and the rotation the best that such coefficients allow
(FP-5.1 holds). The state-dependent factor exp(-dt q) would come on top.
"""

from __future__ import annotations

import numpy as np

from hardware.fixed_point import mulsh

NEURONS, DT = 1024, 0.01
STEPS = (100, 1_000, 2_000, 10_000)


def kept(coefficient_bits: int, fraction_bits: int, seed: int = 0) -> dict[int, tuple[float, float, float]]:
    """Steps -> (median amplitude kept, worst amplitude kept, median phase error in rad)."""
    rng = np.random.default_rng(seed)
    omega = np.exp(rng.uniform(np.log(0.01), np.log(10.0), NEURONS))
    damping = np.exp(rng.uniform(np.log(1e-9), np.log(1e-4), NEURONS))
    turn = np.exp(DT * (-damping + 1j * omega))
    one = 2**coefficient_bits
    s = np.floor(turn.imag * one + 0.5).astype(np.int64)
    stable = np.floor(np.sqrt(float(one) ** 2 - s.astype(np.float64) ** 2)).astype(np.int64)
    c = np.minimum(np.minimum(np.floor(turn.real * one + 0.5).astype(np.int64), one - 1), stable)
    u, v = np.full(NEURONS, 2**fraction_bits, np.int64), np.zeros(NEURONS, np.int64)
    found = {}
    for t in range(1, max(STEPS) + 1):
        u, v = (
            mulsh(u, c, coefficient_bits) - mulsh(v, s, coefficient_bits),
            mulsh(u, s, coefficient_bits) + mulsh(v, c, coefficient_bits),
        )
        if t in STEPS:
            z = (u + 1j * v) / 2**fraction_bits
            ratio = np.abs(z) / np.abs(turn**t)
            phase = np.abs(np.angle(np.where(z == 0, 1, z) / turn**t))
            found[t] = (float(np.median(ratio)), float(ratio.min()), float(np.median(phase)))
    return found


def main() -> None:
    print("coefficient bits, fraction bits, steps: amplitude kept of the exact one (median, worst), phase error (rad)")
    for coefficient_bits, fraction_bits in ((12, 16), (16, 16), (16, 20)):
        for steps, (median, worst, phase) in kept(coefficient_bits, fraction_bits).items():
            print(f"{coefficient_bits:2d} {fraction_bits:2d} {steps:6d}: {median:.3f} {worst:.3f}  {phase:.3f}")


if __name__ == "__main__":
    main()
