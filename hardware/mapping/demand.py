"""What slices of a network need on a core, and which limits that exceeds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from hardware.mapping.limits import Target
from hardware.mapping.wiring import Wiring
from hardware.populations import Population
from hardware.program import Program
from hardware.start_steps import NoSchedule, line_steps, start_steps

THRESHOLDS = ("TH", "vth", "B0")
"""Names of threshold parameters in the models."""

PARAMETER_LIMITS = ("parameter_sets_per_core", "thresholds_per_core")
"""Limits of different names on a core, in the order of :attr:`Needs.sets`."""

SMALLEST_DELAY_SLOTS = 8
Names = frozenset[int]


@dataclass(frozen=True)
class Demand:
    """Resources of one core.

    Attributes:
        neurons, synapse_bits, input_axons, output_axons, memory_bits, delay_slots: numbers, which add up.
        parameter_sets, thresholds, synapse_formats: names of the different ones; what slices share counts once.
    """

    neurons: int = 0
    synapse_bits: int = 0
    input_axons: int = 0
    output_axons: int = 0
    memory_bits: int = 0
    delay_slots: int = 0
    parameter_sets: Names = frozenset()
    thresholds: Names = frozenset()
    synapse_formats: Names = frozenset()

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            self.neurons + other.neurons,
            self.synapse_bits + other.synapse_bits,
            self.input_axons + other.input_axons,
            self.output_axons + other.output_axons,
            self.memory_bits + other.memory_bits,
            self.delay_slots + other.delay_slots,
            self.parameter_sets | other.parameter_sets,
            self.thresholds | other.thresholds,
            self.synapse_formats | other.synapse_formats,
        )

    def amounts(self) -> dict[str, int]:
        """Name of the limit -> what is needed of it."""
        return {
            "neurons_per_core": self.neurons,
            "synapse_bits_per_core": self.synapse_bits,
            "input_axons_per_core": self.input_axons,
            "output_axons_per_core": self.output_axons,
            "memory_bits_per_core": self.memory_bits,
            "delay_slots_per_core": self.delay_slots,
            "parameter_sets_per_core": len(self.parameter_sets),
            "thresholds_per_core": len(self.thresholds),
            "synapse_formats_per_core": len(self.synapse_formats),
        }

    def exceeds(self, target: Target) -> list[tuple[str, int]]:
        """Limits that a core with this would break, each with what it would need."""
        found = []
        for name, amount in self.amounts().items():
            most = target.most(name)
            if most is not None and amount > most:
                found.append((name, amount))
        return found


class Needs:
    """Demands of a program on a target.

    Args:
        program: the network. target: the chip.

    Attributes:
        into: wirings into each population. out_of: wirings out of each input and population.
        schedule: why the chip cannot keep the program's delays, None where it can.
    """

    def __init__(self, program: Program, target: Target) -> None:
        self.program, self.target = program, target
        self.schedule: NoSchedule | None = None
        try:
            lines = line_steps(program, start_steps(program))
        except NoSchedule as error:
            self.schedule = error
            lines = {item.name: max(item.delay, 1) for item in program.projections}
        self.wirings = {item.name: Wiring(item, target, lines[item.name] - 1) for item in program.projections}
        self.into: dict[str, list[Wiring]] = {item.name: [] for item in program.populations}
        self.out_of: dict[str, list[Wiring]] = {name: [] for name in program.sizes}
        for wiring in self.wirings.values():
            self.into[wiring.projection.target].append(wiring)
            self.out_of[wiring.projection.source].append(wiring)
        self._formats = {form: number for number, form in enumerate({w.format: 0 for w in self.wirings.values()})}
        self._known: dict[tuple[str, bytes], Demand] = {}
        self.sent: dict[str, np.ndarray] = {item.name: np.zeros(item.size, np.int64) for item in program.populations}
        """Population -> int64 (N,): cores that each neuron sends to, as far as is known while a plan is made."""

    def of(self, population: Population, neurons: np.ndarray) -> Demand:
        """Demand of a slice.

        Args:
            neurons: numbers of its neurons, int64 (n,).
        """
        if not len(neurons):
            return Demand()
        key = (population.name, hashlib.blake2b(neurons.tobytes(), digest_size=16).digest())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._of(population, neurons)
        return replace(found, output_axons=int(self.sent[population.name][neurons].sum()))

    def _of(self, population: Population, neurons: np.ndarray) -> Demand:
        """The part that does not depend on where other neurons lie; different plans ask for many equal slices."""
        bits = axons = 0
        for wiring in self.into[population.name]:
            cost = wiring.cost(neurons)
            bits, axons = bits + cost[0], axons + cost[1]
        number = self.target.number
        memory = bits + axons * number("axon_bits") + len(neurons) * number("neuron_bits")
        sets, thresholds = self._names(population, neurons)
        formats = self.formats(population) if self.target.most("synapse_formats_per_core") is not None else frozenset()
        slots = self.delay_slots(population) * len(neurons)
        return Demand(len(neurons), bits, axons, 0, memory, slots, sets, thresholds, formats)

    def delay_slots(self, population: Population) -> int:
        """Slots of one neuron: the power of two above its longest delay, 8 at least."""
        longest = max([wiring.delay for wiring in self.into[population.name]], default=0)
        return SMALLEST_DELAY_SLOTS if longest <= SMALLEST_DELAY_SLOTS else 1 << (longest - 1).bit_length()

    def formats(self, population: Population) -> Names:
        """Synapse formats of a population's synapses."""
        return frozenset(self._formats[wiring.format] for wiring in self.into[population.name])

    @functools.cached_property
    def sets(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Population -> number of each neuron's parameter set and of its threshold, int64 (N,) each, equal across the
        program where the values are equal."""
        found, seen_sets, seen_thresholds = {}, {}, {}  # type: ignore[var-annotated]
        for item in self.program.populations:
            names = sorted(item.parameters)
            plain = [item.parameters[name] for name in names if name not in THRESHOLDS]
            limit = [item.parameters[name] for name in names if name in THRESHOLDS]
            head = (item.model, *sorted(item.shifts.items()), *sorted(item.options.items()))
            found[item.name] = (
                _numbered(plain, item.size, head, seen_sets),
                _numbered(limit, item.size, (), seen_thresholds),
            )
        return found

    def _names(self, population: Population, neurons: np.ndarray) -> tuple[Names, Names]:
        sets, thresholds = (
            frozenset(np.unique(numbers[neurons]).tolist()) if self.target.most(limit) is not None else frozenset()
            for limit, numbers in zip(PARAMETER_LIMITS, self.sets[population.name], strict=True)
        )
        return sets, thresholds

    def fits(self, demand: Demand) -> bool:
        """Whether a core can hold that, output axons apart."""
        return not demand.exceeds(self.target)


def total(demands: Iterable[Demand]) -> Demand:
    """The sum of demands."""
    result = Demand()
    for demand in demands:
        result = result + demand
    return result


def _numbered(
    columns: list[np.ndarray], size: int, head: tuple[object, ...], seen: dict[tuple[object, ...], int]
) -> np.ndarray:
    """A number for each neuron's row of values, the same for equal rows under equal heads."""
    if not columns:
        number = seen.setdefault(head, len(seen))
        return np.full(size, number, np.int64)
    rows, inverse = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    numbers = [seen.setdefault((*head, *row), len(seen)) for row in map(tuple, rows.tolist())]
    return np.array(numbers, np.int64)[inverse.reshape(-1)]
