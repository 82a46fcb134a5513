"""Random valid programs, inputs and states for tests that look for differences between engines; border values on
purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hardware.models import MODELS, STATE_MAX
from hardware.program import Decision, InputFormat, Layer, Program, Synapses
from hardware.program_checks import MAX_CURRENT, worst_current
from hardware.trace import NetworkState

SPIKING = tuple(name for name, spec in MODELS.items() if spec.spiking)
BORDER_SHARE = 0.12
"""Share of values that sit at or next to a border of their range."""

Range = int | tuple[int, int]


def random_program(
    rng: np.random.Generator,
    layers: Range = (1, 3),
    models: Sequence[str] | None = None,
    sizes: Range = (1, 12),
    weight_bits: Range = (2, 8),
    border: bool = True,
    coefficient_bits: Range = (8, 16),
    inputs: Range = (1, 8),
    recurrent: float = 0.8,
    output: str | None = None,
) -> Program:
    """A random chain of layers that spikes, saturates and resets in many of its neurons.

    Args:
        layers, sizes, weight_bits, coefficient_bits, inputs: a number, or lowest and highest (both included); ``sizes``
            are neurons of a layer.
        models: models to draw from (default all); a leaky integrator is used as the last layer only.
        border: put some parameters, weights, biases and formats at the borders of their ranges.
        recurrent: probability that a spiking layer has recurrent synapses.
        output: model of the last layer; drawn like the others by default.
    """
    models = tuple(models or MODELS)
    hidden = [name for name in models if MODELS[name].spiking]
    count = _draw(rng, layers)
    if not hidden:
        count = 1  # leaky integrators alone
    fmt = _random_input(rng, _draw(rng, inputs), border)
    chain: list[Layer] = []
    fan_in, largest = fmt.size, max(abs(fmt.low), abs(fmt.high))
    for index in range(count):
        last = index == count - 1
        choice = hidden if not last else [output] if output else list(models)
        model = str(rng.choice(choice))
        bits = (_draw(rng, coefficient_bits), _draw(rng, weight_bits), _draw(rng, weight_bits))
        name = "readout" if last else f"hidden{index}"
        layer = _random_layer(rng, name, model, fan_in, _draw(rng, sizes), bits, border, float(recurrent))
        chain.append(_fit_exponents(layer, largest))
        fan_in, largest = layer.size, 1
    return Program(tuple(chain), fmt, _random_decision(rng, chain[-1]), {"made_by": "hardware.random_programs"})


def random_inputs(rng: np.random.Generator, program: Program, T: int, B: int) -> np.ndarray:
    """Random inputs int32 (T, B, N_in) within the program's range, at a random density, with border values."""
    low, high = program.input.low, program.input.high
    shape = (T, B, program.input.size)
    values = rng.integers(low, high, size=shape, endpoint=True, dtype=np.int64)
    values = np.where(rng.random(shape) < BORDER_SHARE, rng.choice([low, high], size=shape), values)
    density = rng.choice([0.05, 0.3, 1.0])
    silent = min(max(0, low), high)
    return np.where(rng.random(shape) < density, values, silent).astype(np.int32)


def random_state(rng: np.random.Generator, program: Program, batch: int) -> NetworkState:
    """Random states of every layer, over all magnitudes and at the borders, and random spikes."""
    states = {}
    for layer in program.layers:
        for state in layer.spec.states:
            states[f"{state}/{layer.name}"] = random_state_values(rng, (batch, layer.size)).astype(np.int32)
    spikes = {
        la.name: rng.integers(0, 2, (batch, la.size)).astype(np.uint8) for la in program.layers if la.spec.spiking
    }
    return NetworkState(states, spikes)


def random_state_values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """int64 states within 24 bits: uniform in the exponent, one in eight at a border (0, +-1, powers of two and their
    neighbours, +-(2^23 - 1))."""
    magnitude = rng.integers(0, 2 ** rng.integers(1, 24, size=shape))
    powers = np.minimum(2 ** rng.integers(0, 24, size=shape) + rng.integers(-1, 2, size=shape), STATE_MAX)
    magnitude = np.where(rng.random(shape) < 0.125, powers, magnitude)
    return np.where(rng.random(shape) < 0.5, -magnitude, magnitude)


def _draw(rng: np.random.Generator, limits: Range) -> int:
    low, high = (limits, limits) if isinstance(limits, (int, np.integer)) else limits
    return int(rng.integers(low, high, endpoint=True))


def _random_input(rng: np.random.Generator, size: int, border: bool) -> InputFormat:
    ranges = [(0, 1), (0, 1), (0, 16), (-128, 127)] + ([(-(2**15), 2**15), (0, 2**23 - 1), (1, 1)] if border else [])
    low, high = ranges[int(rng.integers(len(ranges)))]
    return InputFormat(size, low, high)


