"""Signals: one line, the right exit code, and nothing left behind."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end import lava_faults as faults
from tests.end_to_end.lava_faults import HUP, INT, KILL, STOP, TERM, disturb, launcher, main_side, make_place
from tests.end_to_end.lava_support import runtime_python, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")

STEPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


@pytest.fixture
def place(tmp_path):
    made = make_place(tmp_path, STEPS)
    yield made
    shutil.rmtree(made.tmp)


MAIN = [
    ("SIGTERM to main", faults.send(TERM), 143, ["ended by SIGTERM"]),
    ("SIGHUP to main", faults.send(HUP), 129, ["ended by SIGHUP"]),
    ("SIGINT to main", faults.send(INT), 130, ["interrupted"]),
    ("Ctrl-C in a terminal", faults.send_terminal(INT), 130, ["interrupted"]),
    ("SIGTERM to worker", faults.send_worker(TERM), 4, ["exit code -15", "SIGTERM"]),
    ("SIGHUP to worker", faults.send_worker(HUP), 4, ["exit code -1"]),
    ("SIGINT to worker", faults.send_worker(INT), 4, ["Lava worker"]),
    ("SIGKILL to worker", faults.send_worker(KILL), 4, ["exit code -9", "SIGKILL"]),
    ("SIGKILL to worker's group", faults.send_group(KILL), 4, ["exit code -9"]),
    ("SIGTERM to an actor", faults.send_actor(TERM), 4, ["a Lava process died", "-15"]),
    ("SIGHUP to an actor", faults.send_actor(HUP), 4, ["a Lava process died"]),
    ("SIGKILL to an actor", faults.send_actor(KILL), 4, ["a Lava process died", "-9"]),
]


@pytest.mark.parametrize(("action", "code", "words"), [row[1:] for row in MAIN], ids=[row[0] for row in MAIN])
def test_a_signal_ends_a_run_of_the_main_side(place, action, code, words):
    disturb(main_side(place), place, action).assert_clean(code, words)
    assert place.left() == []


LAUNCHER = [
    ("SIGTERM to launcher", faults.send(TERM), 143, ["ended by SIGTERM"]),
    ("SIGHUP to launcher", faults.send(HUP), 129, ["ended by SIGHUP"]),
    ("SIGINT to launcher", faults.send(INT), 130, ["interrupted"]),
    ("Ctrl-C on launcher", faults.send_terminal(INT), 130, ["interrupted"]),
    ("SIGTERM to all of launcher", faults.send_terminal(TERM), 143, ["ended by SIGTERM"]),
    ("hang-up of the launcher's terminal", faults.send_terminal(HUP), 129, ["ended by SIGHUP"]),
    ("SIGKILL to launcher's actor", faults.send_actor(KILL), 4, ["a Lava process died", "-9"]),
    ("SIGTERM to launcher's actor", faults.send_actor(TERM), 4, ["a Lava process died", "-15"]),
]


@pytest.mark.parametrize(("action", "code", "words"), [row[1:] for row in LAUNCHER], ids=[row[0] for row in LAUNCHER])
def test_a_signal_ends_the_exported_launcher(place, action, code, words):
    disturb(launcher(place), place, action).assert_clean(code, words)
    assert place.left() == []
    assert not (place.folder / "out.npz").exists()


@pytest.mark.parametrize("command", [main_side, launcher], ids=["main", "launcher"])
def test_what_a_killed_run_left_is_swept_by_the_next(place, command):
    outcome = disturb(command(place), place, faults.send(KILL))
    assert outcome.code == -9
    assert wait_until(lambda: not [pid for pid in outcome.processes if faults.alive(pid)], 15.0)
    assert any(name.startswith("hypr-lava-") for name in place.left())
    ended = disturb(main_side(place), place, faults.send(TERM))
    ended.assert_clean(143, ["ended by SIGTERM"])
    assert place.left() == []
    assert [segment for segment in outcome.segments if segment.exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("send", [faults.send, faults.send_terminal], ids=["main", "all"])
@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (HUP, 129), (INT, 130)])
def test_a_signal_ends_a_verification_in_several_processes(place, number, code, send):
    command = [sys.executable, "-m", "tests.end_to_end.lava_fault_scripts", "verify", str(place.folder)]
    outcome = disturb(command, place, send(number))
    outcome.assert_clean(code, ["interrupted" if number == INT else "ended by"])
    assert place.left() == []


@pytest.mark.slow
def test_a_verification_in_several_processes_that_is_killed_leaves_no_process(place):
    command = [sys.executable, "-m", "tests.end_to_end.lava_fault_scripts", "verify", str(place.folder)]
    outcome = disturb(command, place, faults.send(KILL))
    assert outcome.code == -9
    assert wait_until(lambda: not [pid for pid in outcome.processes if faults.alive(pid)], 15.0)
    disturb(main_side(place), place, faults.send(TERM)).assert_clean(143, ["ended by SIGTERM"])
    assert place.left() == []


def test_a_run_that_hangs_is_given_up_after_the_time_asked_for(place):
    outcome = disturb(main_side(place, "timeout=1"), place, faults.send_actor(STOP))
    late = "stood still" in outcome.stderr  # a worker that takes long to end is ended itself, 3 s later
    outcome.assert_clean(4, ["stood still for 4 s" if late else "no time step finished for 1 s"])
    assert place.left() == []


def test_a_launcher_that_hangs_is_given_up_after_the_time_asked_for(place):
    outcome = disturb(launcher(place, "--timeout", "1"), place, faults.send_actor(STOP))
    start = "during the start" in outcome.stderr  # the fourth process is there before the first step
    outcome.assert_clean(4, ["no time step finished for 4 s" if start else "no time step finished for 1 s"])
    assert place.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("action", [faults.send_actor(STOP), faults.send_group(STOP)], ids=["actor", "whole worker"])
def test_a_hang_is_found_within_fifteen_seconds_by_default(place, action):
    def in_the_middle(main: int) -> None:
        time.sleep(3.0)  # a start, which the fourth process is part of, may take a minute
        action(main)

    outcome = disturb(main_side(place), place, in_the_middle)
    outcome.assert_clean(4, ["12 s"] if "15 s" not in outcome.stderr else ["15 s"], within_s=22.0)
    assert place.left() == []
