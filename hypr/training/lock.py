"""One training in one folder: a lock that the system takes away when its process ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hypr.errors import HyprError

LOCK = ".lock"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder of a run.

    Raises:
        HyprError: another process holds it, or there is no place to write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise HyprError(
            f"{folder}: another training runs in this folder now; wait for its end, or give another folder"
        ) from None
    except OSError as error:
        raise HyprError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None
    try:
        yield
    finally:
        lock.release()
