"""Interval analysis of a Program: which states can provably never saturate, and how wide every sum is.

All bounds hold for every input within the program's declared range and every spike pattern, from the program's initial
states. A bound
that exceeds 24 bits does not mean that the network saturates, only that it cannot be excluded; give a trace to see what
was observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hardware.currents import MAX_CURRENT, Interval, drive_interval, mantissa_bound
from hardware.models import STATE_MAX
from hardware.populations import Population
from hardware.program import Program
from hardware.trace import Trace

UNBOUNDED = 2**62
"""Stands for "no bound found"."""


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
    for population in program.populations:
        drive = drive_interval(population, program.into(population.name), program.ranges)
        for name, (least, most, limit) in _BOUNDS.get(population.model, _unknown)(population, drive).items():
            observed = _observed(trace, f"{name}/{population.name}")
            states.append(StateRange(population.name, name, least, most, limit, observed))
        sums.append(_sum_range(program, population))
    return RangeReport(tuple(states), tuple(sums))


def _sum_range(program: Program, population: Population) -> SumRange:
    largest, current = 0, int(np.abs(population.bias.astype(np.int64)).max())
    for projection in program.into(population.name):
        bound = mantissa_bound(projection, *program.ranges[projection.source])
        largest, current = max(largest, bound), current + (bound << projection.exponent)
    return SumRange(population.name, largest, current, largest < 2**24, current <= MAX_CURRENT)


def _observed(trace: Trace | None, key: str) -> tuple[int, int] | None:
    if trace is None or key not in trace.states:
        return None
    return int(trace.states[key].min()), int(trace.states[key].max())


def _leaky(gain: np.ndarray, shift: int, drive: Interval, start: np.ndarray) -> Interval:
    """Interval of ``x' = mulsh(x, gain, shift) + drive`` from ``start``: ``drive / (1 - gain 2^-shift)``, or the start
    where that is wider; rounding toward zero only shrinks it."""
    least, most = np.minimum(drive[0], 0), np.maximum(drive[1], 0)
    below, above = np.maximum(-start, 0), np.maximum(start, 0)
    return -_geometric(gain, shift, -least, below), _geometric(gain, shift, most, above)


def _geometric(gain: np.ndarray, shift: int, drive: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Least bound that ``x' = x gain 2^-shift + drive`` never leaves from ``start``, all of them >= 0: exactly, in
    Python ints."""
    bounds = []
    for g, d, x in zip(*(a.tolist() for a in np.broadcast_arrays(gain, drive, start)), strict=True):
        rest = (1 << shift) - g
        if rest > 0:
            bounds.append(min(UNBOUNDED, max(x, -(-(d << shift) // rest))))
        else:
            bounds.append(x if d == 0 and (x == 0 or rest == 0) else UNBOUNDED)
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


def _with_bias(population: Population, drive: Interval) -> Interval:
    bias = population.bias.astype(np.int64)
    return drive[0] + bias, drive[1] + bias


def _int64(population: Population) -> dict[str, np.ndarray]:
    return {name: values.astype(np.int64) for name, values in population.parameters.items()}


def _start(population: Population, state: str) -> np.ndarray:
    return population.start(state).astype(np.int64)


Bounds = Mapping[str, tuple[np.ndarray, np.ndarray, int]]


def _unknown(population: Population, drive: Interval) -> Bounds:
    """Of a neuron that is not in the specification nothing can be proved."""
    none = np.full(population.size, UNBOUNDED)
    return dict.fromkeys(population.spec.states, (-none, none, STATE_MAX))


def _li(population: Population, drive: Interval) -> Bounds:
    p, k = _int64(population), population.shifts["K"]
    return {"u": (*_leaky(p["A"], k, _with_bias(population, drive), _start(population, "u")), STATE_MAX)}


def _forgets(population: Population) -> bool:
    """Whether nothing above the threshold is left at the end of a step."""
    return population.options["reset"] == "zero" and population.options["reset_at"] == "same"


def _with_late_reset(population: Population, current: Interval, threshold: np.ndarray) -> Interval:
    """A subtraction at the next step may meet a membrane that has decayed below its threshold (FP-3.7)."""
    late = population.options["reset"] == "subtract" and population.options["reset_at"] == "next"
    return (current[0] - threshold, current[1]) if late else current


def _lif(population: Population, drive: Interval) -> Bounds:
    p, k = _int64(population), population.shifts["K"]
    current, u = _with_bias(population, drive), _start(population, "u")
    low, high = _leaky(p["A"], k, _with_late_reset(population, current, p["TH"]), u)
    if _forgets(population):  # what survives a step is at most the threshold
        high = np.minimum(high, np.maximum(_scaled(np.maximum(p["TH"], u), p["A"], k) + current[1], 0))
    return {"u": (low, high, STATE_MAX)}


def _alif(population: Population, drive: Interval) -> Bounds:
    p, k = _int64(population), population.shifts["K"]
    a_low, a_high = _leaky(p["Rho"], k, (np.zeros_like(p["Ja"]), p["Ja"]), _start(population, "a"))
    low, high = _with_bias(population, drive)
    most = np.maximum(np.minimum(a_high, STATE_MAX) + p["B0"], 0)  # what a reset subtracts
    least = np.minimum(np.maximum(a_low, -STATE_MAX) + p["B0"], 0)  # below 0 only where a starts there
    u = _leaky(p["A"], k, (low - most, high - least), _start(population, "u"))
    return {"a": (a_low, a_high, STATE_MAX), "u": (*u, STATE_MAX)}


def _cuba_lif(population: Population, drive: Interval) -> Bounds:
    p, v = _int64(population), _start(population, "v")
    low, high = _leaky(4095 - p["du"], 12, (drive[0] << 6, drive[1] << 6), _start(population, "u"))
    wraps = (high > 2**23) | (low <= -(2**23))  # a wrap turns large into negative and the other way round
    low, high = np.where(wraps, np.minimum(low, -(2**23)), low), np.where(wraps, np.maximum(high, 2**23), high)
    u_low = np.where(wraps, np.minimum(low + 2**24, -(2**23)), low)  # after one wrap, which may not be enough
    u_high = np.where(wraps, np.maximum(high - 2**24, 2**23), high)
    threshold = p["vth"] << 6
    current = _with_late_reset(population, _with_bias(population, (u_low, u_high)), threshold)
    v_low, v_high = _leaky(4096 - p["dv"], 12, current, v)
    if _forgets(population):
        survives = np.maximum(threshold, v)
        v_high = np.minimum(v_high, np.maximum(_scaled(survives, 4096 - p["dv"], 12) + u_high + population.bias, 0))
    return {"u": (low, high, STATE_MAX), "v": (v_low, v_high, STATE_MAX)}


def _se_adlif(population: Population, drive: Interval) -> Bounds:
    """u drives w and w drives u: widen both until they stop growing, or give up where they pass 24 bits."""
    p, s = _int64(population), population.shifts
    current = _with_bias(population, drive)
    u0, w0 = _start(population, "u"), _start(population, "w")
    u, w = ((np.minimum(x, 0), np.maximum(x, 0)) for x in (u0, w0))
    for _ in range(MAX_WIDENINGS):
        held = tuple(np.clip(side, -STATE_MAX, STATE_MAX) >> s["g"] for side in (-w[0], w[1]))
        low, high = _leaky(p["A"], s["K"], (current[0] - held[1], current[1] + held[0]), u0)
        survives = _scaled(np.maximum(p["TH"], u0), p["A"], s["K"])
        high = np.minimum(high, np.maximum(survives + current[1] + held[0], 0))
        after = np.minimum(high, p["TH"])  # after the reset
        push = (-_scaled(np.minimum(-low, STATE_MAX), p["At"], s["Ka"]), _scaled(after, p["At"], s["Ka"]) + p["Bt"])
        wider = _leaky(p["Be"], s["K"], push, w0)
        if all(np.array_equal(x, y) for x, y in zip((*u, *w), (low, high, *wider), strict=True)):
            return {"u": (*u, STATE_MAX), "w": (*w, STATE_MAX)}
        u, w = (low, high), wider
    unknown = np.full(population.size, UNBOUNDED)
    return {"u": (-unknown, unknown, STATE_MAX), "w": (-unknown, unknown, STATE_MAX)}


MAX_WIDENINGS = 200


def _brf(population: Population, drive: Interval) -> Bounds:
    """The rotation with damping d <= C shrinks the length of (u, v) by sqrt(C^2 + S^2) 2^-K; q >= 0, so that d never
    exceeds C (FP-5.1)."""
    p, k = _int64(population), population.shifts["K"]
    low, high = _with_bias(population, drive)
    push = np.maximum(np.abs(low), np.abs(high))
    start = _lengths(_start(population, "u"), _start(population, "v"))
    idle = (push == 0) & (start == 0)  # rounding toward zero cannot start a motion from rest
    bound = np.where(idle, 0, _geometric(_lengths(p["C"], p["S"]), k, push + ROTATION_ROUNDING, start))
    q_drive = (np.zeros_like(p["J"]), p["J"])
    q_low, q_high = _leaky(p["R"], population.shifts["KR"], q_drive, _start(population, "q"))
    return {"u": (-bound, bound, STATE_MAX), "v": (-bound, bound, STATE_MAX), "q": (q_low, q_high, STATE_MAX)}


def _lengths(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ceil(sqrt(x^2 + y^2)), int64."""
    return np.array([_ceil_sqrt(int(a * a + b * b)) for a, b in zip(x, y, strict=True)], dtype=np.int64)


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
