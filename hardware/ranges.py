"""Interval analysis of a Program: which states can provably never saturate, and how wide every sum is.

All bounds hold for every input within the program's declared range and every spike pattern, from zero states. A bound
that exceeds 24 bits does not mean that the network saturates, only that it cannot be excluded; give a trace to see what
was observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hardware.models import STATE_MAX
from hardware.program import Layer, Program, Synapses
from hardware.program_checks import MAX_CURRENT
from hardware.trace import Trace

UNBOUNDED = 2**62
"""Stands for "no bound found"."""

Interval = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class StateRange:
    """Interval of one state of one layer before saturation.

    Attributes:
        layer, state: names.
        low, high: int64 (N,), proven bounds; plus or minus :data:`UNBOUNDED` where there is none.
        limit: largest magnitude that the state holds.
        observed: (lowest, highest) value in the given trace, or None.
    """

    layer: str
    state: str
    low: np.ndarray
    high: np.ndarray
    limit: int = STATE_MAX
    observed: tuple[int, int] | None = None

    @property
    def proved(self) -> np.ndarray:
        """bool (N,): this neuron's state cannot saturate (wrap, for the current of CubaLIF)."""
        return (self.low >= -self.limit) & (self.high <= self.limit)


@dataclass(frozen=True)
class SumRange:
    """Width of a layer's synaptic sums.

    Attributes:
        layer: name.
        largest_sum: largest |sum| of mantissas times inputs over the rows, before the shift.
        largest_current: largest |I| with shifts and bias.
        float32_exact: a float32 matrix product of this layer is exact, whatever its order of summation (every partial
            sum below 2^24).
        int32_accumulator: the current and every partial sum of it fit 32 bits.
    """

    layer: str
    largest_sum: int
    largest_current: int
    float32_exact: bool
    int32_accumulator: bool


@dataclass(frozen=True)
class RangeReport:
    """Result of :func:`analyse`."""

    states: tuple[StateRange, ...]
    sums: tuple[SumRange, ...]

    @property
    def proved(self) -> bool:
        """True if no state of any neuron can saturate."""
        return all(bool(item.proved.all()) for item in self.states)

    def unproved(self) -> Iterator[tuple[str, str, int, int, int]]:
        """(layer, state, neuron, low, high) of every neuron whose state may saturate."""
        for item in self.states:
            for neuron in np.flatnonzero(~item.proved):
                yield item.layer, item.state, int(neuron), int(item.low[neuron]), int(item.high[neuron])


def analyse(program: Program, trace: Trace | None = None) -> RangeReport:
    """Prove what can be proved about a program.

    Args:
        trace: a run with recorded states; its extreme values are put beside the bounds.
    """
    states: list[StateRange] = []
    sums: list[SumRange] = []
    low, high = program.input.low, program.input.high
    for layer in program.layers:
        drive = current_interval(layer, low, high)
        for name, (least, most, limit) in _BOUNDS[layer.model](layer, drive).items():
            observed = _observed(trace, f"{name}/{layer.name}")
            states.append(StateRange(layer.name, name, least, most, limit, observed))
        sums.append(_sum_range(layer, max(abs(low), abs(high))))
        low, high = 0, 1
    return RangeReport(tuple(states), tuple(sums))


def current_interval(layer: Layer, low: int, high: int) -> Interval:
    """FP-2.1: smallest and largest synaptic current without bias, int64 (N,) each, for inputs in [low, high]."""
    least, most = _synaptic_interval(layer.input, low, high)
    if layer.recurrent is not None:
        below, above = _synaptic_interval(layer.recurrent, 0, 1)
        least, most = least + below, most + above
    return least, most


def _synaptic_interval(synapses: Synapses, low: int, high: int) -> Interval:
    weight = synapses.weight.astype(np.int64)
    a, b = weight * low, weight * high
    return np.minimum(a, b).sum(axis=1) << synapses.exponent, np.maximum(a, b).sum(axis=1) << synapses.exponent


