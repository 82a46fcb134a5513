"""Whatever is killed or ended, at whatever moment: no process stays, the next run gives the very result of an
undisturbed one, and nothing else is left. (``python -m tests.kills`` does it by hand.)"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import local_fetch
from tests.end_to_end.lava_support import runtime_python
from tests.kill_ground import ground, hypr, wait_until
from tests.kill_verbs import Stock
from tests.kills import HUP, KILL, TERM, WEIGHTS, Suite, Try
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module")
def suite(small_run, small_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    for place, name in ((small_run, "run"), (small_bundle, "bundle"), (small_bundle, "verified")):
        shutil.copytree(place, folder / name)
    with local_fetch.served() as address:
        yield Suite(Stock(folder, address), seed=0)


FEW = [
    ("data fetch (archive)", KILL, "half unpacked", False),
    ("data fetch (archive)", TERM, "unpacking", False),
    ("export", KILL, "ONNX written", True),
    ("data fetch (files)", HUP, "first file there", False),
    ("train", KILL, "first epoch done", False),
    ("verify --jobs 2", TERM, "Lava starts", True),
]


@pytest.mark.parametrize(("name", "number", "moment", "everybody"), FEW, ids=[f"{row[0]}, {row[2]}" for row in FEW])
def test_a_disturbed_command_leaves_nothing_and_the_next_gives_the_same(suite, name, number, moment, everybody):
    if name.startswith("verify"):
        runtime_python()
    found = suite.tried(Try(suite.verbs[name], number, moment, everybody))
    assert not found.missed and found.wrong == [], (str(found.trial), found.wrong)


@pytest.mark.parametrize("number", [KILL, TERM], ids=["SIGKILL", "SIGTERM"])
def test_a_verification_that_is_interrupted_half_way_uses_its_finished_parts(small_bundle, number):
    runtime_python()
    with ground() as place:
        bundle = place.work / "bundle"
        shutil.copytree(small_bundle, bundle)
        command = hypr("verify", bundle, "--engines", "lava", "--lava-samples", "130", "--samples", "130")
        first = place.start(command)
        parts = lambda: sorted(place.parts.glob("*/[0-9a-f]*"))  # noqa: E731
        tasks = _tasks_seen(place, lambda: first.poll() is not None or len(parts()) >= 1, ())
        os.kill(first.pid, number)
        assert first.wait(60) == (-KILL if number == KILL else 128 + number)
        assert wait_until(lambda: not place.processes(), 10.0)
        kept = len(parts())
        assert 0 < kept < tasks == 4  # one sample dense, and 129 in groups of 64 at most
        before = list(place.tmp.iterdir())
        second = place.start(command)
        again = _tasks_seen(place, lambda: second.poll() is not None, before)
        assert second.wait() == 0 and "EQUAL: all" in place.stdout()
        assert again == tasks - kept
        assert place.unfinished() == [] and not list(place.parts.glob("*"))


def _tasks_seen(place, until, before) -> int:
    """How many tasks the main process gives Lava, as its job says, until something holds; jobs of before apart."""
    seen = {0}

    def look() -> bool:
        for job in place.tmp.glob("hypr-lava-*/job.json"):
            if job.parent in before:
                continue
            try:
                seen.add(int(json.loads(job.read_text())["tasks"]))
            except (OSError, ValueError):  # removed meanwhile
                continue
        return bool(until())

    assert wait_until(look, 120.0)
    return max(seen)


@pytest.mark.slow
def test_sixty_kills_and_twenty_signals_over_all_verbs_leave_nothing():
    runtime_python()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.kills"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=7200)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    lines = done.stdout.splitlines()
    counts = {kind: sum(f", {kind} to " in line for line in lines) for kind in ("SIGKILL", "SIGTERM", "SIGHUP")}
    assert counts["SIGKILL"] >= 60 and counts["SIGTERM"] + counts["SIGHUP"] >= 20
    assert all(any(line.startswith(f"{name}, ") for line in lines) for name in WEIGHTS)
    assert lines[-1].endswith(" 0 missed"), lines[-1]
