"""How the processes of a pool end: at once where the main process was asked to, each with what it had started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import synchronize
from pathlib import Path
from types import FrameType
from typing import TypeVar

from hardware import aside
from hardware.lava.endings import Ended, ask, end_with_parent

Result = TypeVar("Result")

SEMAPHORE = "hypr-"

PATIENCE_S = 8.0
"""What a process may take to end its Lava worker, before it is killed."""


SEMAPHORES = Path("/dev/shm")
"""Where Linux keeps those with a name, as ``sem.NAME``."""


@contextlib.contextmanager
def own_semaphores() -> Iterator[None]:
    """Semaphores that multiprocessing makes inside say whose they are, and what is left of owners that are gone is
    removed: where Python's resource tracker is killed with all the others, nobody else does.
    """
    if not SEMAPHORES.is_dir():
        yield
        return
    aside.sweep_named(SEMAPHORES, f"sem.{SEMAPHORE}")
    usual = vars(synchronize.SemLock)["_make_name"]
    setattr(synchronize.SemLock, "_make_name", staticmethod(lambda: f"/{aside.owned_name(SEMAPHORE)}"))  # noqa: B010
    try:
        yield
    finally:
        setattr(synchronize.SemLock, "_make_name", usual)  # noqa: B010


def initialise(parent: int) -> None:
    """In each process: Ctrl-C is the main process's business, SIGTERM ends with a clean-up; so does the end of
    ``parent``, the main process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it had ended before
        os._exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ask(number, frame)


def run(call: Callable[[], Result]) -> Result:
    """A call in a process of the pool, which would take the end of the process for a result of the call."""
    try:
        return call()
    except Ended as ended:
        os._exit(128 + ended.number)  # what the call had started is cleaned up by now


def end(pool: ProcessPoolExecutor) -> None:
    """End every process of the pool now."""
    members = list((pool._processes or {}).values())
    for member in members:
        member.terminate()
    deadline = time.monotonic() + PATIENCE_S
    pool.shutdown(wait=False, cancel_futures=True)
    while any(member.is_alive() for member in members) and time.monotonic() < deadline:
        time.sleep(0.05)
    for member in members:
        if member.is_alive():
            member.kill()