def _sum_range(layer: Layer, largest_input: int) -> SumRange:
    rows = np.abs(layer.input.weight.astype(np.int64)).sum(axis=1) * largest_input
    current = (rows << layer.input.exponent) + np.abs(layer.bias.astype(np.int64))
    largest = int(rows.max())
    if layer.recurrent is not None:
        feedback = np.abs(layer.recurrent.weight.astype(np.int64)).sum(axis=1)
        largest = max(largest, int(feedback.max()))
        current = current + (feedback << layer.recurrent.exponent)
    widest = int(current.max())
    return SumRange(layer.name, largest, widest, largest < 2**24, widest <= MAX_CURRENT)


def _observed(trace: Trace | None, key: str) -> tuple[int, int] | None:
    if trace is None or key not in trace.states:
        return None
    return int(trace.states[key].min()), int(trace.states[key].max())


def _leaky(gain: np.ndarray, shift: int, drive: Interval) -> Interval:
    """Interval of ``x' = mulsh(x, gain, shift) + drive`` from 0: ``drive / (1 - gain 2^-shift)``; rounding toward zero
    only shrinks it."""
    least, most = np.minimum(drive[0], 0), np.maximum(drive[1], 0)
    return -_geometric(gain, shift, -least), _geometric(gain, shift, most)


