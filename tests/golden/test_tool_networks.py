"""Networks of six tools against those tools' own outputs, and their integers on several engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import quantize, quantized_nir, read
from export.errors import ExportError
from tests.paths import ROOT, cases_folder
from tests.tool_networks import Case, check, judge, load_cases


def cases() -> list[Case]:
    return load_cases(cases_folder("tools"))


def test_every_network_of_the_tools_runs_as_its_tool_ran_it_or_is_refused_by_name() -> None:
    wrong = {case.name: line for case in cases() for verdict, line, _ in [judge(case)] if verdict == "silent"}
    assert not wrong


@pytest.mark.parametrize("tool", ["snntorch", "norse", "sinabs", "spikingjelly", "spyx", "rockpool"])
def test_networks_of_a_tool_are_exact_in_float(tool: str) -> None:
    found = [judge(case)[:2] for case in cases() if case.name.startswith(tool)]
    assert len(found) >= 9 and {verdict for verdict, _ in found} == {"exact"}, found


def test_networks_that_have_an_integer_form_are_equal_on_all_engines_and_the_page_says_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stored page is what this run gives: ``python -m tests.tool_networks FOLDER --integers --page ...``."""
    assert check(cases_folder("tools"), True, tmp_path / "tools.md") == 0
    assert "integers: equal 136, refused 0, unequal 0" in capsys.readouterr().out
    assert (tmp_path / "tools.md").read_text() == (ROOT / "docs" / "reference" / "tools.md").read_text()


def test_every_network_that_has_integers_has_a_nir_file_that_gives_them_again() -> None:
    """Start values of states included: they stand in the metadata of their nodes."""
    started = 0
    for case in cases()[::2]:
        calibration = case.arrays()["input_spikes"].transpose(1, 0, 2)
        try:
            reading = case.reading(judge(case)[2])
            program = quantize(read(case.folder / f"{case.name}.nir"), calibration=calibration, reading=reading)
        except ExportError:
            continue
        assert quantize(quantized_nir(program)) == program, case.name
        started += any(np.any(value) for p in program.populations for value in p.initial.values())
    assert started >= 5
