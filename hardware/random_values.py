"""Random weights, parameters and states, many at the borders of their ranges, for random programs."""

from __future__ import annotations

import numpy as np

from hardware.models import MODELS, STATE_MAX
from hardware.populations import Input

BORDER_SHARE = 0.12
"""Share of values that sit at or next to a border of their range."""

Range = int | tuple[int, int]


def draw(rng: np.random.Generator, limits: Range) -> int:
    low, high = (limits, limits) if isinstance(limits, (int, np.integer)) else limits
    return int(rng.integers(low, high, endpoint=True))


def random_state_values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """int64 states within 24 bits: uniform in the exponent, one in eight at a border (0, +-1, powers of two and their
    neighbours, +-(2^23 - 1))."""
    magnitude = rng.integers(0, 2 ** rng.integers(1, 24, size=shape))
    powers = np.minimum(2 ** rng.integers(0, 24, size=shape) + rng.integers(-1, 2, size=shape), STATE_MAX)
    magnitude = np.where(rng.random(shape) < 0.125, powers, magnitude)
    return np.where(rng.random(shape) < 0.5, -magnitude, magnitude)


def random_exponent(rng: np.random.Generator, center: int) -> int:
    return int(np.clip(center + rng.integers(-1, 4), 0, 23))


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], bits: int, border: bool) -> np.ndarray:
    limit = 2 ** (bits - 1) - 1
    weight = rng.integers(-limit, limit, size=shape, endpoint=True)
    if border:
        at_border = rng.random(shape) < BORDER_SHARE
        weight = np.where(at_border, rng.choice([-limit, 0, limit], size=shape), weight)
    return weight.astype(np.int8)


def random_shift(rng: np.random.Generator, name: str, bits: int, border: bool) -> int:
    if border and rng.random() < BORDER_SHARE:
        return int(rng.choice([0, 1, 31, 8, 16] if name != "K" else [bits - 1, bits, 17, 31]))
    if name == "K":
        return bits
    return int(rng.integers(4, 8)) if name == "g" else int(rng.integers(bits - 2, bits + 3))


def random_parameter(
    rng: np.random.Generator,
    name: str,
    model: str,
    size: int,
    bits: int,
    shifts: dict[str, int],
    unit: int,
    border: bool,
) -> np.ndarray:
    limits = MODELS[model].parameters[name]
    high = 2 ** min(bits, shifts["K"]) if limits.high is None else limits.high
    if name in ("C", "A", "Rho", "Be"):
        typical = rng.integers(high * 3 // 4, high, size, endpoint=True)
    elif name == "R":
        typical = rng.integers(0, 2 ** min(shifts["KR"], 16), size, endpoint=True)
    elif name in ("S", "At", "D"):
        typical = rng.integers(0, max(2, high // 4), size)
    elif name in ("TH", "J", "B0", "Ja", "Bt"):
        typical = rng.integers(2**unit // 2, 2**unit, size)
    elif name == "vth":
        typical = rng.integers(0, max(2, min(2**17, 2**unit >> 4)), size)
    else:  # du, dv
        typical = rng.integers(0, 1024, size)
    return with_borders(rng, typical, limits.low, high, border)


def with_borders(
    rng: np.random.Generator, typical: np.ndarray, low: int, high: int, border: bool, share: float = BORDER_SHARE
) -> np.ndarray:
    values = np.clip(typical, low, high)
    if border:
        choices = np.clip([low, low + 1, 0, high - 1, high], low, high)
        values = np.where(rng.random(values.shape) < share, rng.choice(choices, size=values.shape), values)
    result: np.ndarray = values.astype(np.int32)
    return result


def random_parameters(
    rng: np.random.Generator, model: str, size: int, bits: int, shifts: dict[str, int], unit: int, border: bool
) -> dict[str, np.ndarray]:
    """int32 (size,) for every parameter of a model, a stable resonator among them (FP-5.1); thresholds near 2^unit."""
    parameters = {
        key: random_parameter(rng, key, model, size, bits, shifts, unit, border) for key in MODELS[model].parameters
    }
    if model == "brf":
        room = (1 << (2 * shifts["K"])) - parameters["S"].astype(np.int64) ** 2
        limit = np.floor(np.sqrt(room)).astype(
            np.int64
        )  # at most 2^32: float64 is exact enough for the floor of perfect squares
        parameters["C"] = np.minimum(parameters["C"], limit).astype(np.int32)
    return parameters


def random_range(rng: np.random.Generator, border: bool) -> tuple[int, int]:
    """Smallest and largest value of an input."""
    ranges = [(0, 1), (0, 1), (0, 16), (-128, 127)] + ([(-(2**15), 2**15), (0, 2**23 - 1), (1, 1)] if border else [])
    return ranges[int(rng.integers(len(ranges)))]


def random_values(rng: np.random.Generator, accepted: Input, T: int, B: int) -> np.ndarray:
    """Random inputs int32 (T, B, N) within an input's range, at a random density, with border values."""
    low, high = accepted.low, accepted.high
    shape = (T, B, accepted.size)
    values = rng.integers(low, high, size=shape, endpoint=True, dtype=np.int64)
    values = np.where(rng.random(shape) < BORDER_SHARE, rng.choice([low, high], size=shape), values)
    density = rng.choice([0.05, 0.3, 1.0])
    silent = min(max(0, low), high)
    return np.where(rng.random(shape) < density, values, silent).astype(np.int32)
