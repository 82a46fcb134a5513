"""Machine code of the CPU kernels: never that of other sources, and no heap of old folders."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("numba")

from numba.core.dispatcher import Dispatcher

from hypr.kernels.cpu import compile as compiling
from hypr.kernels.cpu.compile import UNUSED_S, cache_folder, prepare

SOURCES = Path(compiling.__file__).parent
FILES = sorted(path.name for path in SOURCES.glob("*.py"))
OLD, OTHER, NEW = "kernels-0123456789abcdef", "kernels-fedcba9876543210", "kernels-00000000000000ff"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the folder of the kernels, without what numba made of it."""
    return Path(shutil.copytree(SOURCES, tmp_path / "cpu", ignore=shutil.ignore_patterns("__pycache__")))


def folder(base: Path, name: str, unused_s: float) -> Path:
    """A cache folder with machine code in it that was last used so long ago."""
    made = base / name
    (made / "cpu_0").mkdir(parents=True)
    (made / "cpu_0" / "scan.nbc").write_bytes(b"code")
    moment = time.time() - unused_s
    os.utime(made, (moment, moment))
    return made


@pytest.mark.parametrize("edited", FILES)
def test_an_edit_of_any_file_of_the_kernels_gives_another_folder(copied: Path, edited: str) -> None:
    before = cache_folder(copied)
    assert before.name == cache_folder(SOURCES).name
    assert before.parent == copied / "__pycache__"
    (copied / edited).write_text((copied / edited).read_text() + "\n# edited\n")
    assert cache_folder(copied).name != before.name


def test_every_compiled_function_lies_in_the_folder_of_the_key() -> None:
    names = [f"hypr.kernels.cpu.{name.removesuffix('.py')}" for name in FILES if name != "__init__.py"]
    objects = [value for name in names for value in vars(importlib.import_module(name)).values()]
    found = {Path(value.py_func.__code__.co_filename) for value in objects if isinstance(value, Dispatcher)}
    assert len(found) > 3 and {path.parent for path in found} == {SOURCES}


def test_the_kernels_in_use_have_that_folder(tmp_path: Path) -> None:
    assert compiling._FOLDER.name == cache_folder(SOURCES).name
    assert cache_folder(SOURCES, tmp_path).parent == tmp_path


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
