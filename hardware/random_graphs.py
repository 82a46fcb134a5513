"""Random valid graph programs for tests that look for differences between engines: mixed models, all three kinds of
synapses, delays, feedback, several inputs and outputs, initial states, and border values on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from hardware.currents import check_current, drive_interval
from hardware.errors import ProgramError
from hardware.models import MODELS, STATE_MAX
from hardware.populations import MAX_DELAY, MAX_EXPONENT, Input, Population, Projection
from hardware.program import Program
from hardware.random_programs import random_decision
from hardware.random_values import (
    Range,
    draw,
    random_exponent,
    random_parameters,
    random_range,
    random_shift,
    random_state_values,
    random_weight,
    with_borders,
)
from hardware.synapses import Connections, Convolution, Dense, Sparse, output_length

MAX_SIZE = 64
"""Neurons of a population that a convolution feeds, at most."""


@dataclass
class _Draft:
    """A graph while it is drawn."""

    rng: np.random.Generator
    border: bool
    delays: Range
    inputs: list[Input]
    populations: list[Population] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)

    def shape(self, name: str) -> tuple[int, ...]:
        shapes = {item.name: item.shape for item in self.inputs} | {item.name: item.shape for item in self.populations}
        return shapes[name] or ()

    def senders(self) -> list[str]:
        return [item.name for item in self.inputs] + [it.name for it in self.populations if it.spec.spiking]

    def delay(self, least: int) -> int:
        if least == 0 and self.rng.random() < 0.6:
            return 0
        return max(least, draw(self.rng, self.delays) if self.rng.random() < 0.5 else int(self.rng.integers(0, 4)))

    def connect(self, source: str, target: str, unit: int, least: int, synapses: Connections | None = None) -> None:
        """One more projection; ``least`` is its smallest delay."""
        bits = draw(self.rng, (2, 8))
        if synapses is None:
            synapses = self._synapses(self.shape(source), self.shape(target), bits)
        name = f"{source}.{target}.{len(self.projections)}"
        exponent = random_exponent(self.rng, unit - synapses.weight_bits)
        self.projections.append(Projection(name, source, target, synapses, exponent, self.delay(least)))

    def _synapses(self, source: tuple[int, ...], target: tuple[int, ...], bits: int) -> Connections:
        if source == target and len(source) == 3 and self.rng.random() < 0.5:
            return self._same_convolution(source, bits)
        weight = random_weight(self.rng, (prod(target), prod(source)), bits, self.border)
        if self.rng.random() < 0.5:
            return Dense(weight, bits)
        return Sparse.from_matrix(np.where(self.rng.random(weight.shape) < 0.3, weight, 0), bits)

    def _same_convolution(self, shape: tuple[int, ...], bits: int) -> Connections:
        reach = tuple(int(x) for x in self.rng.integers(0, 2, 2))
        dilation = tuple(int(x) for x in self.rng.integers(1, 3, 2))
        kernel = random_weight(self.rng, (shape[0], shape[0], 2 * reach[0] + 1, 2 * reach[1] + 1), bits, self.border)
        padding = (reach[0] * dilation[0], reach[1] * dilation[1])
        picture = (shape[0], shape[1], shape[2])
        return Convolution(kernel, (1, 1), padding, (dilation[0], dilation[1]), 1, picture, picture, bits)

    def convolution(self, shape: tuple[int, ...]) -> Convolution | None:
        """A convolution of a picture, None where none of a few tries leaves something."""
        for _ in range(8):
            k, stride, padding, dilation = (
                tuple(int(x) for x in self.rng.integers(low, high, 2)) for low, high in ((1, 4), (1, 3), (0, 3), (1, 3))
            )
            sides = [output_length(shape[1 + i], k[i], stride[i], padding[i], dilation[i]) for i in range(2)]
            groups = int(self.rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
            channels = groups * int(self.rng.integers(1, 3))
            if min(sides) < 1 or channels * sides[0] * sides[1] > MAX_SIZE:
                continue
            bits = draw(self.rng, (2, 8))
            kernel = random_weight(self.rng, (channels, shape[0] // groups, *k), bits, self.border)
            pairs = ((stride[0], stride[1]), (padding[0], padding[1]), (dilation[0], dilation[1]))
            return Convolution(
                kernel, *pairs, groups, (shape[0], shape[1], shape[2]), (channels, sides[0], sides[1]), bits
            )
        return None


def random_graph(
    rng: np.random.Generator,
    populations: Range = (1, 6),
    inputs: Range = (1, 2),
    sizes: Range = (1, 12),
    delays: Range = (0, MAX_DELAY),
    border: bool = True,
    models: tuple[str, ...] = tuple(MODELS),
    outputs: Range = (1, 3),
    resets: bool = False,
) -> Program:
    """A random graph that spikes, saturates, wraps and resets in many of its neurons.

    Args:
        populations, inputs, sizes, delays, outputs: a number, or lowest and highest (both included); ``sizes`` are
            neurons of a population that is no picture.
        border: put some parameters, weights, biases, initial states and formats at the borders of their ranges, and
            some currents close to the largest that is valid.
        models: models to draw from.
        resets: draw the resets of FP-3.7 too, for otherwise the same graph: two of three ``lif`` and ``cuba_lif`` get
            any of them.
    """
    draft = _Draft(rng, border, delays, [_input(rng, index, border) for index in range(draw(rng, inputs))])
    units: dict[str, int] = {}
    for index in range(draw(rng, populations)):
        _add_population(draft, f"p{index}", str(rng.choice(models)), sizes, units)
    _add_feedback(draft, units)
    for population in draft.populations:
        _fit(draft, population, near_limit=border and rng.random() < 0.1)
    names = [population.name for population in draft.populations]
    count = min(len(names), draw(rng, outputs))
    chosen = [names[i] for i in sorted(rng.choice(len(names), size=count, replace=False))]
    read = str(rng.choice(chosen))
    decision = replace(random_decision(rng, draft.populations[names.index(read)]), output=read)
    drawn = [_with_reset(rng, item) for item in draft.populations] if resets else draft.populations
    metadata = {"made_by": "hardware.random_graphs"}
    return Program(tuple(draft.inputs), tuple(drawn), tuple(draft.projections), tuple(chosen), decision, metadata)


def _input(rng: np.random.Generator, index: int, border: bool) -> Input:
    picture = (int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    return Input(f"in{index}", picture if rng.random() < 0.4 else int(rng.integers(1, 12)), *random_range(rng, border))  # type: ignore[arg-type]


def _add_population(draft: _Draft, name: str, model: str, sizes: Range, units: dict[str, int]) -> None:
    rng = draft.rng
    unit = units[name] = int(rng.integers(5, 20))
    senders = draft.senders()
    source = str(rng.choice(senders))
    shape: tuple[int, ...] = (draw(rng, sizes),)
    first = None
    if len(draft.shape(source)) == 3 and rng.random() < 0.7:
        first = draft.convolution(draft.shape(source))
        shape = shape if first is None else first.out_shape
    draft.populations.append(_population(rng, name, model, shape, unit, draft.border))
    draft.connect(source, name, unit, 0, first)
    for _ in range(int(rng.integers(0, 3))):
        draft.connect(str(rng.choice(senders)), name, unit, 0)


def _add_feedback(draft: _Draft, units: dict[str, int]) -> None:
    rng = draft.rng
    spiking = [item.name for item in draft.populations if item.spec.spiking]
    for population in draft.populations:
        if population.spec.spiking and rng.random() < 0.6:
            draft.connect(population.name, population.name, units[population.name], 1)
        if spiking and rng.random() < 0.3:
            draft.connect(str(rng.choice(spiking)), population.name, units[population.name], 1)


def _population(
    rng: np.random.Generator, name: str, model: str, shape: tuple[int, ...], unit: int, border: bool
) -> Population:
    spec, size, bits = MODELS[model], prod(shape), draw(rng, (8, 16))
    shifts = {shift: random_shift(rng, shift, bits, border) for shift in spec.shifts}
    bias = rng.integers(-(2**unit) // 4, 2**unit // 4, size, endpoint=True)
    made = Population(
        name,
        size,
        model,
        with_borders(rng, bias, -STATE_MAX, STATE_MAX, border, share=0.03),
        random_parameters(rng, model, size, bits, shifts, unit, border),
        shifts,
        {option: str(rng.choice(values)) for option, values in spec.older().items()},
        bits,
        shape=shape,
    )
    initial = {}
    for state in spec.states:
        if rng.random() < 0.3:
            values = np.clip(random_state_values(rng, (size,)), *made.state_limits(state))
            initial[state] = values.astype(np.int32)
    return replace(made, initial=initial)


def _with_reset(rng: np.random.Generator, population: Population) -> Population:
    newer = population.spec.newer
    if not newer or rng.random() < 1 / 3:
        return population
    at = str(rng.choice(population.spec.options["reset_at"]))
    how = population.spec.options["reset"]
    choice = {"reset": str(rng.choice(how if at == "same" else how[:2])), "reset_at": at}  # none has no time
    return replace(population, options={**population.options, **choice})


def _fit(draft: _Draft, population: Population, near_limit: bool) -> None:
    """Lower exponents, and at last weights, until the reachable current keeps the contract; or raise one first, so that
    the current ends close to the limit."""
    ranges = {item.name: (item.low, item.high) for item in draft.inputs}
    ranges.update({item.name: (0, 1) for item in draft.populations})
    if near_limit:
        index = next(i for i, item in enumerate(draft.projections) if item.target == population.name)
        draft.projections[index] = replace(draft.projections[index], exponent=MAX_EXPONENT)
    while True:
        own = [index for index, item in enumerate(draft.projections) if item.target == population.name]
        try:
            check_current(population, drive_interval(population, [draft.projections[i] for i in own], ranges))
            return
        except ProgramError:
            widest = max(own, key=lambda index: draft.projections[index].exponent)
            item = draft.projections[widest]
            if item.exponent:
                draft.projections[widest] = replace(item, exponent=item.exponent - 1)
            else:
                for index in own:
                    draft.projections[index] = _halved(draft.projections[index])


def _halved(projection: Projection) -> Projection:
    synapses = projection.synapses
    if isinstance(synapses, Convolution):
        halved: Connections = replace(synapses, kernel=np.trunc(synapses.kernel / 2).astype(np.int8))
    elif isinstance(synapses, Dense):
        halved = replace(synapses, weight=np.trunc(synapses.weight / 2).astype(np.int8))
    else:
        target, source, weight = synapses.coo()
        halved = Sparse.from_coo(
            target, source, np.trunc(weight / 2).astype(np.int8), synapses.shape, synapses.weight_bits
        )
    return replace(projection, synapses=halved)
