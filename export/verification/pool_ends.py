"""How the processes of a pool end: at once where the main process was asked to, each with what it had started."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ProcessPoolExecutor

from hardware.lava.endings import Ended

PATIENCE_S = 8.0
"""What a process may take to end its Lava worker, before it is killed."""


def initialise() -> None:
    """In each process: Ctrl-C is the main process's business, SIGTERM ends with a clean-up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended(number)


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
