"""The same run with several seeds: a folder of runs ``seed-K``, as many processes side by side as wanted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hypr.errors import HyprError
from hypr.training import runs

_POLL_S = 0.2
LOG = "log.txt"
"""What the process of a run printed, beside its files."""


def parse_seeds(text: str) -> list[int]:
    """``0-7``, ``3`` or ``0,2,5-6`` as numbers, in that order.

    Raises:
        HyprError: anything else, or the same seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip())
        if found is None:
            raise HyprError(f"seeds '{text}': '{part.strip()}' is no number or range; write 0-7 or 0,2,5")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= 1000:
            raise HyprError(f"seeds '{text}': '{part.strip()}' must rise, by less than 1000")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise HyprError(f"seeds '{text}': a seed stands there twice")
    return seeds


def folder_of(out: Path, seed: int) -> Path:
    """Where the run of a seed lies."""
    return out / f"seed-{seed}"


def train_seeds(
    recipe: str,
    overrides: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    jobs: int = 1,
    resume: bool = False,
    told: Callable[[int, str], None] = lambda seed, what: None,
) -> list[int]:
    """Train ``recipe`` once per seed, each run in a process of its own.

    Args:
        recipe, overrides: of :func:`hypr.training.config.load`; an override must not name the seed.
        seeds: of the runs.
        out: folder of the runs.
        jobs: processes at once; each has its share of the processors.
        resume: continue runs that are there, and leave finished ones alone.
        told: of each seed that starts, is finished or failed.

    Returns:
        seeds whose run failed; what they said is in ``log.txt`` of their folders.

    Raises:
        HyprError: ``jobs`` below 1, or a folder that holds a run (without ``resume``).
    """
    if jobs < 1:
        raise HyprError(f"jobs is {jobs}, must be at least 1")
    if any(one.partition("=")[0].strip() in ("seed", "training.seed") for one in overrides):
        raise HyprError("both --seeds and an override of the seed are given; keep one of them")
    taken = [folder_of(out, seed) for seed in seeds if (folder_of(out, seed) / runs.ENVIRONMENT).exists()]
    if taken and not resume:
        raise HyprError(f"{taken[0]}: holds a run already; continue with --resume, or give another folder")
    waiting = [seed for seed in seeds if not (folder_of(out, seed) / runs.RESULT).exists()]
    for seed in sorted(set(seeds) - set(waiting)):
        told(seed, "was finished")
    running: dict[int, subprocess.Popen[bytes]] = {}
    failed: list[int] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                seed = waiting.pop(0)
                running[seed] = _start(recipe, overrides, seed, folder_of(out, seed), jobs)
                told(seed, "started")
            time.sleep(_POLL_S)
            for seed in [seed for seed, process in running.items() if process.poll() is not None]:
                code = running.pop(seed).returncode
                told(seed, "finished" if code == 0 else f"failed: {_last_line(folder_of(out, seed) / LOG)}")
                failed += [seed] * (code != 0)
    finally:  # an interrupted command leaves no process behind; what is on disk can be continued
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return failed


_RUN = """
import os, signal, sys
from hardware.lava.endings import end_with_parent
end_with_parent(signal.SIGTERM)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit(1)
from hypr.cli import main
sys.argv[0] = "hypr"
sys.exit(main())
"""
"""A run that ends with the command that started it, also where that is killed."""


def _start(recipe: str, overrides: Sequence[str], seed: int, folder: Path, jobs: int) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}  # a number that the user chose is kept
    begin = [sys.executable, "-c", _RUN, str(os.getpid())]
    command = [*begin, "train", recipe, *overrides, f"seed={seed}", "--out", str(folder)]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen([*command, "--resume"], stdout=log, stderr=log, env=environment)


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"
