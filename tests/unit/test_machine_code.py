"""Machine code of compiled kernels: never that of other sources, no heap of old folders, read-only installations."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")

from numba.core.dispatcher import Dispatcher

from hardware.machine_code import UNUSED_S, cache_folder, prepare, usable_folder
from tests.paths import ROOT

PACKAGES = ("hypr.kernels.cpu", "hardware.compiled")


def sources(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


FILES = [(package, path.name) for package in PACKAGES for path in sorted(sources(package).glob("*.py"))]
OLD, OTHER, NEW = "kernels-0123456789abcdef", "kernels-fedcba9876543210", "kernels-00000000000000ff"


def folder(base: Path, name: str, unused_s: float) -> Path:
    """A cache folder with machine code in it that was last used so long ago."""
    made = base / name
    (made / "cpu_0").mkdir(parents=True)
    (made / "cpu_0" / "scan.nbc").write_bytes(b"code")
    moment = time.time() - unused_s
    os.utime(made, (moment, moment))
    return made


@pytest.mark.parametrize(("package", "edited"), FILES)
def test_an_edit_of_any_file_of_the_kernels_gives_another_folder(package: str, edited: str, tmp_path: Path) -> None:
    unused = shutil.ignore_patterns("__pycache__")
    copied = Path(shutil.copytree(sources(package), tmp_path / "copied", ignore=unused))
    before = cache_folder(copied)
    assert before.name == cache_folder(sources(package)).name
    assert before.parent == copied / "__pycache__"
    (copied / edited).write_text((copied / edited).read_text() + "\n# edited\n")
    assert cache_folder(copied).name != before.name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_compiled_function_lies_in_the_folder_of_the_key(package: str) -> None:
    names = [f"{package}.{Path(name).stem}" for owner, name in FILES if owner == package and name != "__init__.py"]
    objects = [value for name in names for value in vars(importlib.import_module(name)).values()]
    found = {Path(value.py_func.__code__.co_filename) for value in objects if isinstance(value, Dispatcher)}
    assert len(found) > 3 and {path.parent for path in found} == {sources(package)}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_kernels_in_use_have_that_folder(package: str, tmp_path: Path) -> None:
    compiling = importlib.import_module(f"{package}.compile")
    assert compiling._FOLDER.name == cache_folder(sources(package)).name
    assert cache_folder(sources(package), tmp_path).parent == tmp_path


def test_an_edited_called_file_compiles_anew(tmp_path: Path) -> None:
    """A step calls an instruction of another file: its machine code of before the edit must not run after it."""
    shutil.copytree(ROOT / "hardware", tmp_path / "hardware", ignore=shutil.ignore_patterns("__pycache__", "lava"))
    script = (
        "import numpy as np; from hardware.compiled.neurons import li; u = np.full((1, 1), -3.0); "
        "li(np.array([[0.0], [0.5]]), u, np.zeros(1, np.int32)); print(int(u[0, 0]))"
    )

    def halved() -> int:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    instructions = tmp_path / "hardware" / "compiled" / "vectors.py"
    assert (halved(), halved()) == (-1, -1)
    instructions.write_text(instructions.read_text().replace('"llvm.trunc"', '"llvm.floor"'))
    assert halved() == -2
    assert len(list((instructions.parent / "__pycache__").glob("kernels-*"))) == 2


def test_a_read_only_installation_keeps_its_machine_code_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, temporary = tmp_path / "file", tmp_path / "temporary"
    place.write_text("")  # a folder cannot be made in it, as in one that is read-only
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    found = usable_folder(sources(PACKAGES[1]), place / "cache")
    assert found is not None and found.name == cache_folder(sources(PACKAGES[1])).name
    assert found.is_dir() and found.parent.parent == temporary
    assert found.parent.stat().st_mode & 0o077 == 0
    found.parent.chmod(0o777)  # what others can write is not loaded
    assert usable_folder(sources(PACKAGES[1]), place / "cache") is None


def test_where_nothing_can_be_written_kernels_compile_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from hardware.compiled import compile as compiling

    monkeypatch.setattr(compiling, "_FOLDER", None)
    doubled: Any = compiling.compiled(_double)
    assert doubled(21) == 42 and isinstance(doubled, Dispatcher)
    assert type(vars(doubled)["_cache"]).__name__ == "NullCache"


def _double(x: int) -> int:
    return 2 * x


def test_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"holds no \.py file"):
        cache_folder(tmp_path)


def test_a_new_folder_removes_those_unused_for_an_hour(tmp_path: Path) -> None:
    old, other = folder(tmp_path, OLD, UNUSED_S + 60), folder(tmp_path, OTHER, UNUSED_S - 60)
    prepare(tmp_path / NEW)
    assert (tmp_path / NEW).is_dir() and other.is_dir() and not old.exists()


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    names = ("kernels-0123", "kernels-0123456789ABCDEF", f"{OLD}.old", "gpu-0123456789abcdef")
    kept = [folder(tmp_path, name, 1e6) for name in names]
    (tmp_path / "math.cpython-311.pyc").write_bytes(b"")
    prepare(tmp_path / NEW)
    assert all((path / "cpu_0" / "scan.nbc").exists() for path in kept)
    assert (tmp_path / "math.cpython-311.pyc").exists()


def test_a_folder_that_is_there_is_marked_as_used_and_removes_nothing(tmp_path: Path) -> None:
    current, old = folder(tmp_path, OTHER, UNUSED_S + 60), folder(tmp_path, OLD, UNUSED_S + 60)
    prepare(current)
    assert old.is_dir() and time.time() - current.stat().st_mtime < UNUSED_S / 2
    prepare(tmp_path / NEW)
    assert current.is_dir() and not old.exists()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    prepare(tmp_path / "file" / OLD)
    assert (tmp_path / "file").read_text() == ""
