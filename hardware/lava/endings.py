"""Signals that end a run: they become an exception, so that whoever started processes, shared memory and folders
removes them; and a look at processes by number and start, which is what tells a living one from its successor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import CodeType, FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_PR_SET_PDEATHSIG = 1


class Ended(SystemExit):
    """The process was asked to end; its exit code is 128 and the signal's number, as of every shell."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"ended by {signal.Signals(self.number).name}"

    def __reduce__(self) -> tuple[type[Ended], tuple[int]]:
        return Ended, (self.number,)


@contextlib.contextmanager
def ending_raises() -> Iterator[None]:
    """SIGTERM and SIGHUP raise :class:`Ended` inside, once: while things are cleaned up a second one changes nothing.

    Signals that somebody else handles, or that are ignored (``nohup``), stay as they are; so does everything outside
    the main thread, where Python takes no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    interrupt = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        ask(number, frame)

    def unraisable(lost: sys.UnraisableHookArgs) -> None:
        again = _asked and isinstance(lost.exc_value, Ended | KeyboardInterrupt)
        if not again and not any(lost.exc_value is each for each in _seen):
            hook(lost)

    for number in ours:
        signal.signal(number, end)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    _hooks.append(unraisable.__code__)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _hooks.pop()
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        if ours:
            _asked.clear()


def ask(number: int, frame: FrameType | None) -> None:
    """What the handler of a signal that ends this process does: it raises, at once or at the end of what is
    :func:`held`.
    """
    _asked.append(number)
    if not _held and not _lost_in(frame):
        raise_if_asked()


def _lost_in(frame: FrameType | None) -> bool:
    """Whether Python is telling of an exception that it could not raise; another one would be lost as well, and told
    of on standard error.
    """
    while frame is not None and frame.f_code not in _hooks:
        frame = frame.f_back
    return frame is not None


_asked: list[int] = []
"""Signals that came."""

_hooks: list[CodeType] = []
"""What tells of exceptions that could not be raised."""

_seen: list[BaseException] = []
"""What a look raised: where it is lost, the next look raises it once more."""

_held: list[None] = []
"""Not empty where what is done must come to its end first."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What is done here comes to its end before a signal that is :func:`ask`'s business raises: renames that belong
    together, a folder that is removed. Short work only.
    """
    before = len(_asked)
    _held.append(None)
    try:
        yield
    finally:
        _held.pop()
    if not _held and len(_asked) > before:
        raise_if_asked()


def raise_if_asked() -> None:
    """Raise once more for a signal that came inside :func:`ending_raises`. What a signal raises is lost where Python
    runs a callback, as it does around every fork; loops that wait call this.
    """
    if _asked:
        if _asked[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise Ended(_asked[0])


@contextlib.contextmanager
def looked_at(look: Callable[[], None], every_s: float = 0.25) -> Iterator[None]:
    """``look`` is called again and again while foreign code runs, and may end it by raising; in the main thread alone,
    for it is a timer's signal that does it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(_: int, frame: FrameType | None) -> None:
        if not _lost_in(frame):
            try:
                look()
            except BaseException as error:
                _seen.append(error)
                raise

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _seen.clear()


def children_end_with_us() -> None:
    """Processes that this one forks from now on take the ordinary ending of SIGTERM and SIGHUP, leave Ctrl-C to us, and
    are killed when we are (Linux). Meant for a process whose business is one Lava run.
    """
    parent = os.getpid()

    def settle() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform == "linux":
            end_with_parent(signal.SIGKILL)
            if os.getppid() != parent and os.getppid() == 1:  # it ended before we asked
                os._exit(1)

    os.register_at_fork(after_in_child=settle)


def end_with_parent(number: int) -> None:
    """This process gets signal ``number`` when the one that started it ends, however it ends (Linux; nothing
    elsewhere).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def start_tracker() -> None:
    """Start Python's resource tracker so that the hang-up of a terminal, which reaches all of a group, leaves it: it
    removes what the others could not (SIGTERM and Ctrl-C it ignores by itself).
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited by what is started
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)


def quiet_tracker() -> str:
    """``PYTHONWARNINGS`` of processes whose leftovers Python's resource tracker removes: that it does is no news."""
    before = os.environ.get("PYTHONWARNINGS")
    return f"{before},{_TRACKER}" if before else _TRACKER


_TRACKER = "ignore:resource_tracker"


def started_at(pid: int) -> str | None:
    """When a living process started, in the kernel's ticks since the boot, with the boot's own identity; None where it
    is gone, or where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
