"""A long run on Lava in parts that are kept: one that was interrupted goes on where it was.

The parts lie in the user's cache, not beside what is verified: a folder that comes with somebody else's bundle must not
be able to speak for Lava.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.inputs import Inputs, named_inputs
from hardware.lava import job
from hardware.lava.job import Task, TaskResult
from hardware.lava.paths import default_folder, status
from hardware.lava.request import LavaError, dense_samples, group_size, joined
from hardware.lava.runtime import Progress, run_many
from hardware.program import Program
from hardware.program_file import content_hash
from hardware.trace import Trace


def folder_for(program: Program, inputs: Inputs, *how: object) -> Path:
    """Where the parts of a run lie: named after everything that its integers depend on, this package's source too."""
    digest = hashlib.sha256(content_hash(program).encode())
    for name, array in sorted(named_inputs(program, inputs).items()):
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    package = Path(__file__).resolve().parent.parent
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    digest.update(json.dumps([*map(str, how), sorted(status().versions.items())]).encode())
    return default_folder().parent / "lava-parts" / digest.hexdigest()[:24]


@dataclass(frozen=True)
class KeptRun:
    """An engine's ``run`` whose finished parts stay in ``folder``; it can be sent to another process.

    Attributes:
        folder: see :func:`folder_for`; whoever made it removes it with :meth:`forget`.
        connections, arithmetic, timeout_s: as of :func:`hardware.lava.runtime.run`.
        progress: called with (part, finished steps, steps of that part); None where it is sent to another process.
    """

    folder: Path
    connections: str | int = "auto"
    arithmetic: str = "fixed_pt"
    timeout_s: float | None = None
    progress: Progress | None = None

    def __call__(
        self, program: Program, inputs: Inputs, record: str | Iterable[str] = (), connections: str | int | None = None
    ) -> Trace:
        """As :func:`hardware.lava.runtime.run`; finished parts are read instead of run."""
        given = named_inputs(program, inputs)
        parts = _parts(program, given, self.connections if connections is None else connections)
        record = record if isinstance(record, str) else tuple(record)
        found: dict[int, TaskResult] = {}
        places = [
            self.folder / _key({name: array[:, part] for name, array in given.items()}, kind, record)
            for part, kind in parts
        ]
        for index, place in enumerate(places):
            if (kept := _read(place)) is not None:
                found[index] = kept
        missing = [index for index in range(len(parts)) if index not in found]
        tasks = [
            Task(program, {n: a[:, parts[i][0]] for n, a in given.items()}, record, parts[i][1], self.arithmetic)
            for i in missing
        ]

        def finished(task: int, written: Path) -> None:
            _keep(written, places[missing[task]])

        if tasks:
            results = run_many(tasks, timeout_s=self.timeout_s, progress=self.progress, finished=finished)
            found.update(zip(missing, results, strict=True))
        return joined([found[index].trace for index in range(len(parts))])

    def forget(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _parts(program: Program, given: Mapping[str, np.ndarray], connections: str | int) -> list[tuple[slice, str]]:
    """Samples through Lava's own Dense as one part, then a part for each group of the batched connections."""
    steps, samples, _ = next(iter(given.values())).shape
    first = dense_samples(program, steps, samples, connections)
    parts = [(slice(0, first), "dense")] if first else []
    size = group_size(program, max(1, samples - first))
    return parts + [(slice(i, min(i + size, samples)), "batched") for i in range(first, samples, size)]


def _key(inputs: Mapping[str, np.ndarray], kind: str, record: str | tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{kind} {record}".encode())
    for name, array in sorted(inputs.items()):
        digest.update(f"{name} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]


def _keep(written: Path, place: Path) -> None:
    """Copy a finished task aside, then rename: a part is whole or not there. Without room nothing is kept."""
    aside = place.with_name(f".{place.name}.new")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, mode=0o700)
        for name in ("trace.npz", "result.json"):
            shutil.copyfile(written / name, aside / name)
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)


def _read(place: Path) -> TaskResult | None:
    if not place.is_dir():
        return None
    try:
        return job.read_result(place)
    except LavaError:
        shutil.rmtree(place, ignore_errors=True)
        return None
