"""Interleaved timing, and a description of the machine that it ran on."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import torch

_WARM_UP = 0.02  # seconds that a call runs untimed before it is timed
_SLOW = 0.2  # seconds of a call from which on the state of the caches before it does not show


@dataclass(frozen=True)
class Timing:
    """Seconds of one measured thing. On a shared machine read the least: others only ever add time.

    Attributes:
        first: wall time of the first call, which compiles or loads what is compiled.
        least, median: wall times of the repeats; quartiles: the first and third quartile of them.
        cpu: least processor time of this process (all threads), which waiting for a processor does not enter.
        repeats: number of repeats.
    """

    first: float
    least: float
    median: float
    quartiles: tuple[float, float]
    cpu: float
    repeats: int


def interleave(calls: Mapping[str, Callable[[], Any]], repeats: int, seconds: float) -> dict[str, Timing]:
    """Times each call once per round, all calls in turn, so that drifts of the machine hit them alike.

    A fast call first runs untimed for a while, as in a training loop of its own: after another call's hundreds of
    megabytes it finds neither its numbers nor its code in the caches, which can double its time.

    Args:
        calls: what to time, by name.
        repeats: rounds, at least 3.
        seconds: a call that was timed for this long sits out the rounds after its third.
    """
    first = {name: _once(call)[0] for name, call in calls.items()}
    again = {name: _once(call)[0] for name, call in calls.items()}  # without compiling
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(max(repeats, 3)):
        for name, call in calls.items():
            if index >= 3 and sum(wall[name]) > seconds:
                continue
            gc.collect()
            if again[name] < _SLOW:
                _warm_up(call)
            taken, used = _once(call)
            wall[name].append(taken)
            cpu[name].append(used)
    return {name: _timing(first[name], wall[name], cpu[name]) for name in calls}


def _warm_up(call: Callable[[], Any]) -> None:
    start = time.perf_counter()
    while time.perf_counter() - start < _WARM_UP:
        call()


def _once(call: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def _timing(first: float, wall: list[float], cpu: list[float]) -> Timing:
    low, _, high = statistics.quantiles(wall, n=4)
    return Timing(first, min(wall), statistics.median(wall), (low, high), min(cpu), len(wall))


def as_dictionary(timings: Mapping[str, Timing]) -> dict[str, dict[str, Any]]:
    """Timings as plain data for JSON."""
    return {name: asdict(timing) for name, timing in timings.items()}


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, threads, load, versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "cores_allowed": allowed,
        "threads": torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
    }
