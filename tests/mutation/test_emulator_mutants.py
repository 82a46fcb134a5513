"""Every seeded mutant of the emulator is caught by the check that is named beside it, and the unchanged emulator passes
all checks.
"""

from __future__ import annotations

import pytest

from hardware.emulator import Emulator
from hardware.models import MODELS
from tests.mutation.checks import CHECKS, first_difference
from tests.mutation.mutants import MUTANTS, DelayedDrive, Mutant, mutated_emulator


def test_there_are_at_least_25_mutants_of_all_models() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert {mutant.model for mutant in MUTANTS} == set(MODELS)


CASES = [
    (check, model)
    for check in CHECKS
    for model, spec in MODELS.items()
    if (check != "wrap edge" or model == "cuba_lif") and (check != "threshold tie" or spec.spiking)
]


@pytest.mark.parametrize(("check", "model"), CASES)
def test_the_unchanged_emulator_passes(check: str, model: str) -> None:
    assert first_difference(check, model, Emulator) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_check_catches(mutant: Mutant) -> None:
    found = first_difference(mutant.check, mutant.model, lambda program: mutated_emulator(mutant, program))
    assert found is not None, f"'{mutant.check}' does not see '{mutant.name}'"
    assert found.clause.startswith("FP-3.")
    assert found.value_a != found.value_b


@pytest.mark.parametrize("which", ["input", "recurrent"])
@pytest.mark.parametrize("model", [name for name, spec in MODELS.items() if spec.spiking])
def test_one_more_step_of_delay_is_caught(which: str, model: str) -> None:
    found = first_difference("run from zero", model, lambda program: Emulator(program, drive=DelayedDrive(which)))
    assert found is not None
