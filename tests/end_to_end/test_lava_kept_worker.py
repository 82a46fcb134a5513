"""One worker for several runs on Lava: the same integers, no second start, and a failure does not end the rest."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from hardware.emulator import emulate
from hardware.lava import runtime
from hardware.lava.process_group import living_members
from hardware.lava.request import LavaError
from tests.end_to_end.lava_scripts import brf_network
from tests.end_to_end.lava_support import assert_same, runtime_python, wait_until, worker_of


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


def test_runs_share_a_worker_and_equal_the_emulator(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    workers = []
    with runtime.kept_worker():
        for samples in (1, 3, 2):
            program, inputs = brf_network(T=20, B=samples)
            seen = lambda *at: workers.append(worker_of(os.getpid()))  # noqa: E731
            found = runtime.run(program, inputs, "all", connections="batched", progress=seen)
            assert_same(found, emulate(program, inputs, "all"), f"{samples} samples")
    assert len(set(workers)) == 1 and len(workers) >= 3
    assert wait_until(lambda: not living_members(workers[0]), 10.0)
    assert list(tmp_path.glob("hypr-lava-*")) == []


def test_after_a_failure_the_next_run_starts_another_worker():
    program, inputs = brf_network(T=20)
    killed: list[int] = []

    def kill(task: int, step: int, total: int) -> None:
        if step > 0 and not killed:
            killed.append(worker_of(os.getpid()))
            os.kill(killed[0], signal.SIGKILL)

    with runtime.kept_worker():
        with pytest.raises(LavaError, match="exit code -9"):
            runtime.run(program, np.tile(inputs, (200, 1, 1)), connections="dense", progress=kill)
        assert wait_until(lambda: not living_members(killed[0]), 10.0)
        again = runtime.run(program, inputs, "all", connections="batched")
        assert_same(again, emulate(program, inputs, "all"), "again")
