"""When each Lava Process works: the mapping between Lava's time steps and the steps of the Program (FP-2.3).

Every connection Process delivers at least one Lava step late, so a population starts ``k`` steps behind the sources
(:mod:`hardware.start_steps`) and its results come ``k`` steps late. Before its first step and between two rounds of
samples a Process rests: it holds its initial states, without decay or bias, and sends what lay before the first step,
which is zeros unless a run goes on from another. The rest is as long as the longest delay, so that every line is empty,
or holds the past of the next samples, when they begin; nothing reaches into the running network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Schedule:
    """Time table of one Process.

    Attributes:
        start: Lava steps by which this Process runs behind the sources.
        steps: length T of a sequence.
        rounds: how many groups of samples follow one another.
        group: samples that run at the same time.
        rest: Lava steps between two rounds, 1 or more.
        lead: Lava steps before the first round in which the past of its samples is sent.
    """

    start: int
    steps: int
    rounds: int
    group: int
    rest: int = field(default=1)
    lead: int = 0

    def of(self, start: int) -> Schedule:
        """The same table for a Process that starts elsewhere."""
        return replace(self, start=start)

    @property
    def period(self) -> int:
        """Lava steps from the start of one round to the start of the next: T and the rest."""
        return self.steps + self.rest

    @property
    def last_step(self) -> int:
        """The Lava step (counted from 1) in which this Process does its last step."""
        return self.lead + self.start + (self.rounds - 1) * self.period + self.steps

    def place(self, time_step: int) -> tuple[int, int] | None:
        """``(step, first sample)`` of the Program that Lava step ``time_step`` (counted from 1) computes, or None for
        rest.
        """
        offset = time_step - 1 - self.lead - self.start
        if offset < 0:
            return None
        round_, step = divmod(offset, self.period)
        if round_ >= self.rounds or step >= self.steps:
            return None
        return step, round_ * self.group

    def before(self, time_step: int) -> tuple[int, int] | None:
        """``(steps until step 0, first sample)`` of the round that comes next, for a Lava step of rest; None after the
        last round."""
        offset = time_step - 1 - self.lead - self.start
        if offset < 0:
            return -offset, 0
        round_, step = divmod(offset, self.period)
        if round_ + 1 >= self.rounds:
            return None
        return self.period - step, (round_ + 1) * self.group
