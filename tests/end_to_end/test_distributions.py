"""What is built from the repository holds all of it: sdist and wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("hypr", "export", "hardware")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout here")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """(members of the sdist, members of the wheel), built from a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for kind in ("sdist", "wheel"):
        script = f"from setuptools.build_meta import build_{kind} as build; build({str(out)!r})"
        subprocess.run([sys.executable, "-c", script], cwd=copy, capture_output=True, text=True, check=True)
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return source, set(wheel.namelist())


def test_the_source_distribution_is_the_whole_repository(built, tracked):
    assert sorted(set(tracked) - built[0]) == []


def test_the_wheel_holds_every_file_of_the_packages(built, tracked):
    wanted = {name for name in tracked if name.split("/")[0] in TOPS and not name.endswith("README.md")}
    assert sorted(wanted - built[1]) == []
    assert not [name for name in built[1] if name.split("/")[0] in ("tests", "benchmarks", "docs")]
