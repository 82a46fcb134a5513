"""Decays of a population as reals and as integers: which leaks are lost, and how far time constants are off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.interchange.steps import StepPopulation
from export.quantization.tensors import CUBA_ONE
from hardware.models import MAX_COEFFICIENT_BITS

_DECAYS = {
    "brf": {},
    "se_adlif": {"alpha": "A", "beta": "Be"},
    "alif": {"alpha": "A", "rho": "Rho"},
    "lif": {"alpha": "A"},
    "cuba_lif": {"alpha_syn": "du", "alpha_mem": "dv"},
    "li": {"kappa": "A"},
}
_NEAR = 0.1
"""A leak that would vanish gets bits until its time constant is off by at most this part."""

_SMALLEST = 1e-9
"""A leak below this is meant as none: the difference of a decay from 1 is rounding of float32 or less."""


def decays(population: StepPopulation) -> dict[str, np.ndarray]:
    """What states keep of themselves per step, (N,) each; of a resonator the radius of its rotation."""
    p = population.parameters
    if population.kind == "brf":
        s = np.minimum(p["dt"] * p["omega"], 1.0)
        c = np.maximum(np.sqrt(1.0 - s * s) - p["dt"] * p["b_offset"], 0.0)
        return {"b_offset": np.broadcast_to(np.hypot(c, s), (population.size,))}
    return {name: np.broadcast_to(p[name], (population.size,)) for name in _DECAYS.get(population.kind, {})}


def integer_decays(
    model: str, parameters: Mapping[str, np.ndarray], shifts: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """The same of a population's integers, under the names of :func:`decays`."""
    if model == "brf":
        c, s = (parameters[name].astype(np.float64) for name in ("C", "S"))
        return {"b_offset": np.hypot(c, s) / 2.0 ** shifts["K"]}
    if model == "cuba_lif":
        du, dv = (parameters[name].astype(np.float64) for name in ("du", "dv"))
        return {"alpha_syn": 1.0 - (du + 1) / CUBA_ONE, "alpha_mem": 1.0 - dv / CUBA_ONE}
    return {name: parameters[key] / 2.0 ** shifts["K"] for name, key in _DECAYS.get(model, {}).items()}


def lost(real: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """bool (N,): a leak of which integers have less than a tenth."""
    return np.asarray((1.0 - real > _SMALLEST) & (1.0 - whole < 0.1 * (1.0 - real)))


def gone(real: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """bool (N,): a memory of more than one step in a thousand that integers do not have."""
    return np.asarray((real > 1e-3) & (whole <= 0.0))


def time_constant_error(real: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(N,): how far time constants in steps are off, relative; 0 where there is no finite one to compare."""
    usable = (real > 1e-3) & (1.0 - real > _SMALLEST) & (whole > 0) & (whole < 1)
    error = np.zeros(real.shape)
    error[usable] = np.abs(np.log(real[usable]) / np.log(whole[usable]) - 1.0)
    return error


def drift(real: np.ndarray, whole: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,): by how much the part of a state that is left differs most within so many steps, and after how many."""
    after = np.unique(np.geomspace(1, max(1, steps), 200).astype(np.int64))
    apart = np.abs(np.power(real, after[:, None]) - np.power(whole, after[:, None]))
    most = np.argmax(apart, axis=0)
    return apart[most, np.arange(real.size)], after[most]


def bits_that_keep_leaks(population: StepPopulation, bits: int) -> int:
    """Fraction bits of coefficients, `bits` or more, at which no leak of a population rounds away."""
    if population.kind == "cuba_lif":  # 12 bits by its clause
        return bits
    real, whole = decays(population), _rounded(population, bits)
    vanished = {name: lost(value, whole[name]) for name, value in real.items()}
    if not any(np.any(which) for which in vanished.values()):
        return bits
    for more in range(bits + 1, MAX_COEFFICIENT_BITS):
        whole = _rounded(population, more)
        if all(
            not np.any(lost(value, whole[name]))
            and np.all(time_constant_error(value, whole[name])[vanished[name]] <= _NEAR)
            for name, value in real.items()
        ):
            return more
    return MAX_COEFFICIENT_BITS


def _rounded(population: StepPopulation, bits: int) -> dict[str, np.ndarray]:
    """Decays as integers of so many bits have them; of a resonator as ``quantize_brf`` rounds C and S."""
    one = 2.0**bits
    if population.kind != "brf":
        return {name: np.floor(value * one + 0.5) / one for name, value in decays(population).items()}
    p = population.parameters
    s = np.minimum(p["dt"] * p["omega"], 1.0)
    c = np.floor((np.sqrt(1.0 - s * s) - p["dt"] * p["b_offset"]) * one + 0.5)
    s = np.floor(s * one + 0.5)
    c = np.maximum(np.minimum(np.minimum(c, one - 1), np.floor(np.sqrt(4.0**bits - s * s))), 0.0)
    return {"b_offset": np.broadcast_to(np.hypot(c, s) / one, (population.size,))}
