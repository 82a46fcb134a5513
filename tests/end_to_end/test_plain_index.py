"""The pinned versions resolve where nothing but the ordinary package index is known."""

from __future__ import annotations

import pytest

from tests.plain_index import VERSIONS, find_python, resolve


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_pins_resolve_on_the_ordinary_package_index(version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here; install one, for example with pyenv")
    outcome = resolve(python)
    if not outcome.reachable:
        pytest.skip(outcome.text)
    assert outcome.resolved, outcome.text