def _random_decision(rng: np.random.Generator, output: Layer) -> Decision:
    rule = str(rng.choice(["per_step", "sum", "spike_count"] if output.spec.spiking else ["per_step", "sum"]))
    multiplier = rng.integers(1, 2**16, output.size).astype(np.int32) if rng.random() < 0.3 else None
    return Decision(rule, int(rng.integers(0, 3)), multiplier)


def _random_layer(
    rng: np.random.Generator,
    name: str,
    model: str,
    fan_in: int,
    size: int,
    bits: tuple[int, int, int],
    border: bool,
    recurrent: float,
) -> Layer:
    spec = MODELS[model]
    unit = int(rng.integers(5, 20))  # threshold near 2^unit
    shifts = {shift: _random_shift(rng, shift, bits[0], border) for shift in spec.shifts}
    parameters = {
        key: _random_parameter(rng, key, model, size, bits[0], shifts, unit, border) for key in spec.parameters
    }
    if model == "brf":
        room = (1 << (2 * shifts["K"])) - parameters["S"].astype(np.int64) ** 2
        limit = np.floor(np.sqrt(room)).astype(
            np.int64
        )  # at most 2^32: float64 is exact enough for the floor of perfect squares
        parameters["C"] = np.minimum(parameters["C"], limit).astype(np.int32)
    bias = rng.integers(-(2**unit) // 4, 2**unit // 4, size, endpoint=True)
    feedback = None
    if spec.spiking and rng.random() < recurrent:
        feedback = Synapses(_random_weight(rng, (size, size), bits[2], border), _exponent(rng, unit - bits[2]), bits[2])
    return Layer(
        name=name,
        model=model,
        input=Synapses(_random_weight(rng, (size, fan_in), bits[1], border), _exponent(rng, unit - bits[1]), bits[1]),
        recurrent=feedback,
        bias=_with_borders(rng, bias, -STATE_MAX, STATE_MAX, border, share=BORDER_SHARE / 4),
        parameters=parameters,
        shifts=shifts,
        options={option: str(rng.choice(values)) for option, values in spec.options.items()},
        coefficient_bits=bits[0],
    )


def _exponent(rng: np.random.Generator, center: int) -> int:
    return int(np.clip(center + rng.integers(-1, 4), 0, 23))


def _random_weight(rng: np.random.Generator, shape: tuple[int, int], bits: int, border: bool) -> np.ndarray:
    limit = 2 ** (bits - 1) - 1
    weight = rng.integers(-limit, limit, size=shape, endpoint=True)
    if border:
        at_border = rng.random(shape) < BORDER_SHARE
        weight = np.where(at_border, rng.choice([-limit, 0, limit], size=shape), weight)
    return weight.astype(np.int8)


def _random_shift(rng: np.random.Generator, name: str, bits: int, border: bool) -> int:
    if border and rng.random() < BORDER_SHARE:
        return int(rng.choice([0, 1, 31, 8, 16] if name != "K" else [bits - 1, bits, 17, 31]))
    if name == "K":
        return bits
    return int(rng.integers(4, 8)) if name == "g" else int(rng.integers(bits - 2, bits + 3))


def _random_parameter(
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
    return _with_borders(rng, typical, limits.low, high, border)


def _with_borders(
    rng: np.random.Generator, typical: np.ndarray, low: int, high: int, border: bool, share: float = BORDER_SHARE
) -> np.ndarray:
    values = np.clip(typical, low, high)
    if border:
        choices = np.clip([low, low + 1, 0, high - 1, high], low, high)
        values = np.where(rng.random(values.shape) < share, rng.choice(choices, size=values.shape), values)
    return values.astype(np.int32)


def _fit_exponents(layer: Layer, largest_input: int) -> Layer:
    """Lower exponents (and at last weights) until the worst-case current keeps the contract."""
    # CubaLIF wraps once (FP-3.5); stay where that is enough without counting on its leak.
    limit = 2**18 - 1 if layer.model == "cuba_lif" else MAX_CURRENT - STATE_MAX
    while int(worst_current(layer, largest_input).max()) > limit:
        source, feedback = layer.input, layer.recurrent
        if source.exponent:
            source = replace(source, exponent=source.exponent - 1)
        elif feedback is None or not feedback.exponent:
            source = replace(source, weight=np.fix(source.weight / 2).astype(np.int8))
        if feedback is not None and feedback.exponent:
            feedback = replace(feedback, exponent=feedback.exponent - 1)
        layer = replace(layer, input=source, recurrent=feedback)
    return layer
