"""Where the Lava runtime lies, which interpreter it takes, and what is said when it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.errors import RuntimeMissing
from hardware.lava import environment, interpreter, paths


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def claims_to_be(version: str, path: Path) -> str:
    """A program that answers like a Python interpreter of that version which lies at ``path``."""
    return f"#!/bin/sh\necho '{version}'\necho '{path}'\n"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No interpreter anywhere, and an empty home."""
    for name in ("HYPR_LAVA_PYTHON", "HYPR_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_missing_runtime_is_one_line_with_the_command_to_type(monkeypatch, tmp_path):
    monkeypatch.setenv("HYPR_HOME", str(tmp_path))
    assert not paths.status().installed
    with pytest.raises(RuntimeMissing, match="run 'hypr lava install'") as caught:
        paths.python_path()
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_the_folder_depends_on_the_pins_and_not_on_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setenv("HYPR_HOME", str(tmp_path))
    before = paths.default_folder()
    assert before.parent == tmp_path
    pins = tmp_path / "requirements.txt"
    pins.write_text(paths.REQUIREMENTS.read_text())
    monkeypatch.setattr(paths, "REQUIREMENTS", pins)
    assert paths.default_folder() == before
    pins.write_text("numpy==1.26.3\n")
    assert paths.default_folder() != before


def test_pins_are_name_and_version_only():
    for line in paths.REQUIREMENTS.read_text().split():
        name, version = line.split("==")
        assert name and version


@pytest.mark.parametrize("stamp", [None, "", "{", "[]", '{"versions": 3}'])
def test_a_half_made_runtime_does_not_count_as_installed(tmp_path, stamp):
    executable(tmp_path / "bin" / "python", "#!/bin/sh\n")
    if stamp is not None:
        (tmp_path / "complete.json").write_text(stamp)
    assert not paths.status(tmp_path).installed


def test_a_runtime_whose_interpreter_is_gone_does_not_count_as_installed(tmp_path):
    (tmp_path / "complete.json").write_text(json.dumps({"versions": {"numpy": "1.26.4"}}))
    site = tmp_path / "lib" / "python3.10" / "site-packages"
    for file, text in (("numpy-1.26.4.dist-info/RECORD", "numpy/__init__.py,,\n"), ("numpy/__init__.py", "")):
        (site / file).parent.mkdir(parents=True)
        (site / file).write_text(text)
    assert not paths.status(tmp_path).installed
    executable(tmp_path / "bin" / "python", "#!/bin/sh\n")
    assert paths.status(tmp_path).installed
    (site / "numpy" / "__init__.py").unlink()
    assert paths.status(tmp_path).problem == "broken: numpy 1.26.4 is missing or not whole"


def test_no_interpreter_anywhere_says_how_to_get_one(bare):
    with pytest.raises(
        RuntimeMissing,
        match=r"no working Python 3\.10 .*pyenv install 3\.10.*uv python install 3\.10.*HYPR_LAVA_PYTHON",
    ):
        interpreter.find_interpreter()


def test_a_shim_that_exists_and_fails_is_passed_over_for_pyenvs_own_folder(bare):
    executable(bare / "bin" / "python3.10", "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    for version in ("3.10.4", "3.10.13", "3.10.9", "3.11.7"):
        path = bare / "pyenv" / "versions" / version / "bin" / "python3.10"
        executable(path, claims_to_be("3 10", path))
    assert interpreter.find_interpreter() == bare / "pyenv/versions/3.10.13/bin/python3.10"


def test_an_interpreter_of_another_version_is_passed_over(bare):
    executable(bare / "bin" / "python3.10", claims_to_be("3 11", bare))
    with pytest.raises(RuntimeMissing):
        interpreter.find_interpreter()


def test_one_on_the_path_comes_before_pyenv(bare):
    for path in (bare / "bin" / "python3.10", bare / "pyenv" / "versions" / "3.10.1" / "bin" / "python3.10"):
        executable(path, claims_to_be("3 10", path))
    assert interpreter.find_interpreter() == bare / "bin" / "python3.10"


def test_uv_is_asked_last_and_may_install(bare):
    python = bare / "uv" / "python3.10"
    executable(
        bare / "bin" / "uv",
        f"#!/bin/sh\nif [ $2 = install ]; then /bin/touch {bare}/done; fi\n"
        f"if [ -e {bare}/done ]; then echo {python}; else exit 2; fi\n",
    )
    executable(python, claims_to_be("3 10", python))
    assert interpreter.find_interpreter() == python


def test_a_wrong_hypr_lava_python_is_named_and_nothing_else_is_tried(bare, monkeypatch):
    executable(bare / "bin" / "python3.10", claims_to_be("3 10", bare / "bin" / "python3.10"))
    monkeypatch.setenv("HYPR_LAVA_PYTHON", "/no/such/python")
    with pytest.raises(RuntimeMissing, match="HYPR_LAVA_PYTHON is '/no/such/python'"):
        interpreter.find_interpreter()


def test_a_failing_installation_is_one_line_and_leaves_nothing_that_counts(bare, monkeypatch):
    monkeypatch.setenv("HYPR_HOME", str(bare / "hypr"))
    python = bare / "bin" / "python3.10"
    script = claims_to_be("3 10", python) + 'if [ "$1" = -m ]; then echo "no room on disk" >&2; exit 1; fi\n'
    executable(python, script)
    with pytest.raises(RuntimeMissing, match="making the virtual environment failed: no room on disk"):
        environment.install()
    assert not paths.status().installed


def test_a_folder_that_cannot_be_written_is_one_line(bare, monkeypatch):
    (bare / "file").write_text("")
    monkeypatch.setenv("HYPR_HOME", str(bare / "file"))
    with pytest.raises(RuntimeMissing, match=r"cannot write .*/file \(.*\); set HYPR_HOME to another folder"):
        environment.install()


def test_the_main_side_imports_neither_lava_nor_torch():
    modules = (
        "hardware.lava, hardware.lava.runtime, hardware.lava.environment, hardware.lava.paths, hardware.lava.schedule"
    )
    unwanted = "('lava', 'torch', 'scipy', 'numba')"
    script = f"import {modules}, sys; print([m for m in sys.modules if m.split('.')[0] in {unwanted}])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.strip() == "[]"
