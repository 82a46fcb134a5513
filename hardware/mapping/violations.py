"""Everything about a network that a chip cannot hold, all of it at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.mapping.bounds import population_bits, population_bound
from hardware.mapping.demand import Needs
from hardware.mapping.limits import Limit
from hardware.models import STATE_BITS
from hardware.populations import Population

FIXES = {
    "models": "train with a model that the chip has, or give a target file with other models",
    "weight_bits": "quantize with fewer weight bits",
    "weight_exponent": "quantize with a larger weight scale, or fewer state fraction bits",
    "max_delay": "shorten the delay",
    "schedule": "raise delays in the cycle, or leave a projection out",
    "fan_in": "prune synapses, or put a population between",
    "state_bits": "the specification has states of this width; no network of it fits",
    "decay_bits": "quantize with fewer coefficient bits",
    "bias_mantissa_bits": "round biases to fewer bits, or leave them out",
    "graded_spike_bits": "encode the input as spikes",
    "neurons_per_core": "give a core room for a neuron",
    "synapse_bits_per_core": "prune synapses of the neuron, or use fewer weight bits",
    "memory_bits_per_core": "prune synapses of the neuron, or use fewer weight bits",
    "input_axons_per_core": "prune synapses of the neuron, or put a smaller population between",
    "output_axons_per_core": "send to fewer populations, or make the targets smaller",
    "delay_slots_per_core": "shorten the delay",
    "parameter_sets_per_core": "let neurons share parameters",
    "thresholds_per_core": "let neurons share thresholds",
    "synapse_formats_per_core": "use the same widths and exponents in several projections",
    "cores": "use more chips, fewer neurons or fewer weight bits",
}


@dataclass(frozen=True)
class Violation:
    """What does not fit.

    Attributes:
        what: name of the limit, or ``models``, ``schedule``, ``cores``.
        where: population, projection, input, or the network.
        limit, actual: numbers; text for models and schedules.
        unit, source, confidence: of the limit.
        fix: what can be done.
        neuron: the worst neuron where the limit is one neuron's, else None. neurons: how many break it.
    """

    what: str
    where: str
    limit: int | str
    actual: int | str
    unit: str
    source: str
    confidence: str
    fix: str
    neuron: int | None = None
    neurons: int | None = None

    def __str__(self) -> str:
        worst = "" if self.neuron is None else f" (neuron {self.neuron}; {self.neurons} in all)"
        unit = f" {self.unit}" if self.unit else ""
        name = self.what.replace("_", " ")
        return f"{self.where}: {name}: limit {self.limit}{unit}, actual {self.actual}{worst}; {self.fix}"


def all_violations(needs: Needs) -> list[Violation]:
    """All that can be told before anything is placed."""
    found = _network(needs)
    for population in needs.program.populations:
        found += _population(needs, population)
        found += _single_neurons(needs, population)
    for projection in needs.program.projections:
        where, wiring = f"projection '{projection.name}'", needs.wirings[projection.name]
        found += _over(needs, "weight_bits", where, projection.synapses.weight_bits)
        found += _over(needs, "weight_exponent", where, projection.exponent)
        if needs.schedule is None:
            found += _over(needs, "max_delay", where, wiring.delay)
    return found


def blocked(needs: Needs, found: list[Violation]) -> set[str]:
    """Populations of which no core can hold a single neuron."""
    per_core = {name for name in needs.target.limits if name.endswith("_per_core")}
    return {one.where.split("'")[1] for one in found if one.what in per_core and one.where.startswith("population")}


def too_many_cores(needs: Needs, cores: int, allowed: int, why: Limit) -> Violation:
    """More cores than there are."""
    return Violation("cores", "network", allowed, cores, "cores", why.source, why.confidence, FIXES["cores"])


def _over(
    needs: Needs, name: str, where: str, actual: int, neuron: int | None = None, neurons: int | None = None
) -> list[Violation]:
    most = needs.target.most(name)
    if most is None or actual <= most:
        return []
    limit = needs.target.limits[name]
    return [
        Violation(name, where, most, actual, limit.unit, limit.source, limit.confidence, FIXES[name], neuron, neurons)
    ]


def _network(needs: Needs) -> list[Violation]:
    found = []
    least = needs.target.most("state_bits")
    if least is not None and least < STATE_BITS:
        limit = needs.target.limits["state_bits"]
        found.append(
            Violation(
                "state_bits", "network", least, STATE_BITS, "bits", limit.source, limit.confidence, FIXES["state_bits"]
            )
        )
    if needs.schedule is not None:
        way = " -> ".join([item.source for item in needs.schedule.cycle] + [needs.schedule.cycle[0].source])
        delay = sum(item.delay for item in needs.schedule.cycle)
        found.append(
            Violation(
                "schedule",
                f"cycle {way}",
                f"{len(needs.schedule.cycle)} steps",
                f"delay {delay}",
                "",
                "every message costs a step",
                "A",
                FIXES["schedule"],
            )
        )
    for item in needs.program.inputs:
        if (item.low, item.high) not in ((0, 1), (0, 0), (1, 1)):
            bits = max(item.high.bit_length(), (-item.low - 1).bit_length() if item.low < 0 else 0) + (item.low < 0)
            found += _over(needs, "graded_spike_bits", f"input '{item.name}'", bits)
    for population in needs.program.populations:
        if population.most_spikes > 1:  # a count is a graded payload (FP-3.9)
            where, bits = f"population '{population.name}'", population.most_spikes.bit_length()
            found += _over(needs, "graded_spike_bits", where, bits)
    return found


def _population(needs: Needs, population: Population) -> list[Violation]:
    target, where = needs.target, f"population '{population.name}'"
    found = []
    if not target.runs(population.model):
        found.append(
            Violation(
                "models",
                where,
                ", ".join(target.models),
                population.model,
                "",
                target.models_source,
                target.models_confidence,
                FIXES["models"],
            )
        )
    if population.model != "cuba_lif":  # its decays have 12 bits
        found += _over(needs, "decay_bits", where, population.coefficient_bits)
    fan_in = fan_ins(needs, population)
    most = target.most("fan_in")
    worst = int(fan_in.argmax())
    broken = 0 if most is None else int((fan_in > most).sum())
    found += _over(needs, "fan_in", where, int(fan_in[worst]), worst, broken)
    bits = target.most("bias_mantissa_bits")
    if bits is not None:
        wide = bias_bits(population.bias, target.number("bias_exponent"))
        worst = int(wide.argmax())
        found += _over(needs, "bias_mantissa_bits", where, int(wide[worst]), worst, int((wide > bits).sum()))
    return found


def fan_ins(needs: Needs, population: Population) -> np.ndarray:
    """int64 (N,): synapses onto each neuron, all projections together."""
    wirings = needs.into[population.name]
    return sum((wiring.fan_in for wiring in wirings), np.zeros(population.size, np.int64))


def bias_bits(bias: np.ndarray, exponent: int) -> np.ndarray:
    """int64 (N,): bits of each bias's mantissa, sign left out, with the best exponent up to ``exponent``."""
    magnitude = np.abs(bias.astype(np.int64))
    for _ in range(exponent):
        magnitude = np.where(magnitude % 2 == 0, magnitude // 2, magnitude)
    return np.array([int(value).bit_length() for value in magnitude], np.int64)


def _single_neurons(needs: Needs, population: Population) -> list[Violation]:
    """Limits of a core that one neuron alone breaks."""
    where = f"population '{population.name}'"
    axons = fan_ins(needs, population)
    bits = np.zeros(population.size, np.int64)
    for wiring in needs.into[population.name]:
        bits += wiring.fan_in * int(wiring.packing.bits(np.array(1), wiring.synapse_bits))
    found: dict[str, Violation] = {}
    for neuron in (int(axons.argmax()), int(bits.argmax())):
        for name, amount in needs.of(population, np.array([neuron])).exceeds(needs.target):
            if name not in found or amount > int(found[name].actual):
                found[name] = _over(needs, name, where, amount, neuron, _breaking(needs, population, name))[0]
    return list(found.values()) + _output_axons(needs, population)


def _breaking(needs: Needs, population: Population, name: str) -> int:
    """Neurons that break a limit of a core alone, where they are not alike each looked at."""
    alike = all(wiring.projection.synapses.kind == "dense" for wiring in needs.into[population.name])
    if alike:
        return population.size
    limit = needs.target.most(name) or 0
    each = (needs.of(population, np.array([neuron])).amounts()[name] for neuron in range(population.size))
    return sum(amount > limit for amount in each)


def _output_axons(needs: Needs, population: Population) -> list[Violation]:
    """A neuron whose dense synapses reach more cores than it has axons for."""
    slices = [
        population_bound(needs, target, population_bits(needs, target))
        for target in needs.program.populations
        if any(
            wiring.projection.target == target.name and wiring.projection.synapses.kind == "dense"
            for wiring in needs.out_of[population.name]
        )
    ]
    where = f"population '{population.name}'"
    return _over(needs, "output_axons_per_core", where, max(slices, default=0), 0, population.size)
