"""What the Lava tests share: the managed runtime, and a look at the processes that a run starts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from hardware.errors import RuntimeMissing
from hardware.lava import paths
from hardware.trace import Trace

ROOT = Path(__file__).resolve().parents[2]


def runtime_python() -> Path:
    """Interpreter of the managed runtime; skips the test where it is not installed."""
    try:
        return paths.python_path()
    except RuntimeMissing as missing:
        pytest.skip(str(missing))


def assert_same(found: Trace, expected: Trace, where: str) -> None:
    """Every array of two traces equal, integer by integer."""
    one, other = found.arrays(), expected.arrays()
    assert one.keys() == other.keys(), where
    for name, value in one.items():
        assert value.dtype == other[name].dtype, (where, name)
        if not np.array_equal(value, other[name]):
            step, sample, neuron = (int(i) for i in np.argwhere(value != other[name])[0])
            a, b = value[step, sample, neuron], other[name][step, sample, neuron]
            raise AssertionError(
                f"{where}: {name} differs first at step {step}, sample {sample}, neuron {neuron}: {a}, {b}"
            )


def worker_of(parent: int) -> int:
    """Process id of the Lava worker that ``parent`` started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                started_by = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if started_by == parent and b"hardware.lava.worker" in command:
                return int(entry.name)
    raise LookupError(f"process {parent} has no Lava worker")


def children_of(parent: int) -> list[int]:
    """Process ids of the direct children, oldest first."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return sorted(int(pid) for pid in text.split())


def wait_until(condition, seconds: float = 60.0) -> bool:
    """Poll until the condition holds; False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def no_member_left(group: int) -> bool:
    """Whether no process but zombies is left in the group."""
    from hardware.lava.process_group import living_members

    return not living_members(group)


def main_environment() -> dict[str, str]:
    """Environment of a script that imports this project from the checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
