"""Every seeded mistake about graphs is caught by the check that is named beside it, and the unchanged emulator passes
all checks."""

from __future__ import annotations

import pytest

from hardware.emulator import Emulator
from tests.mutation.graph_mutants import CHECKS, MUTANTS, GraphMutant, caught, mutated


def test_there_are_at_least_15_mutants_and_every_check_has_one() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    assert {mutant.check for mutant in MUTANTS} == set(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_the_unchanged_emulator_passes(check: str) -> None:
    assert caught(check, lambda program, given: Emulator(program).run(given, "all")) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_check_catches(mutant: GraphMutant) -> None:
    with mutated(mutant) as run:
        assert caught(mutant.check, run) is not None, f"'{mutant.check}' does not see '{mutant.name}'"
