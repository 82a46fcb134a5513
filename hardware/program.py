"""The frozen integer network: the contract between training, export and every engine.

A :class:`Program` holds integers only. Real numbers were turned into these integers once, at export; no engine
recomputes them. Metadata (scales, time step, where the network came from) is carried for people and never read by an
engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hardware.chain import InputFormat, Layer, to_graph, to_layers
from hardware.checks import check_unique
from hardware.content import Description, describe_chain, describe_graph, digest
from hardware.currents import check_current, drive_interval, valid_in_first_version
from hardware.errors import ProgramError
from hardware.populations import Decision, Input, Population, Projection

SPEC_VERSION = "2.2"
"""Newest version of hardware/FIXED_POINT.md that the engines implement."""

SPEC_VERSIONS = ("1.0", "2.0", "2.1", "2.2")
"""Versions that the engines implement; a program has the lowest that has all its clauses."""


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network: inputs and populations, joined by projections with delays.

    Attributes:
        inputs: accepted input integers.
        populations: in order of evaluation within a step.
        projections: synapses; several may join the same pair, for instance one for each delay.
        outputs: names of populations whose results are wanted.
        decision: classification rule, read from one of the outputs.
        metadata: strings for people (JSON-able), outside the content hash.

    Raises:
        ProgramError: where a shape, range, name or option breaks the contract; the message names population or
            projection, item, limit and actual value.
    """

    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[str, ...]
    decision: Decision = field(default_factory=Decision)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("inputs", "populations", "projections"):
            object.__setattr__(self, name, _items(getattr(self, name), name))
        given: object = self.outputs
        object.__setattr__(self, "outputs", (given,) if isinstance(given, str) else tuple(self.outputs))
        object.__setattr__(self, "metadata", dict(self.metadata))
        self._check()

    @classmethod
    def chain(
        cls,
        layers: Sequence[Layer],
        input: InputFormat,
        decision: Decision | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Program:
        """A chain of dense layers: layer l at step t reads layer l - 1 at the same step and itself one step earlier.

        Args:
            layers: in order of evaluation; the last is the output.
            input: accepted input integers.
            decision, metadata: as of a Program.

        Raises:
            ProgramError: names the layer, the item, the limit, the actual value and the fix.
        """
        source, populations, projections = to_graph(layers, input)
        outputs = (populations[-1].name,)
        return cls((source,), populations, projections, outputs, decision or Decision(), metadata or {})

    def __repr__(self) -> str:
        names = ", ".join(f"{item.name} {item.size}" for item in self.inputs)
        items = ", ".join(f"{item.name} {item.model} {item.size}" for item in self.populations)
        return f"Program({names} -> {items}; {len(self.projections)} projections, sha256 {self.content_hash[:16]})"

    def __eq__(self, other: object) -> bool:
        """Two programs are equal when their integers are (metadata does not count)."""
        return isinstance(other, Program) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    @property
    def output(self) -> Population:
        """The output that the decision reads."""
        return self.population(self.decision.output or self.outputs[-1])

    @property
    def ranges(self) -> Mapping[str, tuple[int, int]]:
        """Smallest and largest value of every source: as declared for inputs, spikes in one step for populations."""
        values = {item.name: (item.low, item.high) for item in self.inputs}
        return {**values, **{population.name: (0, population.most_spikes) for population in self.populations}}

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of channels or neurons of every input and population."""
        return {**{item.name: item.size for item in self.inputs}, **{item.name: item.size for item in self.populations}}

    @cached_property
    def history(self) -> Mapping[str, int]:
        """Steps of each source that some delay still needs: source name -> its longest delay, where that is not 0."""
        longest: dict[str, int] = {}
        for projection in self.projections:
            if projection.delay:
                longest[projection.source] = max(projection.delay, longest.get(projection.source, 0))
        return {name: longest[name] for name in self.sizes if name in longest}

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over everything that an engine reads: integers, models, options and names; not metadata."""
        return digest(*self.description)

    @property
    def description(self) -> Description:
        """Canonical description (JSON-able) and arrays of everything that an engine reads."""
        if self.spec_version == "1.0":
            return describe_chain(self.layers, self.inputs[0], self.decision)
        parts = (self.inputs, self.populations, self.projections, self.outputs, self.decision)
        return describe_graph(self.spec_version, *parts)

    @cached_property
    def spec_version(self) -> str:
        """Lowest version of the specification that has all clauses of this program."""
        newer = [population.spec.version(population.options) for population in self.populations]
        used = [version for version in newer if version is not None]
        if used:
            return max(used)
        if self._layers is not None and valid_in_first_version(self._layers, self.inputs[0]):
            return "1.0"
        return "2.0"

    @cached_property
    def _layers(self) -> tuple[Layer, ...] | None:
        return to_layers(self.inputs, self.populations, self.projections, self.outputs)

    @property
    def is_chain(self) -> bool:
        """Whether :attr:`layers` and :attr:`input` can show this program."""
        return self._layers is not None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """A chain's layers, for engines that know chains alone.

        Raises:
            ProgramError: the program is no chain of dense layers.
        """
        if self._layers is None:
            raise ProgramError(
                "this program is a graph, not a chain of dense layers; use its populations and projections"
            )
        return self._layers

    @property
    def input(self) -> InputFormat:
        """What the only input accepts.

        Raises:
            ProgramError: there are several inputs.
        """
        if len(self.inputs) != 1:
            names = ", ".join(item.name for item in self.inputs)
            raise ProgramError(f"this program has several inputs, {names}; use program.inputs")
        return InputFormat(self.inputs[0].size, self.inputs[0].low, self.inputs[0].high)

    def population(self, name: str) -> Population:
        """The population of that name; ProgramError where there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        names = ", ".join(population.name for population in self.populations)
        raise ProgramError(f"no population '{name}'; populations are {names}")

    def layer(self, name: str) -> Layer:
        """A chain's layer of that name; ProgramError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ProgramError(f"no layer '{name}'; layers are {', '.join(la.name for la in self.layers)}")

    def into(self, name: str) -> tuple[Projection, ...]:
        """Projections into population ``name``, in the program's order."""
        return tuple(projection for projection in self.projections if projection.target == name)

    def _check(self) -> None:
        if not self.inputs:
            raise ProgramError("a Program needs at least one input, got none")
        if not self.populations:
            raise ProgramError("a Program needs at least one population, got none")
        names = [item.name for item in self.inputs] + [item.name for item in self.populations]
        check_unique(names, "inputs and populations")
        check_unique([projection.name for projection in self.projections], "projections")
        position = {population.name: index for index, population in enumerate(self.populations)}
        for projection in self.projections:
            self._check_ends(projection, position)
        self._check_outputs(position)
        for population in self.populations:
            check_current(population, drive_interval(population, self.into(population.name), self.ranges))
        entries: list[tuple[object, object]] = list(self.metadata.items())
        for key, value in entries:
            if not isinstance(key, str) or not isinstance(value, str):
                found = f"{key!r}: {type(value).__name__}"
                raise ProgramError(
                    f"metadata must map strings to strings, got {found}; convert with str() or json.dumps()"
                )

    def _check_ends(self, projection: Projection, position: Mapping[str, int]) -> None:
        where, sizes = f"projection '{projection.name}'", self.sizes
        if projection.target not in position:
            raise ProgramError(
                f"{where}: target '{projection.target}' is no population; populations are {', '.join(position)}"
            )
        if projection.source not in sizes:
            raise ProgramError(
                f"{where}: source '{projection.source}' is no input or population; there are {', '.join(sizes)}"
            )
        if projection.source in position:
            source = self.populations[position[projection.source]]
            if not source.spec.spiking:
                raise ProgramError(f"{where}: source '{source.name}' is '{source.model}', which has no spikes to send")
            if projection.delay == 0 and position[projection.source] >= position[projection.target]:
                raise ProgramError(
                    f"{where}: delay 0 must go forward in the order of populations, '{projection.source}' does not "
                    f"come before '{projection.target}' (FP-2.3); use a delay of 1 or more"
                )
        expected = (sizes[projection.target], sizes[projection.source])
        if projection.synapses.shape != expected:
            raise ProgramError(
                f"{where}: synapses must have shape {expected} (target, source), got {projection.synapses.shape}"
            )

    def _check_outputs(self, position: Mapping[str, int]) -> None:
        if not self.outputs:
            raise ProgramError(f"outputs must name at least one population; populations are {', '.join(position)}")
        check_unique(self.outputs, "outputs")
        for name in self.outputs:
            if name not in position:
                raise ProgramError(f"output {name!r} is no population; populations are {', '.join(position)}")
        chosen = self.decision.output
        if chosen is not None and chosen not in self.outputs:
            raise ProgramError(f"decision: reads '{chosen}', which is no output; outputs are {', '.join(self.outputs)}")
        self.decision.check(self.output)


_KINDS = {"inputs": Input, "populations": Population, "projections": Projection}


def _items(given: object, name: str) -> tuple[object, ...]:
    items = tuple(given) if isinstance(given, Sequence) else (given,)
    for item in items:
        if isinstance(item, (Layer, InputFormat)):
            raise ProgramError("Program takes inputs, populations and projections; for layers use Program.chain")
        if not isinstance(item, _KINDS[name]):
            raise ProgramError(f"{name} must be of type {_KINDS[name].__name__}, got {type(item).__name__}")
    return items