def _geometric(gain: np.ndarray, shift: int, drive: np.ndarray) -> np.ndarray:
    """ceil(drive / (1 - gain 2^-shift)) for drive >= 0, exactly, in Python ints."""
    gains, drives = np.broadcast_arrays(gain, drive)
    bounds = []
    for g, d in zip(gains.tolist(), drives.tolist(), strict=True):
        rest = (1 << shift) - g
        bounds.append(0 if d == 0 else UNBOUNDED if rest <= 0 else min(UNBOUNDED, -(-(d << shift) // rest)))
    return np.array(bounds, dtype=np.int64)


def _scaled(x: np.ndarray, gain: np.ndarray, shift: int) -> np.ndarray:
    """(x * gain) >> shift for x >= 0, unbounded stays unbounded."""
    return np.array(
        [
            UNBOUNDED if v >= UNBOUNDED else min(UNBOUNDED, (v * g) >> shift)
            for v, g in zip(*(a.tolist() for a in np.broadcast_arrays(x, gain)), strict=True)
        ],
        dtype=np.int64,
    )


def _with_bias(layer: Layer, drive: Interval) -> Interval:
    bias = layer.bias.astype(np.int64)
    return drive[0] + bias, drive[1] + bias


def _int64(layer: Layer) -> dict[str, np.ndarray]:
    return {name: values.astype(np.int64) for name, values in layer.parameters.items()}


Bounds = Mapping[str, tuple[np.ndarray, np.ndarray, int]]


def _li(layer: Layer, drive: Interval) -> Bounds:
    return {"u": (*_leaky(_int64(layer)["A"], layer.shifts["K"], _with_bias(layer, drive)), STATE_MAX)}


def _lif(layer: Layer, drive: Interval) -> Bounds:
    p, k = _int64(layer), layer.shifts["K"]
    current = _with_bias(layer, drive)
    low, high = _leaky(p["A"], k, current)
    if layer.options["reset"] == "zero":  # what survives a step is at most the threshold
        high = np.minimum(high, np.maximum(_scaled(p["TH"], p["A"], k) + current[1], 0))
    return {"u": (low, high, STATE_MAX)}


def _alif(layer: Layer, drive: Interval) -> Bounds:
    p, k = _int64(layer), layer.shifts["K"]
    a_low, a_high = _leaky(p["Rho"], k, (np.zeros_like(p["Ja"]), p["Ja"]))
    low, high = _with_bias(layer, drive)
    reset = np.minimum(a_high, STATE_MAX) + p["B0"]
    return {"a": (a_low, a_high, STATE_MAX), "u": (*_leaky(p["A"], k, (low - reset, high)), STATE_MAX)}


def _cuba_lif(layer: Layer, drive: Interval) -> Bounds:
    p = _int64(layer)
    low, high = _leaky(4095 - p["du"], 12, (drive[0] << 6, drive[1] << 6))
    u_low, u_high = np.maximum(low, -(2**23)), np.minimum(high, 2**23)  # after a wrap
    v_low, v_high = _leaky(4096 - p["dv"], 12, _with_bias(layer, (u_low, u_high)))
    v_high = np.minimum(v_high, np.maximum(_scaled(p["vth"] << 6, 4096 - p["dv"], 12) + u_high + layer.bias, 0))
    return {"u": (low, high, STATE_MAX), "v": (v_low, v_high, STATE_MAX)}


def _se_adlif(layer: Layer, drive: Interval) -> Bounds:
    """u drives w and w drives u: widen both until they stop growing, or give up where they pass 24 bits."""
    p, s = _int64(layer), layer.shifts
    current = _with_bias(layer, drive)
    zero = np.zeros(layer.size, np.int64)
    u, w = (zero, zero), (zero, zero)
    for _ in range(MAX_WIDENINGS):
        held = tuple(np.clip(side, -STATE_MAX, STATE_MAX) >> s["g"] for side in (-w[0], w[1]))
        low, high = _leaky(p["A"], s["K"], (current[0] - held[1], current[1] + held[0]))
        high = np.minimum(high, np.maximum(_scaled(p["TH"], p["A"], s["K"]) + current[1] + held[0], 0))
        after = np.minimum(high, p["TH"])  # after the reset
        push = (-_scaled(np.minimum(-low, STATE_MAX), p["At"], s["Ka"]), _scaled(after, p["At"], s["Ka"]) + p["Bt"])
        wider = _leaky(p["Be"], s["K"], push)
        if all(np.array_equal(x, y) for x, y in zip((*u, *w), (low, high, *wider), strict=True)):
            return {"u": (*u, STATE_MAX), "w": (*w, STATE_MAX)}
        u, w = (low, high), wider
    unknown = np.full(layer.size, UNBOUNDED)
    return {"u": (-unknown, unknown, STATE_MAX), "w": (-unknown, unknown, STATE_MAX)}


MAX_WIDENINGS = 200


def _brf(layer: Layer, drive: Interval) -> Bounds:
    """The rotation with damping d <= C shrinks the length of (u, v) by sqrt(C^2 + S^2) 2^-K; q >= 0, so that d never
    exceeds C (FP-5.1)."""
    p, k = _int64(layer), layer.shifts["K"]
    low, high = _with_bias(layer, drive)
    push = np.maximum(np.abs(low), np.abs(high))
    idle = push == 0  # rounding toward zero cannot start a motion from rest
    length = np.array([_ceil_sqrt(int(c * c + s * s)) for c, s in zip(p["C"], p["S"], strict=True)], dtype=np.int64)
    bound = np.where(idle, 0, _geometric(length, k, push + ROTATION_ROUNDING))
    q_low, q_high = _leaky(p["R"], layer.shifts["KR"], (np.zeros_like(p["J"]), p["J"]))
    return {"u": (-bound, bound, STATE_MAX), "v": (-bound, bound, STATE_MAX), "q": (q_low, q_high, STATE_MAX)}


ROTATION_ROUNDING = 3
"""Each component of the rotated (u, v) is off by less than 2 (two roundings below 1 each): less than 2 sqrt(2) in
length."""


def _ceil_sqrt(x: int) -> int:
    root = int(np.sqrt(float(x)))
    while root * root > x:
        root -= 1
    while root * root < x:
        root += 1
    return root


_BOUNDS = {"brf": _brf, "se_adlif": _se_adlif, "alif": _alif, "lif": _lif, "cuba_lif": _cuba_lif, "li": _li}
