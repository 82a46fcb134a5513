"""Lava's own LIF runs a population exactly where its conditions hold, and is used there and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware import Dense, Input, Population, Program, Projection
from hardware.lava.assignment import (
    BIAS_MANTISSA,
    BIASES,
    CHIP,
    MAX_BIAS_EXPONENT,
    Assignment,
    assign,
    bias_parts,
    rounded_bias,
    with_chip_biases,
)


def lif_program(
    weights: list[int] = [127, 126],  # noqa: B006
    exponent: int = 15,
    threshold: int = 6400,
    shift: int = 12,
    reset: str = "zero",
    bias: int = 0,
) -> Program:
    one = np.ones(1, np.int32)
    population = Population(
        "p", 1, "lif", bias * one, {"A": 2000 * one, "TH": threshold * one}, {"K": shift}, {"reset": reset}
    )
    weight = Dense(np.array([weights], np.int8))
    return Program((Input("in", 2),), (population,), (Projection("w", "in", "p", weight, exponent),), ("p",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"bias": 2**22 + 1}, ""),
        ({"reset": "subtract"}, "reset by subtraction"),
        ({"shift": 13}, "K is 13"),
        ({"threshold": 6401}, "no multiple of 64"),
        ({"exponent": 5}, "an exponent is 5"),
        ({"exponent": 6}, ""),
        ({"exponent": 16}, "its input can reach 16580608 and Lava's current wraps above 8388607"),
    ],
)
def test_a_lif_runs_on_lavas_own_where_every_condition_holds(change, words):
    (found,) = assign(lif_program(**change))
    assert found.lavas_own == (not words) and words in found.reason
    assert found.process == ("LavaLIF" if not words else "LeakyLIF")


def test_the_reach_of_all_projections_together_counts():
    def program(weight: int) -> Program:
        first = lif_program([64, 64], exponent=16)  # 2^23 alone
        second = Projection("v", "in", "p", Dense(np.array([[weight, 0]], np.int8)), 16)
        return Program(first.inputs, first.populations, (replace(first.projections[0], exponent=15), second), ("p",))

    assert assign(program(63))[0].lavas_own  # 2^22 + 63 * 2^16 < 2^23
    assert not assign(program(64))[0].lavas_own  # 2^23: the first value that wraps


def test_cuba_lif_runs_on_lavas_own_always_and_the_other_models_never():
    one = np.ones(1, np.int32)
    cuba = Population("c", 1, "cuba_lif", one, {"du": one, "dv": one, "vth": one}, {})
    li = Population("r", 1, "li", one, {"A": one}, {"K": 3})
    found = assign(Program((Input("in", 1),), (cuba, li), (), ("r",)))
    assert found == (Assignment("c", "LavaLIF", True), Assignment("r", "LI", False))
    assert [str(item) for item in found] == ["c: Lava's own LIF", "r: LI"]


def chip_values() -> set[int]:
    low, high = BIAS_MANTISSA
    return {m << e for e in range(MAX_BIAS_EXPONENT + 1) for m in range(low, high + 1)}


def test_biases_that_a_chip_holds_are_kept_and_others_named_and_rounded_to_the_nearest():
    values = sorted(chip_values())
    rng = np.random.default_rng(2)
    biases = np.concatenate([rng.integers(-(2**20), 2**20, 3000), rng.choice(values, 1000), [2**23 - 1, 1 - 2**23]])
    mantissa, exponent, wide = bias_parts(biases.astype(np.int32))
    holds = np.isin(biases, values)
    assert np.array_equal(wide, ~holds) and 0.1 < holds.mean() < 0.9
    assert np.array_equal(mantissa.astype(np.int64) << exponent, biases)
    held = mantissa[holds]
    assert BIAS_MANTISSA[0] <= held.min() and held.max() <= BIAS_MANTISSA[1] and exponent.max() <= MAX_BIAS_EXPONENT
    rounded = rounded_bias(biases.astype(np.int32))
    assert set(rounded.tolist()) <= set(values)
    distance = np.abs(np.array(values)[None] - biases[:200, None]).min(axis=1)
    assert np.array_equal(np.abs(rounded[:200] - biases[:200]), distance)
    assert np.array_equal(rounded[holds], biases[holds])
    assert rounded[-2:].tolist() == [values[-1], values[0]]


def test_a_program_for_a_chip_has_other_biases_on_lavas_lif_only():
    program = lif_program(bias=8193)
    assert str(assign(program)[0]) == "p: Lava's own LIF; bias too wide for a chip at neurons 0"
    rounded = with_chip_biases(program)
    assert rounded.populations[0].bias.tolist() == [8192] and not assign(rounded)[0].wide_biases
    assert with_chip_biases(rounded) == rounded != program
    assert rounded.metadata[BIASES] == CHIP and BIASES not in program.metadata
    elsewhere = lif_program(bias=8193, reset="subtract")
    assert with_chip_biases(elsewhere) == elsewhere
