"""Which Lava Process runs a population: Lava's own LIF wherever that is exact, one of this package's otherwise.

``cuba_lif`` is Lava's LIF (FP-3.5). ``lif`` with reset to zero is Lava's LIF whose current is forgotten at every step
(du 4095), with dv = 4096 - A, vth = TH / 64 and the exponents of what comes in lowered by the 6 bits by which Lava
shifts it, wherever

* K is 12, TH a multiple of 64, every exponent into the population at least 6, and
* the reachable ``|drive|`` of all its projections together is at most 2^23 - 1: beyond, Lava's u wraps while FP-3.4
  saturates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hardware.currents import drive_interval
from hardware.fixed_point import WRAP
from hardware.populations import Population
from hardware.program import Program

INPUT_SHIFT = 6
"""Bits by which Lava's fixed-point LIF shifts what arrives."""

DECAY_SHIFT = 12
BIAS_MANTISSA = (-(2**12), 2**12 - 1)
MAX_BIAS_EXPONENT = 7
"""A chip's bias is a 13-bit mantissa and a 3-bit exponent; Lava's CPU model takes wider ones."""

BIASES, CHIP = "biases", "chip"
"""Key and value in the metadata of a program whose biases were rounded for a chip."""

PROCESSES = {
    "brf": "BRF",
    "se_adlif": "SEAdLIF",
    "alif": "ALIF",
    "lif": "LeakyLIF",
    "cuba_lif": "LavaLIF",
    "li": "LI",
}
"""Model -> Process of this package that runs it."""

LAVAS_LIF = "LavaLIF"
"""Lava's own LIF, with waiting, rest and trace around it."""


@dataclass(frozen=True)
class Assignment:
    """What runs a population.

    Attributes:
        population: its name.
        process: name of the Process's class.
        lavas_own: whether its arithmetic is Lava's own.
        reason: why not, in a few words; empty where it is, and for models that Lava does not have.
        wide_biases: neurons whose bias no 13-bit mantissa and 3-bit exponent can hold: Lava's CPU model runs them, a
            chip's LIF does not. Only where Lava's LIF is used.
    """

    population: str
    process: str
    lavas_own: bool
    reason: str = ""
    wide_biases: tuple[int, ...] = ()

    def __str__(self) -> str:
        name = "Lava's own LIF" if self.lavas_own else self.process
        wide = f"; bias too wide for a chip at {_listed(self.wide_biases)}" if self.wide_biases else ""
        return f"{self.population}: {name}{f' ({self.reason})' if self.reason else ''}{wide}"


def assign(program: Program) -> tuple[Assignment, ...]:
    """A Process for each population, in the program's order, for fixed-point arithmetic."""
    return tuple(_assign(program, population) for population in program.populations)


def _assign(program: Program, population: Population) -> Assignment:
    reason = _not_lavas(program, population)
    if reason is not None:
        process = "CubaLIF" if population.model == "cuba_lif" else PROCESSES[population.model]
        return Assignment(population.name, process, False, reason)
    return Assignment(population.name, LAVAS_LIF, True, wide_biases=wide_biases(population.bias))


def _not_lavas(program: Program, population: Population) -> str | None:
    """None where Lava's LIF is exact, else why it is not."""
    if population.model not in ("lif", "cuba_lif"):
        return ""
    if population.most_spikes > 1:
        return "several spikes per step"
    if population.options["reset"] != "zero":
        return {"subtract": "reset by subtraction", "none": "no reset"}[population.options["reset"]]
    if population.options["reset_at"] != "same":
        return {"next": "reset at the next step", "carried": "carried-over reset"}[population.options["reset_at"]]
    if population.options["fires"] != "above":
        return "its threshold itself fires"
    if population.model == "cuba_lif":
        return None
    if population.shifts["K"] != DECAY_SHIFT:
        return f"K is {population.shifts['K']}, not {DECAY_SHIFT}"
    if (population.parameters["TH"] % 2**INPUT_SHIFT).any():
        return "a threshold is no multiple of 64"
    into = program.into(population.name)
    low = min((projection.exponent for projection in into), default=INPUT_SHIFT)
    if low < INPUT_SHIFT:
        return f"an exponent is {low}, below {INPUT_SHIFT}"
    least, most = drive_interval(population, into, program.ranges)
    reach = int(np.maximum(most, -least).max())
    if reach >= WRAP:
        return f"its input can reach {reach} and Lava's current wraps above {WRAP - 1}"
    return None


def wide_biases(bias: np.ndarray) -> tuple[int, ...]:
    """Neurons whose bias is no 13-bit mantissa times a power of two up to 2^7."""
    return tuple(int(n) for n in np.flatnonzero(bias_parts(bias)[2]))


def bias_parts(bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mantissa and exponent as Lava's LIF takes them, int32 (N,) each, and bool (N,): a mantissa of more than 13 bits.

    The smallest exponent that a chip's mantissa allows; 0 where none does, so that the value is exact in any case.
    """
    value = bias.astype(np.int32)
    mantissa, exponent = value.copy(), np.zeros_like(value)
    wide = np.ones(value.shape, bool)
    for shift in range(MAX_BIAS_EXPONENT + 1):
        shifted = value >> shift
        fits = wide & (shifted << shift == value) & (shifted >= BIAS_MANTISSA[0]) & (shifted <= BIAS_MANTISSA[1])
        mantissa[fits], exponent[fits] = shifted[fits], shift
        wide &= ~fits
    return mantissa, exponent, wide


def rounded_bias(bias: np.ndarray) -> np.ndarray:
    """int32 (N,): the nearest biases that a chip's LIF can hold, half upward (FP-1.4); the largest ones where a bias is
    beyond all."""
    value = bias.astype(np.int64)
    result = np.full(value.shape, BIAS_MANTISSA[1], np.int64) << MAX_BIAS_EXPONENT
    result[value < 0] = BIAS_MANTISSA[0] << MAX_BIAS_EXPONENT
    done = np.zeros(value.shape, bool)
    for shift in range(MAX_BIAS_EXPONENT + 1):
        near = (value + (1 << shift >> 1)) >> shift
        fits = ~done & (near >= BIAS_MANTISSA[0]) & (near <= BIAS_MANTISSA[1])
        result[fits] = near[fits] << shift
        done |= fits
    return result.astype(np.int32)


def with_chip_biases(program: Program) -> Program:
    """The program with the biases of populations on Lava's LIF rounded to what a chip's LIF can hold: another program,
    to be verified as such, where any of them changes. Its metadata say so.

    Raises:
        ProgramError: a rounded bias takes a current beyond the limit of FP-2.7.
    """
    wide = {item.population for item in assign(program) if item.wide_biases}
    populations = tuple(
        replace(item, bias=rounded_bias(item.bias)) if item.name in wide else item for item in program.populations
    )
    return replace(program, populations=populations, metadata={**program.metadata, BIASES: CHIP})


def _listed(neurons: tuple[int, ...]) -> str:
    shown = ", ".join(str(n) for n in neurons[:5])
    return f"neurons {shown}{f' and {len(neurons) - 5} more' if len(neurons) > 5 else ''}"
