"""When a run counts as standing still."""

from __future__ import annotations

import time

SHORTEST_S = 12.0
"""No run is given up earlier, unless its caller says so; the main side waits 3 s longer for the reason."""

SLOWEST_STEPS = 50
"""Nor before so many times the slowest step that was seen."""

STARTUP_S = 60.0
"""Until the first step of a network: imports, compilation, start of its processes."""


class Stall:
    """Watches a sequence of reports.

    Args:
        timeout_s: the limit between two finished steps; None for 50 times the slowest step seen, 12 s at least, and
            60 s before the first.
        grace_s: added to every limit.
    """

    def __init__(self, timeout_s: float | None = None, grace_s: float = 0.0) -> None:
        self._timeout_s, self._grace_s = timeout_s, grace_s
        self._slowest_s = 0.0
        self.starting()

    def starting(self) -> None:
        """A network is being started; how long its first step takes says nothing."""
        self._step: int | None = None
        self._at = time.monotonic()

    def moved(self, step: int) -> None:
        """``step`` is finished."""
        now = time.monotonic()
        if self._step is not None and step > self._step:
            self._slowest_s = max(self._slowest_s, (now - self._at) / (step - self._step))
        self._step, self._at = step, now

    @property
    def limit_s(self) -> float:
        """Seconds that may pass from now on without a step."""
        if self._timeout_s is not None:
            return self._timeout_s + self._grace_s
        if self._step is None:
            return STARTUP_S + self._grace_s
        return max(SHORTEST_S, SLOWEST_STEPS * self._slowest_s) + self._grace_s

    def over(self) -> bool:
        """Whether the limit has passed."""
        return time.monotonic() - self._at > self.limit_s
