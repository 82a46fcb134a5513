"""Bad surroundings of every kind are one line, and nothing is half done: full disks, limits, places that cannot be
written, readers that have gone, names with signs in them, files in the working folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import hostile_files as bad
from tests.tree import TREE, Tree, environment, needs_namespaces

SMALL = ("network.layers.0.width=4", "training.batch=512", "epochs=1", "device=cpu")
FULL = "No space left on device"


def slow(value: object) -> object:
    """A case that is left out of the quick run: others are of its kind."""
    return pytest.param(value, marks=pytest.mark.slow)


# ---- full disks

KIB = 3072
LEFT = (
    "import os; from pathlib import Path; disk = Path({disk!r}); fill = disk / 'fill'; fill.unlink(missing_ok=True); "
    "room = os.statvfs(disk); fill.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - {kib} * 1024)))"
)
THERE = "from pathlib import Path; print(sorted(p.name for p in Path({disk!r}).iterdir() if p.name != 'fill'))"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """(tree, folder): a disk of its own with 3 MiB."""
    needs_namespaces()
    disk = tmp_path_factory.mktemp("disk")
    with Tree(f"mount -t tmpfs -o size={KIB}k none {disk}") as tree:
        yield tree, disk


@pytest.mark.parametrize("kib", [0, 24, 120, 200])
def test_an_export_to_a_full_disk_is_one_line_and_leaves_nothing(small_disk, tree_run, kib):
    tree, disk = small_disk
    assert tree.python(LEFT.format(disk=str(disk), kib=kib)).code == 0
    answer = tree.hypr("export", tree_run, "--out", disk / "bundle", timeout_s=120)
    assert FULL in answer.line and answer.code == 2
    assert tree.python(THERE.format(disk=str(disk))).out == "[]\n"


@pytest.mark.parametrize("verb", ["run", "verify", "report", "train", "import"])
def test_other_verbs_on_a_full_disk_are_one_line_and_leave_nothing(small_disk, tree_bundle, tree_run, tmp_path, verb):
    tree, disk = small_disk
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    assert tree.python(LEFT.format(disk=str(disk), kib=0)).code == 0
    arguments = {
        "run": (tree_bundle, tmp_path / "in.npz", "--engine", "emulator"),
        "verify": (tree_bundle, "--engines", "emulator", "--inputs", tmp_path / "in.npz"),
        "report": (tree_run,),
        "train": ("digits-brf", *SMALL),
        "import": (tree_bundle / "network.nir", "--state-fraction-bits", "12"),
    }
    answer = tree.hypr(verb, *arguments[verb], "--out", disk / verb, timeout_s=120)
    assert answer.code == 2 and (FULL in answer.line or "cannot be written" in answer.line)
    left = tree.python(THERE.format(disk=str(disk))).out
    assert left == "[]\n" or verb == "train"  # the folder of a run stays
    assert tree.python(f"import shutil; shutil.rmtree({str(disk / 'train')!r}, ignore_errors=True)").code == 0


@pytest.mark.parametrize("kib", [0, 100])
def test_a_fetch_to_a_full_disk_is_one_line_that_says_where_and_leaves_nothing(small_disk, kib):
    tree, disk = small_disk
    assert tree.python(LEFT.format(disk=str(disk), kib=kib)).code == 0
    code = """
import io, urllib.request, zipfile
from hypr.cli import app
out = io.BytesIO()
with zipfile.ZipFile(out, "w") as archive:
    for number in range(3000):
        archive.writestr(f"set/recordings/{number}.wav", bytes(200))
class Answer(io.BytesIO):
    headers = {}
