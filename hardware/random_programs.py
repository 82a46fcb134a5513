"""Random valid programs, inputs and states for tests that look for differences between engines; border values on
purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hardware.chain import InputFormat, Layer, Synapses, worst_current
from hardware.currents import MAX_CURRENT
from hardware.models import MODELS, STATE_MAX
from hardware.populations import Decision, Population
from hardware.program import Program
from hardware.random_values import (
    BORDER_SHARE,
    Range,
    draw,
    random_exponent,
    random_parameters,
    random_range,
    random_shift,
    random_state_values,
    random_values,
    random_weight,
    with_borders,
)
from hardware.trace import NetworkState

SPIKING = tuple(name for name, spec in MODELS.items() if spec.spiking)


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
    count = draw(rng, layers)
    if not hidden:
        count = 1  # leaky integrators alone
    size = draw(rng, inputs)
    fmt = InputFormat(size, *random_range(rng, border))
    chain: list[Layer] = []
    fan_in, largest = fmt.size, max(abs(fmt.low), abs(fmt.high))
    for index in range(count):
        last = index == count - 1
        choice = hidden if not last else [output] if output else list(models)
        model = str(rng.choice(choice))
        bits = (draw(rng, coefficient_bits), draw(rng, weight_bits), draw(rng, weight_bits))
        name = "readout" if last else f"hidden{index}"
        layer = _random_layer(rng, name, model, fan_in, draw(rng, sizes), bits, border, float(recurrent))
        chain.append(_fit_exponents(layer, largest))
        fan_in, largest = layer.size, 1
    return Program.chain(chain, fmt, random_decision(rng, chain[-1]), {"made_by": "hardware.random_programs"})


def random_inputs(rng: np.random.Generator, program: Program, T: int, B: int) -> Any:
    """Random inputs int32 (T, B, N) within the program's ranges, at a random density, with border values; by name where
    there are several inputs."""
    found = {item.name: random_values(rng, item, T, B) for item in program.inputs}
    return found if len(found) > 1 else found[program.inputs[0].name]


def random_state(rng: np.random.Generator, program: Program, batch: int) -> NetworkState:
    """Random states of every population, over all magnitudes and at the borders, random spikes and random last
    steps."""
    states = {}
    for item in program.populations:
        for state in item.spec.states:
            states[f"{state}/{item.name}"] = random_state_values(rng, (batch, item.size)).astype(np.int32)
    spikes = {
        it.name: rng.integers(0, 2, (batch, it.size)).astype(np.uint8) for it in program.populations if it.spec.spiking
    }
    history = {}
    for name, steps in program.history.items():
        low, high = program.ranges[name]
        shape = (steps, batch, program.sizes[name])
        history[name] = rng.integers(min(low, 0), max(high, 0), shape, endpoint=True).astype(np.int32)
        if name in spikes:
            history[name] = history[name].astype(np.uint8)
            history[name][-1] = spikes[name]
    return NetworkState(states, spikes, history)


def random_decision(rng: np.random.Generator, output: Layer | Population) -> Decision:
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
    shifts = {shift: random_shift(rng, shift, bits[0], border) for shift in spec.shifts}
    parameters = random_parameters(rng, model, size, bits[0], shifts, unit, border)
    bias = rng.integers(-(2**unit) // 4, 2**unit // 4, size, endpoint=True)
    feedback = None
    if spec.spiking and rng.random() < recurrent:
        feedback = Synapses(
            random_weight(rng, (size, size), bits[2], border), random_exponent(rng, unit - bits[2]), bits[2]
        )
    return Layer(
        name=name,
        model=model,
        input=Synapses(
            random_weight(rng, (size, fan_in), bits[1], border), random_exponent(rng, unit - bits[1]), bits[1]
        ),
        recurrent=feedback,
        bias=with_borders(rng, bias, -STATE_MAX, STATE_MAX, border, share=BORDER_SHARE / 4),
        parameters=parameters,
        shifts=shifts,
        options={option: str(rng.choice(values)) for option, values in spec.older().items()},
        coefficient_bits=bits[0],
    )


def _fit_exponents(layer: Layer, largest_input: int) -> Layer:
    """Lower exponents (and at last weights) until the worst-case current keeps the contract."""
    # CubaLIF wraps once (FP-3.5); stay where that is enough without counting on its leak.
    limit = 2**18 - 1 if layer.model == "cuba_lif" else MAX_CURRENT - STATE_MAX
    while int(worst_current(layer, largest_input).max()) > limit:
        source, feedback = layer.input, layer.recurrent
        if source.exponent:
            source = replace(source, exponent=source.exponent - 1)
        elif feedback is None or not feedback.exponent:
            source = replace(source, weight=np.trunc(source.weight / 2).astype(np.int8))
        if feedback is not None and feedback.exponent:
            feedback = replace(feedback, exponent=feedback.exponent - 1)
        layer = replace(layer, input=source, recurrent=feedback)
    return layer
