"""Dependencies: their licences stand on a page, and what is installed fits together."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

PAGE = ROOT / "docs" / "licences.md"


@pytest.fixture(scope="module")
def licences() -> Any:
    spec = spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> dict[str, list[str]]:
    """Package -> version, licence, needed by."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines[1:]}


def test_the_page_lists_every_dependency_with_its_tested_version_and_licence(licences):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    tested, found = licences.tested_versions(), rows()
    for text in project["dependencies"]:
        direct = canonicalize_name(Requirement(text).name)
        assert direct in found and direct in tested, direct
        assert "hypr" in found[direct][2].split(", ")
    for name, (version, licence, users) in found.items():
        assert version == tested.get(name, "any"), name
        assert licence and users, name


def test_the_page_lists_everything_that_is_brought_along_here(licences):
    brought = licences.closure()
    assert len(brought) > 30
    of_cuda = {name for name in brought if name == "triton" or name.startswith(("nvidia-", "cuda-"))}
    assert set(brought) - set(rows()) <= of_cuda
    for name, (package, _) in brought.items():
        if name in rows() and package.version.split("+")[0] == rows()[name][0]:
            assert licences.licence(package) == rows()[name][1], name


def test_the_page_names_no_place_to_install_from():
    assert set(re.findall(r"https?://([^/)]+)", PAGE.read_text("utf-8"))) <= {"www.apache.org"}


def test_what_is_installed_fits_together():
    if find_spec("pip") is None:
        pytest.skip("no pip in this environment")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