urllib.request.urlopen = lambda *_, **__: Answer(out.getvalue())
raise SystemExit(app.run(["data", "fetch", "fsdd"]))
"""
    answer = tree.python(code, env={"HYPR_DATA": str(disk)})
    assert "recordings" in answer.line and FULL in answer.line
    left = f"from pathlib import Path; print([p for p in Path({str(disk)!r}).rglob('*') if p.is_file()][1:])"
    assert tree.python(left).out == "[]\n"


@pytest.mark.parametrize("file_bytes", [20_000, slow(4096)])
def test_an_export_under_a_limit_of_file_sizes_is_one_line_and_leaves_nothing(tree, tree_run, tmp_path, file_bytes):
    place = tmp_path / "place"
    place.mkdir()
    code = f"from hypr.cli import app; raise SystemExit(app.run(['export', {str(tree_run)!r}, '--out', 'bundle']))"
    (tmp_path / "script.py").write_text(
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_bytes}, {file_bytes})); {code}"
    )
    done = _python(tmp_path / "script.py", cwd=place)  # a process of its own, for this may end one
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "File too large" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert list(place.iterdir()) == []


def _python(script: Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script)]
    return subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=120)


# ---- places that cannot be written


@pytest.mark.slow  # everything is compiled anew
def test_a_read_only_installation_without_a_home_runs_compiled_kernels(tree_bundle, tmp_path):
    needs_namespaces()
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "out").mkdir()
    first = f"mount --bind {TREE} {TREE}; mount -o remount,bind,ro {TREE}; "
    where = str(tmp_path / "tmp")
    more = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "TMPDIR": where, "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["unshare", "-Urm", "sh", "-ec", f'{first} exec "$@"', "sh", sys.executable, "-m", "hypr", "run"]
    command += [str(tree_bundle), str(tmp_path / "in.npz"), "--engine", "emulator"]
    command += ["--out", str(tmp_path / "out" / "out.npz")]
    done = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert (tmp_path / "out" / "out.npz").is_file()
    assert "machine code" in done.stderr and where in done.stderr  # it is said where that is kept instead


# ---- readers of the output


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    start = f"{sys.executable} -m hypr"
    command = ["bash", "-o", "pipefail", "-c", line.replace("hypr", start, 1)]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


GONE = {
    "train --list | true": "hypr train --list | true",
    "data list | head -1": "hypr data list | head -n 1",
    "--help | true": "hypr train --help | true",
    "closed stdout": "hypr train --list >&-",
    "closed stdout and stderr": "hypr train --list >&- 2>&-",
    "verify | true": "hypr verify BUNDLE --engines emulator --inputs in.npz --out proof.json | true",
    "verify with closed stdout": "hypr verify BUNDLE --engines emulator --inputs in.npz --out proof.json >&-",
}


@pytest.mark.parametrize("kind", [slow(kind) if "verify with" in kind else kind for kind in GONE])
def test_a_reader_that_has_gone_is_no_error(tree_bundle, tmp_path, kind):
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    for _ in range(1 if "verify" in kind else 2):  # which side is faster is chance
        done = shell(GONE[kind].replace("BUNDLE", str(tree_bundle)), tmp_path)
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr
        assert "verify" not in kind or json.loads((tmp_path / "proof.json").read_text())["equal"] is True


@pytest.mark.parametrize("line", ["train --list", "data list", "doctor --json", "--help", "verify BUNDLE"])
def test_output_to_a_full_disk_is_one_line_after_the_work_is_done(tree_bundle, tmp_path, line):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    bad.inputs_with(bad.npy(bad.INPUTS))(tmp_path / "in.npz")
    more = " --engines emulator --inputs in.npz --out proof.json" if "verify" in line else ""
    done = shell(f"hypr {line.replace('BUNDLE', str(tree_bundle))}{more} > /dev/full", tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == f"hypr: {FULL}", done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert not more or json.loads((tmp_path / "proof.json").read_text())["equal"] is True


# ---- names and numbers of a recipe


NAMES = ["a $x_{$", "$$", "a^{b$c_$", r"\frac{", "<b>&", "a" * 80, "%s {0}", "\U0001f9e0 \u4e16"]


@pytest.mark.parametrize("name", NAMES[:3] + [slow(name) for name in NAMES[3:]])
def test_a_run_may_have_any_name(tree, tmp_path, name):
    begin, _, rest = (TREE / "hypr" / "recipes" / "digits-brf.toml").read_text().partition("\n[")
    others = "\n".join(line for line in begin.splitlines() if not line.startswith("name ="))
    text = f"name = {json.dumps(name, ensure_ascii=False)}\n{others}\n[{rest}"
    (tmp_path / "mine.toml").write_text(text)
    answer = tree.hypr("train", tmp_path / "mine.toml", *SMALL, "--out", tmp_path / "run")
    assert answer.code == 0, answer
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000 and (tmp_path / "run" / "result.json").is_file()
    assert tree.hypr("report", tmp_path / "run", "--out", tmp_path / "page.html").code == 0


@pytest.mark.parametrize("lr", ["1e38", "1e300", "9e5"])
@pytest.mark.parametrize("rule", ["hypr", slow("bptt")])
def test_a_learning_rate_that_no_network_survives_is_a_clear_stop(tree, tmp_path, lr, rule):
    options = (*SMALL[:2], "epochs=3", "device=cpu", f"rule={rule}", f"optimiser.lr={lr}")
    answer = tree.hypr("train", "digits-brf", *options, "--out", tmp_path / "run")
    assert answer.code == 2 and "optimiser.lr" in answer.line


# ---- two trainings in one folder


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hypr", "train", "digits-brf", *SMALL[:2], "device=cpu", *more]
    return subprocess.Popen(
        [*command, "--out", str(folder)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow  # chance decides which of them is the first
def test_of_two_trainings_that_start_at_once_in_one_folder_one_runs(tmp_path):
    both = [start(tmp_path / "run", "epochs=2") for _ in range(2)]
    said = [process.communicate(timeout=180) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    (refused,) = (error for process, (_, error) in zip(both, said, strict=True) if process.returncode)
    assert len(refused.strip().splitlines()) == 1 and str(tmp_path / "run") in refused
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_nothing_is_trained_beside_a_living_run_and_a_dead_one_is_in_nobodys_way(tree, tmp_path):
    folder = tmp_path / "run"
    living = start(folder, "epochs=2000")
    try:
        waited = time.monotonic() + 120
        while not (folder / "resume.safetensors").exists() and time.monotonic() < waited and living.poll() is None:
            time.sleep(0.1)
        for more in (("--resume",), ()):
            options = (*SMALL[:2], "device=cpu", "epochs=2000", *more)
            answer = tree.hypr("train", "digits-brf", *options, "--out", folder, timeout_s=20)
            assert str(folder) in answer.line and "another training" in answer.line
        assert living.poll() is None
    finally:
        living.kill()
        living.communicate()
    done = len((folder / "metrics.jsonl").read_text().splitlines())
    options = (*SMALL[:2], "device=cpu", "epochs=2000", "training.patience=1", "--resume")
    answer = tree.hypr("train", "digits-brf", *options, "--out", folder, timeout_s=60)
    assert "another configuration" in answer.line and done > 0  # the lock is gone: it is the folder that is looked at


# ---- the working folder, and what others write


def test_a_file_of_the_working_folder_takes_no_packages_place(tree_bundle, tmp_path):
    for name in ("onnxruntime", "onnx", "click", "numpy", "json", "nir", "scipy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the working folder was imported')\n")
    (tmp_path / "mine.py").write_text(
        "from hardware import emulate\n\n\nclass Mine:\n    def run(self, program, inputs, record):\n"
        "        return emulate(program, inputs, record)\n\n\nengine = Mine()\n"
    )
    script = tmp_path / "bin" / "hypr"  # as an installed script, whose own folder comes first
    script.parent.mkdir()
    script.write_text("import sys\nfrom hypr.cli import main\nsys.exit(main())\n")
    np.savez(tmp_path / "in.npz", input_spikes=bad.INPUTS)
    options = ["--engines", "emulator,onnx,mine:engine", "--inputs", "in.npz", "--out", "proof.json"]
    command = [sys.executable, str(script), "verify", str(tree_bundle), *options]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "EQUAL" in done.stdout, done.stdout + done.stderr


def test_onnx_runtime_leaves_no_files_behind(tree_bundle, tmp_path):
    np.savez(tmp_path / "in.npz", input_spikes=bad.INPUTS)
    home = tmp_path / "home"
    home.mkdir()
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"), str(home))
    command = [sys.executable, "-m", "hypr", "run", str(tree_bundle), "in.npz", "--engine", "onnx", "--out", "out.npz"]
    more = {"PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1", **kept, **places}
    done = subprocess.run(command, cwd=tmp_path, env=more, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in home.rglob("*")] == []
    assert shutil.disk_usage(home).free > 0


def test_numba_without_its_compiler_is_done_without(small_bundle: Path, tmp_path: Path) -> None:
    """NUMBA_DISABLE_JIT, for debugging one's own functions: ours are no Python, the slower ones run."""
    command = [sys.executable, "-m", "hypr", "verify", str(small_bundle), "--engines", "onnx", "--samples", "1"]
    environment = {**os.environ, "PYTHONPATH": str(TREE), "NUMBA_DISABLE_JIT": "1"}
    out = ["--out", str(tmp_path / "certificate.json")]
    done = subprocess.run([*command, *out], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "EQUAL: all" in done.stdout, done.stderr
