"""Full or closed places, broken runtimes, garbage: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.errors import RuntimeMissing
from hardware.lava import job, paths, runtime
from hardware.lava.job_folder import sweep
from hardware.lava.request import LavaError
from tests.end_to_end.lava_faults import launcher, main_side, make_place, run_to_end
from tests.end_to_end.lava_scripts import brf_network
from tests.end_to_end.lava_support import runtime_python

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


@pytest.fixture
def place(tmp_path):
    made = make_place(tmp_path, 400, 2)
    yield made
    shutil.rmtree(made.tmp, ignore_errors=True)


def in_namespace(mounts: str, command: list[str]) -> list[str]:
    """The command with other mounts than everybody else."""
    if os.getuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounting needs the rights of root")
    return ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]


def test_a_full_disk_for_temporary_files(place):
    command = in_namespace(f"mount -t tmpfs -o size=24k none {place.tmp}", main_side(place))
    run_to_end(command, place).assert_clean(4, ["no space left", "TMPDIR"])


@pytest.mark.parametrize("side", [main_side, launcher])
def test_full_shared_memory(place, side):
    command = in_namespace("mount -t tmpfs -o size=64k none /dev/shm", side(place))
    run_to_end(command, place).assert_clean(4, ["/dev/shm"], within_s=30.0)


@pytest.mark.parametrize("side", [main_side, launcher])
def test_temporary_files_that_cannot_be_written(place, side):
    command = in_namespace(f"mount -t tmpfs -o ro none {place.tmp}", side(place))
    done = run_to_end(command, place)
    assert done.code in (0, 4), done.stderr  # Python itself goes on to /tmp where TMPDIR cannot be written
    assert len(done.stderr.strip().splitlines()) <= 1


def test_an_output_that_cannot_be_written_is_refused_before_the_run(place):
    command = launcher(place)
    command[3] = str(place.folder / "nowhere" / "out.npz")
    run_to_end(command, place).assert_clean(2, ["there is no folder"])
    command[3] = str(place.folder)
    run_to_end(command, place).assert_clean(2, ["is a folder"])


def broken_runtime(place, damage) -> str:
    """HYPR_HOME with a copy of the runtime (links, so that it is quick), damaged."""
    home = place.folder / "home"
    folder = home / paths.default_folder().name
    shutil.copytree(paths.default_folder(), folder, symlinks=True, copy_function=os.link)
    damage(folder, folder / "lib" / "python3.10" / "site-packages")
    return str(home)


def rewrite(path: Path, text: str, mode: int = 0o644) -> None:
    path.unlink()  # a link: the original stays
    path.write_text(text)
    path.chmod(mode)


BROKEN = {
    "lava is gone": lambda folder, site: shutil.rmtree(site / "lava"),
    "no interpreter": lambda folder, site: (folder / "bin" / "python").unlink(),
    "interpreter is garbage": lambda folder, site: rewrite(folder / "bin" / "python", "garbage\0", 0o755),
    "interpreter only fails": lambda folder, site: rewrite(
        folder / "bin" / "python", "#!/bin/sh\necho broken >&2; exit 1\n", 0o755
    ),
    "a module does not parse": lambda folder, site: rewrite(
        site / "lava" / "magma" / "core" / "run_conditions.py", "import no_such_module_anywhere\n"
    ),
    "numpy is half there": lambda folder, site: shutil.rmtree(site / "numpy" / "core"),
    "stamp is garbage": lambda folder, site: rewrite(folder / "complete.json", "{"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_runtime_is_three_and_the_line_that_repairs_it(place, damage):
    home = broken_runtime(place, damage)
    run_to_end(main_side(place), place, HYPR_HOME=home).assert_clean(3, ["hypr lava install"])
    status = [sys.executable, "-m", "hypr", "lava", "status"]
    run_to_end(status, place, HYPR_HOME=home).assert_clean(3, ["hypr lava install"])
    assert place.left() == []


def test_removing_a_runtime_leaves_none(place):
    home = broken_runtime(place, lambda folder, site: None)
    command = [sys.executable, "-m", "hypr", "lava", "remove"]
    run_to_end(command, place, HYPR_HOME=home).assert_clean(0, ["removed"])
    assert [path for path in Path(home).iterdir() if "runtime" in path.name] == []
    run_to_end(command, place, HYPR_HOME=home).assert_clean(0, ["there was no runtime"])


class Spoil:
    """Damages a file of the job folder in the middle of a run."""

    def __init__(self, monkeypatch, name: str, content: bytes) -> None:
        self.name, self.content = name, content
        started = runtime._start

        def start(python, folder):
            self.folder = folder
            return started(python, folder)

        monkeypatch.setattr(runtime, "_start", start)

    def __call__(self, task: int, step: int, total: int) -> None:
        with (self.folder / self.name).open("ab") as stream:
            stream.write(self.content)


@pytest.mark.parametrize("garbage", [b"\xff\xfe\n", b"{}\n", b"[1, 2]\n", b"[" * 5000 + b"\n", b"null\n"])
def test_garbage_instead_of_progress_is_one_line(monkeypatch, garbage):
    spoil = Spoil(monkeypatch, job.PROGRESS, garbage)
    with pytest.raises(LavaError, match=r"progress.jsonl: .* is no line of progress") as caught:
        runtime.run(*brf_network(T=4000), connections="dense", progress=spoil)
    assert "\n" not in str(caught.value)
    assert not spoil.folder.exists()


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_truncated_trace_is_one_line(monkeypatch, keep):
    read = job.read_result

    def truncated(folder):
        content = (folder / "trace.npz").read_bytes()
        (folder / "trace.npz").write_bytes(content[:keep])
        return read(folder)

    monkeypatch.setattr(job, "read_result", truncated)
    with pytest.raises(LavaError, match=r"trace.npz: what the Lava worker wrote is damaged") as caught:
        runtime.run(*brf_network(T=20), connections="dense")
    assert "\n" not in str(caught.value)


def test_a_living_runs_folder_is_never_swept(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path)[:50] if len(str(tmp_path)) <= 50 else None)
    found: list[bool] = []
    monkeypatch.setattr(runtime, "_watch", lambda worker, folder, *rest: found.append(folder not in sweep()))
    with pytest.raises((LavaError, RuntimeMissing)):
        runtime.run(*brf_network(T=5))
    assert found == [True]
