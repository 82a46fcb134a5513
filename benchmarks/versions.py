"""This tree against another one, in two processes that take turns: the compiled emulator on a chain, or whatever a
script of a few lines can do in both.

python -m benchmarks.graphs --against ../hypr-0.1 --bundle bundles/ecg
python -m benchmarks.steps --against ../hypr-0.1
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from hardware import Program, save

HERE = Path(__file__).resolve().parents[1]

CHILD = """
import gc, hashlib, json, sys, time
import numpy as np
import hardware
from hardware import emulate

program, inputs, threads = hardware.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
trace = emulate(program, inputs, "all", threads=threads)
digest, count = hashlib.sha256(), 0
for key, value in sorted(trace.arrays().items()):
    digest.update(key.encode() + str(value.dtype).encode() + np.ascontiguousarray(value).tobytes())
    count += value.size
print(json.dumps({"file": hardware.__file__, "sha256": digest.hexdigest(), "integers": count}), flush=True)
del trace
gc.disable()
for _ in sys.stdin:
    emulate(program, inputs, threads=threads)  # finds its caches again
    wall, cpu = time.perf_counter(), time.process_time()
    emulate(program, inputs, threads=threads)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


@dataclass(frozen=True)
class Comparison:
    """Seconds of both trees, round by round.

    Attributes:
        integers: compared, all states and spikes of all steps; equal.
        theirs, ours: (wall, processor) time of every round.
    """

    integers: int
    theirs: list[tuple[float, float]]
    ours: list[tuple[float, float]]

    def ratio(self, clock: int) -> float:
        """Median over rounds of theirs / ours: above 1 where this tree is faster. Clock 0 is wall, 1 processor."""
        pairs = zip(self.theirs, self.ours, strict=True)
        return median(theirs[clock] / ours[clock] for theirs, ours in pairs)


class Tree:
    """A script in a process of its own, with the packages of a tree.

    The script prints a line of JSON when it is ready, with ``file``, where it found the package, and then, for each
    line that it reads, (wall, processor) seconds of one more run.

    Raises:
        SystemExit: the script ended, or found the package elsewhere.
    """

    def __init__(self, tree: Path, script: str, arguments: Sequence[str]) -> None:
        self.tree = tree
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", script, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=tree, env=environment, **pipes)  # type: ignore[call-overload]
        self.found = json.loads(self._line())
        if not Path(self.found["file"]).is_relative_to(tree):
            raise SystemExit(f"benchmarks: {tree} lacks the package, {self.found['file']} was imported")

    def _line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks: the process of {self.tree} ended with code {self.process.wait()}")
        return str(line)

    def time(self, which: str = "") -> tuple[float, float]:
        """One more run; ``which`` is what the script reads."""
        self.process.stdin.write(which + "\n")
        self.process.stdin.flush()
        wall, cpu = json.loads(self._line())
        return wall, cpu

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare_trees(program: Program, inputs: np.ndarray, other: Path, rounds: int, threads: int = 1) -> Comparison:
    """Times a chain in both trees in turn, after comparing every integer of every step.

    Raises:
        SystemExit: a difference, or a tree that cannot run the program.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / "program.npz"), str(Path(folder) / "inputs.npy")]
        save(program, files[0])
        np.save(files[1], inputs)
        trees = [Tree(path, CHILD, [*files, str(threads)]) for path in (other.resolve(), HERE)]
        try:
            theirs, ours = (tree.found for tree in trees)
            if theirs["sha256"] != ours["sha256"]:
                raise SystemExit(f"benchmarks.graphs: {other} computes other integers than this tree")
            times = [[tree.time() for tree in trees] for _ in range(rounds)]
        finally:
            for tree in trees:
                tree.close()
    return Comparison(ours["integers"], [pair[0] for pair in times], [pair[1] for pair in times])
