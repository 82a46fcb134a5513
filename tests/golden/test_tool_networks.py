"""Networks of six tools against those tools' own outputs, and their integers on several engines."""

from __future__ import annotations

import pytest

from tests.paths import cases_folder
from tests.tool_networks import Case, integers, judge, load_cases


def cases() -> list[Case]:
    return load_cases(cases_folder("tools"))


def test_every_network_of_the_tools_runs_as_its_tool_ran_it_or_is_refused_by_name() -> None:
    wrong = {case.name: line for case in cases() for verdict, line, _ in [judge(case)] if verdict == "silent"}
    assert not wrong


@pytest.mark.parametrize("tool", ["snntorch", "norse", "sinabs", "spikingjelly", "spyx", "rockpool"])
def test_networks_of_a_tool_are_exact_in_float(tool: str) -> None:
    found = [judge(case)[:2] for case in cases() if case.name.startswith(tool)]
    assert len(found) >= 9 and {verdict for verdict, _ in found} == {"exact"}, found


def test_networks_that_have_an_integer_form_are_equal_on_all_engines_and_the_others_are_refused() -> None:
    verdicts = {case.name: integers(case, judge(case)[2]) for case in cases()}
    assert not [item for item in verdicts.items() if item[1][0] == "unequal"]
    assert sum(verdict == "equal" for verdict, _ in verdicts.values()) >= 87
