"""Names of what is not whole: swept where the owner is gone, left alone where it lives or cannot be seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.verification import pool_ends
from hardware import aside
from hardware.lava.endings import Ended, ending_raises, held
from tests.paths import ROOT


def gone(expression: str, *arguments: Path) -> Path:
    """What another process, which has ended, got from a call."""
    script = f"import sys\nfrom pathlib import Path\nfrom hardware import aside\nprint({expression})"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    return Path(done.stdout.strip())


def test_a_file_is_whole_or_not_there_and_what_a_dead_process_left_goes(tmp_path):
    target = tmp_path / "a[1].npz"
    left = gone("aside.name_beside(Path(sys.argv[1]))", target)
    other = gone("aside.name_beside(Path(sys.argv[1]))", tmp_path / "b.npz")
    mine = aside.name_beside(target)
    for path in (left, other, mine):
        path.write_bytes(b"half")
    aside.write_whole(target, lambda part: part.write_bytes(b"whole"))
    assert target.read_bytes() == b"whole" and target.stat().st_mode & 0o777 == 0o644
    assert sorted(tmp_path.iterdir()) == sorted([target, other, mine])
    aside.sweep_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([target, mine])


@pytest.mark.parametrize("error", [OSError("full"), Ended(signal.SIGTERM), KeyboardInterrupt()])
def test_a_file_that_cannot_be_finished_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a").write_bytes(b"before")

    def fill(part: Path) -> None:
        part.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        aside.write_whole(tmp_path / "a", fill)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def test_owners_on_other_machines_and_numbers_used_again_are_told_apart(tmp_path, monkeypatch):
    target, mine = tmp_path / "a", aside.name_beside(tmp_path / "a")
    where, process, start = mine.name.split(".")[2].split("-")
    elsewhere = tmp_path / f".a.{'0' * 8}-999999999-{start}.{'1' * 8}.part"
    reused = tmp_path / f".a.{where}-{process}-{'0' * 8}.{'1' * 8}.part"
    for path in (elsewhere, reused, mine):
        path.mkdir()
    aside.sweep(target)
    assert sorted(tmp_path.iterdir()) == sorted([elsewhere, mine])


def test_a_working_folder_is_gone_afterwards_with_those_of_the_dead(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = gone("aside.working_name(Path(sys.argv[1]))", tmp_path)
    (left / "deep").mkdir(parents=True)
    (tmp_path / "hypr-work-of-somebody").mkdir()
    with aside.working_folder() as folder:
        assert folder.is_dir() and not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["hypr-work-of-somebody"]


def test_a_signal_waits_for_what_is_held_and_comes_then():
    done = []
    with pytest.raises(Ended), ending_raises():
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the rest")
        done.append("never")
    assert done == ["the rest"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="semaphores have no files here")
def test_semaphores_of_a_pool_that_was_killed_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_ends, "SEMAPHORES", tmp_path)
    left = tmp_path / f"sem.{gone('aside.owned_name(sys.argv[1])', Path(pool_ends.SEMAPHORE))}"
    mine = tmp_path / f"sem.{aside.owned_name(pool_ends.SEMAPHORE)}"
    for path in (left, mine):
        path.touch()
    with pool_ends.own_semaphores():
        pass
    assert list(tmp_path.iterdir()) == [mine]
