"""The floors of the building: hypr above export above hardware; nothing below knows what is above, and no two files
need each other.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT

TORCH = ("export.torch_network", "export.torch_steps")
"""What of export/ needs torch: behind ``to_torch``, which imports it when called, and :mod:`hypr.integer`."""

LAUNCHER = ("__init__.py", "environment.py", "paths.py", "runtime.py")
"""What of hardware/lava runs in the main environment; the other files import Lava."""


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in ``sys.modules`` of a fresh interpreter after ``statement``."""
    script = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def every_module(package: str) -> str:
    """A statement that imports every module of a package, but those for the interpreter that has Lava and those behind
    ``to_torch``."""
    names = []
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.parent.name in ("processes", "examples") or (path.parent.name == "lava" and path.name not in LAUNCHER):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return "import " + ", ".join(name for name in names if name not in TORCH)


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


def test_export_needs_torch_behind_to_torch_alone() -> None:
    assert "torch" in loaded_after("import export.torch_network")
    assert loaded_after("import export.torch_network").isdisjoint({"lava", "hypr"})
    importers = {name for name, others in graph().items() if others & set(TORCH)}
    assert importers == {"export", "export.torch_network", "hypr.integer.engine"}
    top = {node.module for node in ast.parse(modules()["export"]).body if isinstance(node, ast.ImportFrom)}
    assert "export.quantization.quantize" in top and top.isdisjoint(TORCH)


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


# ---- between files

ROOMS: dict[str, set[str]] = {
    "interchange": set(),
    "quantization": {"interchange"},
    "onnx": {"interchange"},
    "verification": {"interchange", "quantization", "onnx"},
    "bundle": {"interchange", "quantization", "onnx", "verification"},
}
"""Rooms of export/, each with those below it. Quantization and ONNX are on one floor and do not know each other."""


def modules() -> dict[str, str]:
    """Dotted name -> source of every file of the product."""
    found = {}
    for top in ("hypr", "export", "hardware"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return found


def imported(source: str, known: Iterable[str]) -> set[str]:
    """Those of the known modules that a source imports anywhere: in functions and for annotations too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "relative imports are not followed here"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in inside}
    return names & set(known)


@cache
def graph() -> dict[str, set[str]]:
    """Module -> modules of the product that it imports."""
    found = modules()
    return {name: imported(source, found) - {name} for name, source in found.items()}


def mutual(of: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Pairs that import each other, each in alphabetical order."""
    return {(a, b) for a, others in of.items() for b in others if a < b and a in of[b]}


def room(module: str) -> str:
    """Second part of a name: the room, or a file that stays beside the rooms; nothing for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def test_imports_in_functions_and_for_annotations_are_seen() -> None:
    first = "if TYPE_CHECKING:\n    from a.second import Thing\n"
    second = "def make():\n    from a import first, other\n    return first\n"
    known = {"a": "", "a.first": first, "a.second": second}
    found = {name: imported(source, known) for name, source in known.items()}
    assert found == {"a": set(), "a.first": {"a.second"}, "a.second": {"a", "a.first"}}
    assert mutual(found) == {("a.first", "a.second")}


def test_no_two_files_import_each_other() -> None:
    assert sum(map(len, graph().values())) > len(graph())
    assert mutual(graph()) == set()


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_of_export_know_only_those_below(name: str) -> None:
    of_room = {module: others for module, others in graph().items() if module.startswith(f"export.{name}.")}
    assert len(of_room) >= 3
    allowed = {name, "errors", "files", *ROOMS[name]}
    wrong = {
        f"{module} imports {other}"
        for module, others in of_room.items()
        for other in others
        if other.partition(".")[0] == "export" and room(other) not in allowed
    }
    assert wrong == set()


def test_what_lies_below_all_rooms_knows_none_of_them() -> None:
    assert graph()["export.errors"] == set()
    assert graph()["export.files"] == {"export.errors", "hardware.aside"}
    beside = {room(name) for name in graph() if name.startswith("export.")}
    assert beside == {*ROOMS, "errors", "files", *(room(name) for name in TORCH)}
    assert graph()["export.torch_steps"] | graph()["export.torch_network"] <= {
        "export.torch_steps", *(name for name in graph() if name.partition(".")[0] == "hardware")
    }  # fmt: skip
