"""Traces of independent emulators, and of an emulator that was checked against the Loihi chip, by the checking
commands; other engines are compared with them in tests of their own."""

from __future__ import annotations

import pytest

from tests import graph_traces, loihi_traces
from tests.paths import golden_folder


def test_the_numpy_emulator_gives_every_integer_of_two_independent_emulators_and_limits_are_kept() -> None:
    assert graph_traces.check(golden_folder("graphs"), ["numpy"]) == 0


@pytest.mark.slow
def test_the_oracle_gives_every_integer_of_two_independent_emulators() -> None:
    assert graph_traces.check(golden_folder("graphs"), ["reference"]) == 0


def test_current_based_neurons_are_those_of_an_emulator_of_the_loihi_chip() -> None:
    engines = ["reference", "numpy", "compiled", "torch", "onnx"]
    assert loihi_traces.check(golden_folder("loihi1"), engines) == 0
