"""Write the stored artefacts of version 0.1 again: programs, run folders and bundles.

    PYTHONPATH=/path/to/a/worktree/of/0.1 python tests/stored/write_v01.py OUT [--cases FOLDER]

OUT must not exist. ``--cases`` is the folder of networks from other frameworks (``HYPR_CASES``). Lava must be
installed (``hypr lava install``). Takes some minutes. What is stored was written once and is not to be written again:
this script says how it came about. A second run gives equal programs; training may differ in its last bits on another
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from v01_bundles import BUNDLES, PROGRAM_ONLY, Exported, Imported  # type: ignore[import-not-found]
from v01_programs import write_programs  # type: ignore[import-not-found]
from v01_runs import RUNS, Stored  # type: ignore[import-not-found]

import hardware

ARGV0 = "import sys; sys.argv[0] = 'hypr'; from hypr.cli import main; main()"
"""Runs the command line so that no path of a machine gets into the files."""

VERIFIED, COMPARED = 24, 4  # sequences of stored inputs for imported bundles, and those whose float outputs are kept
PACKAGES = ("numpy", "torch", "numba", "onnx", "onnxruntime", "nir", "safetensors", "scikit-learn")
TRIES = 30
EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Write everything into a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=Path, default=Path(os.environ.get("HYPR_CASES", "../shared/cases")))
    arguments = parser.parse_args()
    found = importlib.import_module("hypr").__version__
    if found != "0.1.0":
        sys.exit(f"PYTHONPATH leads to version {found}, this script needs 0.1.0; make a worktree of it")
    out, cases = arguments.out.absolute(), arguments.cases.absolute()
    out.mkdir(parents=True)
    work = out / "work"
    (work / "runs").mkdir(parents=True)
    (work / "bundles").mkdir()
    expected: dict[str, Any] = {"written_with": _versions(), "programs": write_programs(out / "programs")}
    with contextlib.chdir(work):  # paths inside the files are relative to this folder
        expected["runs"] = {name: _write_run(out, name, stored) for name, stored in RUNS.items()}
        expected["bundles"] = {name: _write_bundle(out, cases, name, how) for name, how in BUNDLES.items()}
        expected["bundles"][PROGRAM_ONLY] = _write_program_only(out)
    shutil.rmtree(work)
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def _versions() -> dict[str, str]:
    return {"hypr": "0.1.0", "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _environment() -> dict[str, str]:
    """One thread: sums keep one order."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def _hypr(*arguments: object, processes: int = 1) -> dict[str, Any]:
    """Run one verb; its JSON answer."""
    command = [sys.executable, "-c", ARGV0, *map(str, arguments), "--json"]
    if processes > 1:
        options = ("--standalone", f"--nproc-per-node={processes}", "--no-python")
        command = [sys.executable, "-m", "torch.distributed.run", *options, *command]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode:
        raise RuntimeError(f"hypr {' '.join(map(str, arguments))}: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _pack(folder: Path, target: Path, leave_out: tuple[str, ...] = ()) -> None:
    """Zip a folder's files, names relative to it."""
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in leave_out:
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, path.read_bytes(), compresslevel=9)


def _write_run(out: Path, name: str, stored: Stored) -> dict[str, Any]:
    settings, folder = Path(f"{name}.toml"), Path("runs") / name
    settings.write_text(f'name = "{name}"\ndevice = "cpu"\n{stored.toml}')
    train = ("train", settings, "--out", folder)
    known: dict[str, Any] = {"done": stored.kill is None}
    if stored.kill is None:
        _hypr(*train, processes=stored.processes)
    else:
        _interrupt(folder, stored, [sys.executable, "-c", ARGV0, *map(str, train)])
    _pack(folder, out / "runs" / f"{name}.zip", leave_out=() if name == "digits-hypr" else ("curves.png",))
    if stored.kill is not None:
        _hypr(*train, "--resume")
        shutil.copy(folder / "last.safetensors", out / "runs" / f"{name}.resumed.safetensors")
    known["metrics"] = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    known["result"] = json.loads((folder / "result.json").read_text())
    known["exports"] = []
    for options in stored.exports if stored.kill is None else ():
        answer = _hypr("export", folder, "--out", Path("bundles") / "tried", "--overwrite", *options)
        known["exports"].append({"options": options, **{key: answer[key] for key in _KEPT_OF_EXPORT}})
    return known


_KEPT_OF_EXPORT = ("program_sha256", "integer_test_accuracy", "trained_on_integers")


