"""What is built from the repository holds all of it: sdist and wheel."""

from __future__ import annotations

import os
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
    """(members of the sdist, members of the wheel, the wheel unpacked), built from a copy of the checkout."""
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
        wheel.extractall(out / "installed")
        return source, set(wheel.namelist()), out / "installed"


def test_the_source_distribution_is_the_whole_repository(built, tracked):
    assert sorted(set(tracked) - built[0]) == []


def test_the_wheel_holds_every_file_of_the_packages(built, tracked):
    wanted = {name for name in tracked if name.split("/")[0] in TOPS and not name.endswith("README.md")}
    assert sorted(wanted - built[1]) == []
    assert not [name for name in built[1] if name.split("/")[0] in ("tests", "benchmarks", "docs")]


def installed(built, cwd, *arguments):
    """A command of what lies in the wheel, away from the checkout."""
    script = "import sys; sys.argv[0] = 'hypr'; from hypr.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(built[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [("bench",), ("bench", "memory"), ("bench", "training", "--help")])
@pytest.mark.parametrize("beside", [False, True])
def test_benchmarks_of_an_installed_wheel_explain_themselves(built, tmp_path, arguments, beside):
    other = built[2] / "benchmarks"  # a package of that name that somebody else installed
    if beside:
        other.mkdir(exist_ok=True)
        (other / "__init__.py").write_text("raise SystemExit('not ours')\n")
    try:
        done = installed(built, tmp_path, *arguments)
    finally:
        shutil.rmtree(other, ignore_errors=True)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done
    assert "clone" in done.stderr and "benchmarks" in done.stderr and "not ours" not in done.stderr


def test_a_wheel_has_its_recipes_targets_and_page(built, tmp_path):
    assert "digits-brf" in installed(built, tmp_path, "train", "--list").stdout
    script = (
        f"import hypr, hypr.mapping, hypr.report; assert hypr.__file__.startswith({str(built[2])!r}), hypr.__file__"
    )
    environment = {**os.environ, "PYTHONPATH": str(built[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
