"""When each population does its first step where every projection costs at least one step: on Lava, and on a chip.

A Program's projection of delay d says: step t of the target reads step ``t - d`` of the source. Where a message needs a
step of its own, populations start one after another instead: population p does its step t in machine step ``t + k(p)``.
A projection then has ``d + k(target) - k(source)`` machine steps for its message, and that must be at least one::

    k(target) >= k(source) + 1 - d        k >= 0, inputs at 0

The least such k are longest paths. There are none exactly where a cycle has fewer delay steps than projections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardware.errors import ProgramError
from hardware.populations import Projection
from hardware.program import Program


class NoSchedule(ProgramError):
    """A cycle of projections leaves a message no time.

    Attributes:
        cycle: its projections, each from the target of the one before.
        lacking: steps of delay that the cycle needs in addition.
    """

    def __init__(self, cycle: Sequence[Projection]) -> None:
        self.cycle = tuple(cycle)
        delay = sum(projection.delay for projection in cycle)
        self.lacking = len(self.cycle) - delay
        way = " -> ".join([projection.source for projection in cycle] + [cycle[0].source])
        names = ", ".join(f"'{projection.name}'" for projection in cycle)
        count = f"{len(self.cycle)} projection{'s' * (len(self.cycle) > 1)}"
        super().__init__(
            f"no schedule: cycle {way} ({names}) has {count} and a delay of {delay} in all, every projection costs one "
            f"step; it lacks {self.lacking}: raise delays in it by {self.lacking} or leave a projection out"
        )


def start_steps(program: Program) -> dict[str, int]:
    """Machine step of the first step of every input and population, the least ones; inputs start at 0.

    Raises:
        NoSchedule: one line that names a cycle with fewer delay steps than projections, and how many it lacks.
    """
    steps = dict.fromkeys(program.sizes, 0)
    raised_by: dict[str, Projection] = {}
    for _ in range(len(program.populations) + 1):
        last = None
        for projection in program.projections:
            least = steps[projection.source] + 1 - projection.delay
            if least > steps[projection.target]:
                steps[projection.target] = least
                raised_by[projection.target] = projection
                last = projection.target
        if last is None:
            return steps
    raise NoSchedule(_cycle(raised_by, last or ""))


def line_steps(program: Program, starts: Mapping[str, int]) -> dict[str, int]:
    """Machine steps that a message takes, by projection: 1 or more; it may exceed the largest delay of a Program.

    Args:
        starts: of :func:`start_steps`.
    """
    return {
        projection.name: projection.delay + starts[projection.target] - starts[projection.source]
        for projection in program.projections
    }


def rest_steps(program: Program) -> int:
    """Machine steps between the last step of a sample and the first of the next, for every population alike.

    While it rests a population sends nothing. A projection's message is read ``d`` steps of the Program after it was
    sent, however far apart source and target start: so the longest delay empties every line. One step is needed to put
    the states back.
    """
    return max([1, *(projection.delay for projection in program.projections)])


def _cycle(raised_by: Mapping[str, Projection], member: str) -> list[Projection]:
    """A cycle among the projections that raised their targets last: one lies behind a target raised too often."""
    for _ in raised_by:
        member = raised_by[member].source
    cycle = [raised_by[member]]
    while cycle[-1].source != member:
        cycle.append(raised_by[cycle[-1].source])
    return cycle[::-1]
