"""When each Lava Process works: the mapping between Lava's time steps and the steps of the Program (FP-2.3).

Every connection Process delivers one Lava step late, so layer l runs l + 1 Lava steps behind the source. Before its
first step and between two rounds of samples a Process rests: it holds its states at zero and sends zeros. One step of
rest between rounds empties the buffer of every connection (``a_buff``), so that each round starts from s^0 = 0, z^0 =
0 without reaching into the running network.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Time table of one Process.

    Attributes:
        delay: Lava steps by which this Process runs behind the source (0 for the source, l + 1 for layer l).
        steps: length T of a sequence.
        rounds: how many groups of samples follow one another.
        group: samples that run at the same time.
    """

    delay: int
    steps: int
    rounds: int
    group: int

    @property
    def period(self) -> int:
        """Lava steps from the start of one round to the start of the next: T and one of rest."""
        return self.steps + 1

    @property
    def last_step(self) -> int:
        """The Lava step (counted from 1) in which this Process does its last step."""
        return self.delay + (self.rounds - 1) * self.period + self.steps

    def place(self, time_step: int) -> tuple[int, int] | None:
        """``(step, first sample)`` of the Program that Lava step ``time_step`` (counted from 1) computes, or None for
        rest.
        """
        offset = time_step - 1 - self.delay
        if offset < 0:
            return None
        round_, step = divmod(offset, self.period)
        if round_ >= self.rounds or step >= self.steps:
            return None
        return step, round_ * self.group
