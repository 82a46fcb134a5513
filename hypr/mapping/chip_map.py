"""Plan, cost, metrics and picture of a program on a chip in one call: what the command prints and a report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hardware.emulator import emulate
from hardware.inputs import Inputs
from hardware.mapping import Activity, Cost, Plan, Target, cost_of, describe, make_plan, metrics
from hardware.mapping.neurobench import membranes, static_metrics
from hardware.program import Program
from hypr.deployment.arrays import Sequences
from hypr.deployment.outcome import of_integers
from hypr.mapping.target_files import load_target

DEFAULT_TARGET = "loihi2"
DEFAULT_STEP_MS = 1.0


@dataclass(frozen=True)
class ChipMap:
    """A network on a chip.

    Attributes:
        plan, cost: as objects. data: all of it as plain data (JSON-able): keys ``plan``, ``cost``, ``neurobench``.
    """

    plan: Plan
    cost: Cost
    data: dict[str, Any]

    @property
    def svg(self) -> bytes:
        """The picture of the chip, an SVG file."""
        from hypr.mapping.picture import draw
        from hypr.report.pictures import image

        return image(draw(self.plan), "svg")


def chip_map(
    program: Program,
    target: Target | str = DEFAULT_TARGET,
    inputs: Inputs | Sequences | None = None,
    *,
    cores: int | None = None,
    chips: int | None = None,
    way: str = "fewest",
    rate: float | None = None,
    steps: int | None = None,
    step_ms: float | None = None,
) -> ChipMap:
    """Map a network, and estimate its cost from what it does on inputs.

    Args:
        program: the integer network.
        target: a target, or the name or path of one.
        inputs: integers (T, B, N_in), of several inputs by name, or sequences with labels; the emulator runs them.
            None: an assumed rate.
        cores, chips, way: as of :func:`hardware.mapping.make_plan`.
        rate, steps: assumed spikes per neuron and step, and steps, where there are no inputs (0.1, 100).
        step_ms: time step of the network in the world; None: the program's recorded ``dt``, else 1 ms.

    Raises:
        HyprError, HardwareError: unknown target, inputs that do not fit the program.
    """
    chip = target if isinstance(target, Target) else load_target(target)
    if inputs is None:
        activity = Activity.uniform(program, 0.1 if rate is None else rate, 100 if steps is None else steps)
        bench = static_metrics(program)
    else:
        data = inputs if isinstance(inputs, Sequences) else Sequences(inputs)
        trace = emulate(program, data.values, record=membranes(program))
        origin = f"{data.shape[1]} recorded samples of {data.shape[0]} steps" + (f": {data.name}" if data.name else "")
        activity = Activity.recorded(program, data.values, trace, origin)
        accuracy = None if data.regression else of_integers(program, trace.output, data).accuracy
        bench = metrics(program, data.values, trace, accuracy)
    plan = make_plan(program, chip, activity, cores=cores, chips=chips, way=way)
    cost = cost_of(plan, _step_ms(program) if step_ms is None else step_ms)
    return ChipMap(plan, cost, {"plan": describe(plan), "cost": cost.describe(), "neurobench": bench})


def _step_ms(program: Program) -> float:
    try:
        recorded = float(program.metadata.get("dt", ""))
    except ValueError:
        return DEFAULT_STEP_MS
    return 1e3 * recorded if 0 < recorded < 1e3 else DEFAULT_STEP_MS
