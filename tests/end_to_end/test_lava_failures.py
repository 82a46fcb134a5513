"""Lava's hazards end in one clear error, with no process and no shared memory left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hardware.lava import runtime
from hardware.lava.process_group import mapped_segments
from hardware.lava.request import LavaError
from tests.end_to_end.lava_scripts import brf_network
from tests.end_to_end.lava_support import (
    ROOT,
    children_of,
    main_environment,
    no_member_left,
    runtime_python,
    wait_until,
    worker_of,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


class Interference:
    """A progress callback that does something to the worker once, in the middle of the run."""

    def __init__(self, action) -> None:
        self.action, self.worker = action, 0
        self.segments: set[Path] = set()

    def __call__(self, task: int, step: int, total: int) -> None:
        if self.worker or step < 1:
            return
        self.worker = worker_of(os.getpid())
        self.segments = mapped_segments(self.worker)
        assert self.segments  # otherwise the test below would prove nothing
        self.action(self.worker)

    def assert_nothing_is_left(self) -> None:
        assert self.worker
        assert no_member_left(self.worker)
        assert [s for s in self.segments if s.exists()] == []


NO_HANG_S = 120.0
"""A run that is not ended hangs for ever; a busy machine may take a while to end one."""


def run_with(action, timeout_s: float = 60.0) -> tuple[str, Interference, float]:
    program, inputs = brf_network(T=5000, B=20)  # a minute and more: the action comes in the middle
    interference = Interference(action)
    started = time.monotonic()
    with pytest.raises(LavaError) as caught:
        runtime.run(program, inputs, connections="dense", timeout_s=timeout_s, progress=interference)
    return str(caught.value), interference, time.monotonic() - started


def test_a_lava_process_that_is_killed_ends_the_run_with_its_exit_code():
    message, interference, seconds = run_with(lambda worker: os.kill(children_of(worker)[-1], signal.SIGKILL))
    assert "a Lava process died with exit code -9 in the middle of the run" in message
    assert seconds < NO_HANG_S
    interference.assert_nothing_is_left()


def test_a_worker_that_is_killed_ends_the_run():
    message, interference, seconds = run_with(lambda worker: os.kill(worker, signal.SIGKILL))
    assert "the Lava worker ended with exit code -9 (SIGKILL: " in message and "(task 0, step " in message
    assert seconds < NO_HANG_S
    interference.assert_nothing_is_left()


def test_a_whole_group_that_is_killed_leaves_no_shared_memory():
    message, interference, _ = run_with(kill_group)
    assert "the Lava worker ended with exit code -9" in message
    interference.assert_nothing_is_left()


def kill_group(worker: int) -> None:
    """SIGKILL to everybody, also to Python's resource tracker, which would remove the shared memory otherwise."""
    os.killpg(worker, signal.SIGKILL)


def test_a_lava_process_that_hangs_is_noticed_by_the_worker():
    stop = lambda worker: os.kill(children_of(worker)[-1], signal.SIGSTOP)  # noqa: E731
    message, interference, seconds = run_with(stop, timeout_s=2.0)
    assert "no time step finished for 2 s" in message
    assert seconds < NO_HANG_S
    interference.assert_nothing_is_left()


def test_a_worker_that_hangs_is_noticed_by_the_main_process(monkeypatch):
    monkeypatch.setattr(runtime, "GRACE_S", 1.0)
    message, interference, seconds = run_with(lambda worker: os.killpg(worker, signal.SIGSTOP), timeout_s=2.0)
    assert "the Lava worker stood still for 3 s (task 0, step" in message
    assert seconds < NO_HANG_S
    interference.assert_nothing_is_left()


def test_an_error_of_the_caller_in_the_middle_of_a_run_leaves_nothing():
    def fail(worker: int) -> None:
        raise ZeroDivisionError

    interference = Interference(fail)
    with pytest.raises(ZeroDivisionError):
        runtime.run(*brf_network(T=5000, B=20), connections="dense", progress=interference)
    interference.assert_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupting_or_killing_the_main_process_ends_the_worker_too(number):
    command = [sys.executable, "-m", "tests.end_to_end.lava_scripts", "long_run"]
    main = subprocess.Popen(
        command, cwd=ROOT, env=main_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in main.stdout or ():
            if int(line.split()[1]) > 0:
                break
        worker = worker_of(main.pid)
        segments = mapped_segments(worker)
        assert segments
        main.send_signal(number)
        main.wait(timeout=NO_HANG_S)
        assert wait_until(lambda: no_member_left(worker))
        assert [s for s in segments if s.exists()] == []
        if number == signal.SIGINT:
            assert "KeyboardInterrupt" in (main.stderr.read() if main.stderr else "")
    finally:
        main.kill()
        main.communicate()


def test_the_folder_of_a_run_is_removed_after_success_and_after_failure(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program, inputs = brf_network(T=5)
    assert runtime.run(program, inputs, connections="dense").output.shape[:2] == (5, 2)
    with pytest.raises(LavaError):
        runtime.run(program, np.tile(inputs, (1000, 1, 1)), connections="dense", progress=Interference(kill_group))
    assert list(tmp_path.iterdir()) == []


def in_runtime(python: Path, script: str) -> str:
    done = subprocess.run(
        [str(python), "-m", "tests.end_to_end.lava_scripts", script],
        cwd=ROOT,
        env=main_environment(),
        capture_output=True,
        text=True,
        timeout=2 * NO_HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_exception_in_a_process_model_comes_back_with_its_traceback_and_lava_stays_usable(python):
    lines = in_runtime(python, "failing_process").splitlines()
    assert "a Lava process failed: ArithmeticError: injected fault" in lines
    assert "traceback: ArithmeticError: injected fault" in lines
    seconds = next(line for line in lines if line.startswith("seconds"))
    assert float(seconds.split()[1]) < NO_HANG_S
    assert lines[-1].startswith("(60, 2, ")


def test_a_second_run_of_a_network_is_refused_and_says_what_to_do(python):
    lines = in_runtime(python, "second_run").splitlines()
    assert lines[-1].endswith(
        "this network has run already, and a network runs once; build another one for another run"
    )


def test_a_process_that_cannot_be_built_is_an_error_and_no_hang(python):
    assert "MemoryError injected fault" in in_runtime(python, "failing_build")


def test_a_process_that_stands_still_while_it_is_built_is_an_error_and_no_hang(python):
    lines = in_runtime(python, "standing_start").splitlines()
    assert lines[-1].startswith("no time step finished for 4 s (during the start)")