def _interrupt(folder: Path, stored: Stored, command: list[str]) -> None:
    """Train and send the signal in the epoch behind ``stored.after``, again until it arrived there."""
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        with subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while run.poll() is None and _epochs(folder) < stored.after:
                time.sleep(0.0005)
            run.send_signal(getattr(signal, f"SIG{stored.kill}"))
        if _epochs(folder) == stored.after and not (folder / "result.json").exists():
            return
    raise RuntimeError(f"{folder}: the signal never came in time; train for longer epochs")


def _epochs(folder: Path) -> int:
    """Epochs that the file to resume from has done; -1 before training began."""
    if not (folder / "environment.json").exists():
        return -1
    try:
        content = (folder / "resume.safetensors").read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except OSError:
        return 0
    return int(json.loads(header["__metadata__"]["details"])["epoch"])


def _write_bundle(out: Path, cases: Path, name: str, how: Exported | Imported) -> dict[str, Any]:
    folder = Path("bundles") / name
    data: tuple[object, ...] = ()
    if isinstance(how, Exported):
        answer = _hypr("export", Path("runs") / how.run, "--out", folder, *how.options)
        inputs = _data_inputs(folder)
    else:
        source = (cases / how.file).resolve()
        with np.load(source.with_suffix(".npz")) as archive:
            inputs = archive["input_spikes"][:, :VERIFIED].astype(np.int32)
        np.savez_compressed("inputs.npz", input_spikes=inputs)
        options = (*how.options, "--calibration", "inputs.npz")
        answer = _hypr("import", f"{source}.nir", "--out", folder, *options)
        data = ("--inputs", "inputs.npz")
    verified = None if how.verify is None else _hypr("verify", folder, *data, *how.verify)
    return _keep(out, folder, answer["program_sha256"], inputs, verified)


def _write_program_only(out: Path) -> dict[str, Any]:
    program = hardware.load(out / "programs" / "random-00.npz")
    folder = Path("bundles") / PROGRAM_ONLY
    importlib.import_module("export.bundle").write_bundle(None, program, folder, ("onnx", "lava"))
    with np.load(out / "programs" / "random-00.trace.npz") as archive:
        inputs = archive["input_spikes"].astype(np.int32)
    np.savez_compressed("inputs.npz", input_spikes=inputs)
    verified = _hypr("verify", folder, "--inputs", "inputs.npz", "--lava-samples", "2")
    return _keep(out, folder, hardware.content_hash(program), inputs, verified)


def _data_inputs(folder: Path) -> np.ndarray:
    """The first test sequences of the data set that the bundle names."""
    opened = importlib.import_module("export.bundle").Bundle.open(folder)
    inputs = importlib.import_module("hypr.deploy").bundle_data(opened).inputs[:VERIFIED]
    return np.ascontiguousarray(inputs.transpose(1, 0, 2)).astype(np.int32)


def _keep(out: Path, folder: Path, digest: str, inputs: np.ndarray, verified: dict[str, Any] | None) -> dict[str, Any]:
    """Pack the bundle, and beside it inputs, integers of every engine and floats of the first sequences."""
    manifest = json.loads((folder / "manifest.json").read_text())
    np.savez_compressed("inputs.npz", input_spikes=inputs)
    _hypr("run", folder, "inputs.npz", "--engine", "emulator", "--record", "all", "--out", "integers.npz")
    arrays: dict[str, np.ndarray] = {"input_spikes": inputs}
    arrays |= {f"integer/{name}": value for name, value in _arrays("integers.npz")}
    if "network.nir" in manifest["files"]:
        np.savez_compressed("few.npz", input_spikes=inputs[:, :COMPARED])
        _hypr("run", folder, "few.npz", "--engine", "float", "--out", "floats.npz")
        arrays |= {f"float/{name}": value for name, value in _arrays("floats.npz")}
    packed = out / "bundles" / f"{folder.name}.zip"
    _pack(folder, packed, leave_out=("search.png",))
    with packed.with_suffix(".npz").open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    return {
        "program_sha256": digest,
        "files": sorted(manifest["files"]),
        "dataset": manifest["dataset"],
        "integers_compared": None
        if verified is None
        else sum(entry["integers_compared"] for entry in verified["comparisons"]),
        "checks": None if verified is None else verified["checks"],
    }


def _arrays(path: str) -> Iterator[tuple[str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            yield name, archive[name]


if __name__ == "__main__":
    main()
