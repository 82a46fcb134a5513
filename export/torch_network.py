"""A Program as a torch module: the same integers as every engine, for people who stay in torch, and for training on
integers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.torch_steps import STEPS, ProjectionModule
from hardware.errors import InputError
from hardware.inputs import start_state
from hardware.populations import Input, Population
from hardware.program import Program
from hardware.trace import output_key, recorded_states

State = Mapping[str, Tensor]
"""What step t hands to step t + 1: ``<state>/<population>`` int32 (B, N), ``spikes/<population>`` uint8 (B, N) and
``history/<source>`` (D, B, N), as in :class:`hardware.trace.NetworkState`."""


@dataclass(frozen=True)
class Recorded:
    """What a run gives; batch first.

    Attributes:
        output: (B, T, N_out) of the output that the decision reads: uint8 spikes, or int32 states where it does not
            spike.
        spikes: population -> uint8 (B, T, N), every spiking population.
        states: ``<state>/<population>`` -> int32 (B, T, N), after each step; those asked for, and the first state of
            further outputs that do not spike.
        state: what the next steps of the same sequences start from.
    """

    output: Tensor
    spikes: dict[str, Tensor]
    states: dict[str, Tensor]
    state: dict[str, Tensor]


class IntegerModule(nn.Module):
    """The integer network of a Program. Integers in, integers out, without gradients; runs on any device.

    ``state_dict()`` holds the integers of the Program as buffers. A ``state_dict`` of other integers is refused: what
    proves the arithmetic exact are those of the Program.

    Args:
        program: any Program.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        ranges = program.ranges
        self.populations = nn.ModuleList(_Parameters(item) for item in program.populations)
        self.projections = nn.ModuleList(ProjectionModule(p, *ranges[p.source]) for p in program.projections)
        self._parts = _components(program)
        self.register_load_state_dict_pre_hook(_refuse_other_integers)  # type: ignore[no-untyped-call]  # torch has no annotations there

    # ---- for users

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Outputs of whole sequences from the Program's initial states.

        Args:
            x: integers or bool (B, T, N_in) in the Program's input range; with several inputs a mapping by name.

        Returns:
            (B, T, N_out) of the output that the decision reads: uint8 spikes, or int32 states where it does not spike.

        Raises:
            InputError: a type, shape or value that does not fit.
        """
        return self.run(x).output

    def run(
        self, x: Tensor | Mapping[str, Tensor], record: str | Iterable[str] = (), state: State | None = None
    ) -> Recorded:
        """As :meth:`forward`, with spikes, states and a given start.

        Args:
            record: states to keep, ``"all"``, ``"u"``, ``"u/hidden0"``, ...
            state: ``state`` of the chunk before; the Program's initial states by default.

        Raises:
            InputError: an argument that does not fit.
        """
        given = {name: value.transpose(0, 1) for name, value in self._checked(x).items()}
        batch = next(iter(given.values())).shape[1]
        start = self.initial_state(batch) if state is None else self._checked_state(state, batch)
        chosen = [f"{name}/{where}" for name, where in recorded_states(self.program, record)]
        found, end = self.run_steps(given, {*chosen, output_key(self.program)}, start)
        found = {name: value.transpose(0, 1) for name, value in found.items()}
        spikes = {name.partition("/")[2]: value for name, value in found.items() if name.startswith("spikes/")}
        return Recorded(found[output_key(self.program)], spikes, {key: found[key] for key in chosen}, end)

    def step(self, x: Tensor | Mapping[str, Tensor], state: State | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """One step, for streams.

        Args:
            x: integers or bool (B, N_in); with several inputs a mapping by name.
            state: what the step before returned; None at the first.

        Returns:
            output (B, N_out) as in :meth:`forward`, and the state for the next step.
        """
        given = {name: value[:, None] for name, value in x.items()} if isinstance(x, Mapping) else x[:, None]
        recorded = self.run(given, state=state)
        return recorded.output[:, 0], recorded.state

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        """What ``batch`` samples start from (FP-2.6), on the module's device."""
        start = start_state(self.program, batch)
        arrays: dict[str, np.ndarray] = dict(start.states)
        arrays.update({f"spikes/{name}": value for name, value in start.spikes.items()})
        arrays.update({f"history/{name}": value for name, value in start.history.items()})
        return {name: torch.from_numpy(value).to(self._device) for name, value in arrays.items()}

    # ---- the run

    @torch.no_grad()
    def run_steps(
        self, inputs: Mapping[str, Tensor], kept: Collection[str], start: State
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All steps, time-major; nothing is checked.

        Populations that do not depend on each other mutually are run one after the other over all steps, so that
        synapses from one to another are one product for the whole sequence.

        Args:
            inputs: name -> int32 (T, B, N).
            kept: ``<state>/<population>`` to record.
            start: complete state.

        Returns:
            ``spikes/<population>`` uint8 and the states kept int32, (T, B, N) each; and the state after the last step.
        """
        lines = {name: _after(start.get(f"history/{name}"), value) for name, value in inputs.items()}
        found: dict[str, Tensor] = {}
        end: dict[str, Tensor] = {}
        steps = next(iter(inputs.values())).shape[0]
        with torch.autocast(self._device.type, enabled=False):  # its narrow products would not be exact
            for part in self._parts:
                for population in _run_part(self, part, steps, lines, kept, start):
                    found.update(population.found())
                    end.update(population.end())
        for name, count in self.program.history.items():
            end[f"history/{name}"] = lines[name][len(lines[name]) - count :].clone()
        return found, end

    # ---- checks

    @property
    def _device(self) -> torch.device:
        return next(self.buffers()).device

    def _checked(self, x: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(B, T, N) of each input, by name, on the module's device."""
        accepted = {item.name: item for item in self.program.inputs}
        if not isinstance(x, Mapping):
            if len(accepted) != 1:
                names = ", ".join(accepted)
                raise InputError(f"this program has several inputs; give a mapping with a tensor for {names}")
            x = {next(iter(accepted)): x}
        if set(x) != set(accepted):
            raise InputError(f"inputs are {', '.join(accepted)}, got {', '.join(map(str, x))}")
        found = {name: _checked_input(item, x[name]).to(self._device) for name, item in accepted.items()}
        shapes = {tuple(value.shape[:2]) for value in found.values()}
        if len(shapes) > 1:
            raise InputError(f"inputs must share batch and steps, got {sorted(shapes)}")
        return found

    def _checked_state(self, state: State, batch: int) -> dict[str, Tensor]:
        expected = self.initial_state(batch)
        wrong = sorted(set(expected) ^ set(state))
        if wrong:
            raise InputError(f"state: '{wrong[0]}' is missing or unknown; entries are {', '.join(expected)}")
        for name, like in expected.items():
            if state[name].shape != like.shape or state[name].dtype != like.dtype:
                raise InputError(
                    f"state: '{name}' must be {like.dtype} {tuple(like.shape)}, got {state[name].dtype} "
                    f"{tuple(state[name].shape)}"
                )
        return {name: state[name].to(self._device) for name in expected}


class _Parameters(nn.Module):
    """Integers of a population's neurons: int64 (N,) each, ``bias`` among them."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        self.population = population
        for name, value in {**population.parameters, "bias": population.bias}.items():
            self.register_buffer(name, torch.from_numpy(np.asarray(value, np.int64)))

    def forward(self) -> dict[str, Tensor]:
        return dict(self.named_buffers())


@dataclass(frozen=True)
class _Part:
    """Populations that depend on each other mutually, and what reaches each of them.

    Attributes:
        populations: numbers, in order of evaluation.
        outside, inside: for each of them numbers of the projections from elsewhere, and from this part.
    """

    populations: tuple[int, ...]
    outside: tuple[tuple[int, ...], ...]
    inside: tuple[tuple[int, ...], ...]


def _components(program: Program) -> list[_Part]:
    """Strongly connected parts of a program, each after those that it reads."""
    names = [item.name for item in program.populations]
    number = {name: index for index, name in enumerate(names)}
    reaches = np.eye(len(names), dtype=bool)
    for projection in program.projections:
        if projection.source in number:
            reaches[number[projection.source], number[projection.target]] = True
    for middle in range(len(names)):  # transitive closure
        reaches |= reaches[:, middle : middle + 1] & reaches[middle : middle + 1]
    mutual = reaches & reaches.T
    groups = {tuple(int(i) for i in np.flatnonzero(row)) for row in mutual}
    # What a part reads is reached from fewer populations than the part itself.
    ordered = sorted(groups, key=lambda group: (int(reaches[:, group[0]].sum()), group))

    def into(target: int, own: Sequence[str], inside: bool) -> tuple[int, ...]:
        wanted = [(p.target == names[target]) and ((p.source in own) == inside) for p in program.projections]
        return tuple(index for index, chosen in enumerate(wanted) if chosen)

    parts = []
    for group in ordered:
        own = [names[index] for index in group]
        outside, inside = (tuple(into(index, own, side) for index in group) for side in (False, True))
        parts.append(_Part(group, outside, inside))
    return parts


@dataclass
class _Running:
    """A population while it runs.

    Attributes:
        numbers: its integers. state, z: int64 (B, N) each. drive: int64 (T, B, N), what reaches it from outside its
            part.
        inside: synapses from its part, each with the source's line and the row of it that arrives at step 0.
        line: uint8 (D + T, B, N), spikes of the last D steps, then of these; None where it does not spike.
        kept: number of a state -> int32 (T, B, N), what is recorded of it.
    """

    population: Population
    numbers: Mapping[str, Tensor]
    state: tuple[Tensor, ...]
    z: Tensor
    drive: Tensor
    inside: list[tuple[nn.Module, Tensor, int]]
    line: Tensor | None
    kept: dict[int, Tensor]

    def advance(self, t: int) -> None:
        """One step."""
        current = self.drive[t]
        for synapses, line, first in self.inside:
            current = current + synapses(line[first + t])
        item = self.population
        self.state, self.z = STEPS[item.model](self.state, self.z, current, self.numbers, item.shifts, item.options)
        if self.line is not None:
            self.line[len(self.line) - len(self.drive) + t] = self.z
        for index, row in self.kept.items():
            row[t] = self.state[index]

    def found(self) -> dict[str, Tensor]:
        """Spikes and states (T, B, N)."""
        states = {f"{self.population.spec.states[i]}/{self.population.name}": value for i, value in self.kept.items()}
        if self.line is None:
            return states
        return {**states, f"spikes/{self.population.name}": self.line[len(self.line) - len(self.drive) :]}

    def end(self) -> dict[str, Tensor]:
        """What the next step starts from, without histories."""
        names = [f"{state}/{self.population.name}" for state in self.population.spec.states]
        states = {name: value.to(torch.int32) for name, value in zip(names, self.state, strict=True)}
        return states if self.line is None else {**states, f"spikes/{self.population.name}": self.z.to(torch.uint8)}


def _run_part(
    module: IntegerModule, part: _Part, steps: int, lines: dict[str, Tensor], kept: Collection[str], start: State
) -> list[_Running]:
    """Runs one part over all steps; adds its spikes to ``lines``."""
    chosen = [module.program.populations[index] for index in part.populations]
    for item in chosen:
        if item.spec.spiking:
            row = start[f"spikes/{item.name}"]
            lines[item.name] = _after(start.get(f"history/{item.name}"), row.new_empty(steps, *row.shape))
    running = [_begin(module, part, which, steps, lines, kept, start) for which in range(len(chosen))]
    for t in range(steps):
        for population in running:
            population.advance(t)
    return running


def _begin(
    module: IntegerModule,
    part: _Part,
    which: int,
    steps: int,
    lines: Mapping[str, Tensor],
    kept: Collection[str],
    start: State,
) -> _Running:
    number = part.populations[which]
    item = module.program.populations[number]
    rows = [start[f"{state}/{item.name}"] for state in item.spec.states]
    state = tuple(row.to(torch.int64) for row in rows)
    drive = _drive(module, number, part.outside[which], steps, lines)
    inside = []
    for index in part.inside[which]:
        projection = module.program.projections[index]
        line = lines[projection.source]
        inside.append((module.projections[index], line, len(line) - steps - projection.delay))
    return _Running(
        item,
        module.populations[number](),
        state,
        start[f"spikes/{item.name}"].to(torch.int64) if item.spec.spiking else state[0],
        drive,
        inside,
        lines.get(item.name),
        {
            index: rows[index].new_empty(steps, *rows[index].shape)
            for index, name in enumerate(item.spec.states)
            if f"{name}/{item.name}" in kept
        },
    )


def _drive(
    module: IntegerModule, number: int, projections: Sequence[int], steps: int, lines: Mapping[str, Tensor]
) -> Tensor:
    """int64 (T, B, N): current from these projections, plus the bias where it belongs to the current (FP-2.1)."""
    population, bias = module.program.populations[number], module.populations[number].get_buffer("bias")
    batch = next(iter(lines.values())).shape[1]
    drive = (torch.zeros_like(bias) if population.model == "cuba_lif" else bias).expand(steps, batch, -1)
    for index in projections:
        projection = module.program.projections[index]
        line = lines[projection.source]
        first = len(line) - steps - projection.delay
        drive = drive + module.projections[index](line[first : first + steps])
    return drive


def _after(history: Tensor | None, line: Tensor) -> Tensor:
    """A source's values with those of earlier steps before them."""
    return line if history is None else torch.cat([history.to(line.dtype), line])


def _checked_input(accepted: Input, x: Any) -> Tensor:
    what = f"input '{accepted.name}'"
    if not isinstance(x, Tensor) or x.is_floating_point() or x.is_complex():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"{what} must be a tensor of integers, got {kind}; encode it as spikes or payloads first")
    if x.ndim != 3 or x.shape[2] != accepted.size or 0 in x.shape:
        raise InputError(
            f"{what} must have shape (B, T, {accepted.size}), at least one sample and step, got {tuple(x.shape)}"
        )
    low, high = int(x.min()), int(x.max())
    if low < accepted.low or high > accepted.high:
        raise InputError(f"{what} must be {accepted.low} to {accepted.high}, got {low} to {high}; rescale it")
    return x.to(torch.int32)


def _refuse_other_integers(module: nn.Module, given: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Before a ``state_dict`` is loaded."""
    for name, own in module.state_dict().items():
        value = given.get(f"{prefix}{name}")
        if value is not None and not torch.equal(value.to(own.device), own):
            raise InputError(f"state_dict: '{name}' holds other integers than this program; use to_torch(program)")
