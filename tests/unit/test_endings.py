"""Signals that end a process wait for what belongs together, in the main process and in those of ``--jobs``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

MAIN = "ended = endings.ending_raises()"
POOL = "ended = contextlib.nullcontext(); pool_ends.initialise(os.getppid())"

START = """
import contextlib, os, signal, sys
from pathlib import Path
from export.verification import pool_ends
from hardware.lava import endings, job_folder
{where}
def signalled(function):
    def call(*arguments, **options):
        found = function(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return found
    return call
with ended:
    {what}
    print("went on")
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: job folders hold sockets, whose names have a limit."""
    with tempfile.TemporaryDirectory(prefix="e-", dir="/tmp") as folder:
        yield Path(folder)


def run(where: str, what: str, tmp: Path) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
    command = [sys.executable, "-c", START.format(where=where, what=what.replace("\n", "\n    "))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize("where", [MAIN, POOL], ids=["main", "pool"])
def test_what_is_held_comes_to_its_end_before_a_signal_raises(where, place):
    what = "with endings.held():\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('to its end', flush=True)"
    assert run(where, what, place) == (143, "to its end\n")


@pytest.mark.parametrize("where", [MAIN, POOL], ids=["main", "pool"])
@pytest.mark.parametrize("step", ["mkdir", "write_text", "rename"])
def test_a_signal_while_a_job_folder_is_made_leaves_none(where, step, place):
    what = f"Path.{step} = signalled(Path.{step})\nwith job_folder.job_folder():\n    print('not reached')"
    assert run(where, what, place) == (143, "")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("where", [MAIN, POOL], ids=["main", "pool"])
def test_a_signal_while_a_job_folder_is_removed_leaves_none(where, place):
    what = "with job_folder.job_folder():\n    Path.rename = signalled(Path.rename)"
    assert run(where, what, place) == (143, "")
    assert list(place.iterdir()) == []


LOST = """
class Lost:
    def __del__(self):
        {lost}
def told(lost):
    print("told of", lost.exc_value, flush=True)
    {inside}
before, sys.unraisablehook = sys.unraisablehook, told
with endings.ending_raises():
    {where}
"""


def run_lost(lost: str, where: str, inside: str = "pass") -> tuple[int, str, str]:
    head = START.partition("{where}")[0]
    code = head + LOST.format(lost=lost, inside=inside, where=where.replace("\n", "\n    "))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"


def test_a_signal_while_python_tells_of_a_lost_exception_is_raised_by_the_next_that_waits():
    found = run_lost("raise ValueError(1)", "Lost()\nprint('after', flush=True)\nendings.raise_if_asked()", TERMINATE)
    assert found == (143, "told of 1\nafter\n", "")


def test_a_signal_that_is_lost_is_not_told_of_and_raised_by_the_next_that_waits():
    found = run_lost(TERMINATE, "Lost()\nprint('after', flush=True)\nendings.raise_if_asked()")
    assert found == (143, "after\n", "")


def test_what_a_look_raises_where_it_is_lost_is_raised_by_the_next_look():
    where = (
        "def look():\n    raise SystemExit(7)\nimport time\nwith endings.looked_at(look, 0.05):\n"
        "    Lost()\n    print('after', flush=True)\n    time.sleep(30)"
    )
    assert run_lost("time.sleep(0.2)", where) == (7, "after\n", "")
