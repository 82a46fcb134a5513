"""Neurons that send several spikes per step (FP-3.9): the most that the integers can send, chosen before their formats.

A difference equation has no such limit unless the reading gives one (option ``max_spikes``).
"""

from __future__ import annotations

from dataclasses import replace

from export.errors import QuantizationError
from export.interchange.steps import StepNetwork, StepPopulation
from export.quantization.recordings import Statistics
from hardware.models import MOST_SPIKES
from hardware.program import Program

LIMITS = tuple(count for count in MOST_SPIKES.values() if count > 1)
"""What a neuron that sends several spikes per step can be limited to."""

SPARE = 2
"""A limit is taken that is so many times what the calibration inputs reach; the last one, where it is not reached."""


def is_open(population: StepPopulation) -> bool:
    """Whether it sends several spikes per step without a limit."""
    return population.options.get("spikes") == "multi" and "max_spikes" not in population.options


def limited(network: StepNetwork, seen: Statistics | None) -> StepNetwork:
    """The network with a limit for every population that sends several spikes per step; a note says which and why.

    Args:
        seen: what it does on the calibration inputs; without, the largest limit is taken.

    Raises:
        QuantizationError: the calibration inputs reach the largest limit; names the layer.
    """
    chosen, notes = {}, []
    for population in network.populations:
        if not is_open(population):
            continue
        reached = None if seen is None else int(seen.most_spikes.get(population.name, 0))
        chosen[population.name] = _limit(population.name, reached)
        why = "no calibration inputs say how many it sends" if reached is None else f"calibration sends up to {reached}"
        notes.append(
            f"layer {population.name}: in integers at most {chosen[population.name]} spikes in one step ({why}); "
            "--max-spikes (max_spikes) sets another limit"
        )
    return _with(network, chosen, notes)


def _limit(name: str, reached: int | None) -> int:
    if reached is None:
        return LIMITS[-1]
    if reached >= LIMITS[-1]:
        raise QuantizationError(
            f"layer {name}: it sends up to {reached} spikes in one step, integers less than {LIMITS[-1]} (FP-3.9); "
            "lower its input or raise its threshold, say max_spikes, or run it in float (--float-only)"
        )
    return next((limit for limit in LIMITS if SPARE * reached <= limit), LIMITS[-1])


def as_recorded(network: StepNetwork, program: Program) -> StepNetwork:
    """The network with the limits of a Program that was made from it."""
    names = {item.name for item in program.populations}
    chosen = {
        item.name: program.population(item.name).most_spikes
        for item in network.populations
        if is_open(item) and item.name in names
    }
    return _with(network, chosen, [])


def _with(network: StepNetwork, limits: dict[str, int], notes: list[str]) -> StepNetwork:
    if not limits:
        return network
    populations = tuple(
        replace(item, options={**item.options, "max_spikes": str(limits[item.name])}) if item.name in limits else item
        for item in network.populations
    )
    return replace(network, populations=populations, notes=(*network.notes, *notes))
