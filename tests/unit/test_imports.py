"""The floors of the building: hypr above export above hardware; nothing below knows what is above."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.paths import ROOT

LAUNCHER = ("__init__.py", "environment.py", "runtime.py")
"""What of hardware/lava runs in the main environment; the other files import Lava."""


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in ``sys.modules`` of a fresh interpreter after ``statement``."""
    script = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def every_module(package: str) -> str:
    """A statement that imports every module of a package, but those for the interpreter that has Lava."""
    names = []
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.parent.name == "processes" or (path.parent.name == "lava" and path.name not in LAUNCHER):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return "import " + ", ".join(names)


@pytest.mark.parametrize("forbidden", ["torch", "nir", "onnx", "onnxruntime", "lava", "numba", "export", "hypr"])
def test_hardware_imports_numpy_only(forbidden: str) -> None:
    assert forbidden not in loaded_after("import hardware")


@pytest.mark.parametrize("forbidden", ["torch", "nir", "onnx", "lava", "export", "hypr"])
def test_hardware_has_no_way_up(forbidden: str) -> None:
    assert forbidden not in loaded_after(every_module("hardware"))


@pytest.mark.parametrize("forbidden", ["torch", "lava", "hypr"])
def test_export_imports_neither_training_nor_lava(forbidden: str) -> None:
    assert forbidden not in loaded_after("import export")


@pytest.mark.parametrize("forbidden", ["torch", "lava", "hypr"])
def test_export_has_no_way_up(forbidden: str) -> None:
    assert forbidden not in loaded_after(every_module("export"))


def test_help_imports_no_numerical_library() -> None:
    quiet = "with contextlib.redirect_stdout(io.StringIO()): run(['--help'])"
    loaded = loaded_after(f"import contextlib, io\nfrom hypr.cli.app import run\n{quiet}")
    assert loaded.isdisjoint({"torch", "numpy", "onnx", "nir", "matplotlib", "rich"})


def test_package_list_is_complete() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("hypr", "export", "hardware")
        for path in Path(ROOT / top).rglob("*.py")
    }
    assert listed == present
