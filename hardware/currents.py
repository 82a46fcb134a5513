"""FP-2.7: what a synaptic current can reach, by interval arithmetic, and whether a program's currents are valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hardware.chain import Layer, worst_current
from hardware.errors import ProgramError
from hardware.populations import Input, Population, Projection

MAX_CURRENT = 2**31 - 1 - 2**26
"""Largest reachable |I|: leaves room for the other terms of a state's update within 32 bits."""

Interval = tuple[np.ndarray, np.ndarray]


def drive_interval(
    population: Population, projections: Sequence[Projection], ranges: Mapping[str, tuple[int, int]]
) -> Interval:
    """Smallest and largest current without bias, int64 (N,) each.

    Args:
        projections: those into the population.
        ranges: source name -> (low, high) of its values.
    """
    least = most = np.zeros(population.size, np.int64)
    for projection in projections:
        low, high = projection.interval(*ranges[projection.source])
        least, most = least + low, most + high
    return least, most


def check_current(population: Population, drive: Interval) -> None:
    """Refuse currents that some engine could not hold.

    Raises:
        ProgramError: names population, neuron, limit, actual value and fix.
    """
    where = f"population '{population.name}'"
    bias = population.bias.astype(np.int64)
    reach = np.maximum(drive[1] + bias, -(drive[0] + bias))
    n = int(np.argmax(reach))
    if reach[n] > MAX_CURRENT:
        raise ProgramError(
            f"{where}: neuron {n} can receive a current of {int(reach[n])}, the limit is {MAX_CURRENT} (FP-2.7); "
            "lower an exponent or the input range"
        )
    if population.model == "cuba_lif":
        worst = np.maximum(drive[1], -drive[0])
        broken = np.flatnonzero(~_cuba_fits(worst, population.parameters["du"]))
        if broken.size:
            raise ProgramError(
                f"{where}: the current u of neuron {int(broken[0])} can leave 32 bits (drive up to "
                f"{int(worst[broken[0]])}, FP-3.5); lower an exponent"
            )


def _cuba_fits(worst: np.ndarray, du: np.ndarray) -> np.ndarray:
    """FP-3.5 wraps once: where inputs can exceed two ranges in one step, u must still stay within 32 bits for ever.

    Args:
        worst: int64 (N,), largest |drive|.
    """
    charge = worst << 6
    excess = np.maximum(charge - 2**24, 0)
    leak = du.astype(np.int64) + 1  # of 4096
    bound = np.where(excess == 0, 2**23, 2**23 + excess * 4096 // np.maximum(leak, 1) + 4096)
    result: np.ndarray = (bound + charge <= MAX_CURRENT) & ((excess == 0) | (leak > 0))
    return result


def valid_in_first_version(layers: Sequence[Layer], accepted: Input) -> bool:
    """Whether a chain keeps the narrower bound of specification 1.0, sum |W| times the largest |input|."""
    largest = max(abs(accepted.low), abs(accepted.high))
    for layer in layers:
        worst = worst_current(layer, largest)
        if int((worst + np.abs(layer.bias.astype(np.int64))).max()) > MAX_CURRENT:
            return False
        if layer.model == "cuba_lif" and not _cuba_fits(worst, layer.parameters["du"]).all():
            return False
        largest = 1
    return True


def mantissa_bound(projection: Projection, low: int, high: int) -> int:
    """Largest possible sum of ``|W| |s|`` over a row, for source values in ``[low, high]``: what an accumulator of any
    order of summation must hold."""
    largest = max(abs(low), abs(high))
    target, _, weight = projection.synapses.coo()
    rows = np.bincount(target, np.abs(weight.astype(np.float64)), projection.synapses.shape[0])
    return int(rows.max()) * largest
