"""End a group of processes and remove the shared memory that it held."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

_SEGMENT = re.compile(r"/dev/shm/(psm_[0-9A-Za-z_]+)")


def end_group(leader: subprocess.Popen[bytes], segments: Iterable[Path] = (), patience_s: float = 3.0) -> None:
    """End every process of the group that ``leader`` leads, and unlink the shared memory that they had mapped.

    SIGTERM first: Python's resource tracker, a member of the group, ignores it and unlinks what the others leave; then
    SIGKILL.

    Args:
        segments: shared memory seen earlier, for the case that nobody of the group is left to be asked.
        patience_s: time that the members get to end after SIGTERM.
    """
    leftovers = set(segments) | mapped_segments(leader.pid)
    for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process takes its SIGTERM when it continues
        _signal_group(leader.pid, number)
    deadline = time.monotonic() + patience_s
    while leader.poll() is None or living_members(leader.pid):
        if time.monotonic() > deadline:
            _signal_group(leader.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    leader.wait()
    for segment in leftovers:
        segment.unlink(missing_ok=True)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def living_members(group: int) -> list[int]:
    """Members that are not zombies; without a /proc, the leader alone if the group still answers."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return []
        return [group]
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, member_of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended meanwhile
        if int(member_of) == group and state != "Z":
            members.append(int(entry.name))
    return members


def mapped_segments(group: int) -> set[Path]:
    """Shared memory segments of Python that living members of the group have mapped."""
    segments: set[Path] = set()
    for member in living_members(group):
        try:
            text = Path(f"/proc/{member}/maps").read_text()
        except OSError:
            continue
        segments.update(Path("/dev/shm") / name for name in _SEGMENT.findall(text))
    return segments
