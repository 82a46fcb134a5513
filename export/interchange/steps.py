"""A network in difference-equation form: what the float engine runs and what quantization turns into integers.

A graph of populations and projections with delays in steps, as ``hardware.program`` has it, of real numbers. The values
are those of :mod:`export.interchange.source`, with what a NIR file can say beyond a trained network:

``lif``
    ``u = alpha u' + gain I + leak``, spike ``u > theta``; reset by options ``reset`` (``zero``: to v_reset,
    ``subtract``: theta, ``none``) and ``reset_timing`` (:class:`export.interchange.reading.Reading`); there too
    ``spike_at``, ``spikes`` and ``max_spikes``, present where they are not the default.
``cuba_lif``
    ``u = alpha_syn u' + syn_gain (I + b_syn)``; ``v = alpha_mem v' + mem_gain u + b``, reset as lif.
``li``
    ``u = kappa u' + gain I + leak``.

``I = sum over projections of W s(t - delay)``, with the bias where it is not of ``cuba_lif``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export.errors import ExportError
from export.interchange.source import LayerArrays, NetworkArrays
from export.interchange.weights import DenseWeights, SparseWeights, Weights
from hardware.chain import input_name, projection_names
from hardware.own import OWN

STATES: Mapping[str, tuple[str, ...]] = {
    "brf": ("u", "v", "q"),
    "se_adlif": ("u", "w"),
    "alif": ("a", "u"),
    "lif": ("u",),
    "cuba_lif": ("u", "v"),
    "li": ("u",),
}
"""State names of each kind, as in ``hardware.models``."""


def states_of(kind: str) -> tuple[str, ...]:
    """State names of a kind, also of a neuron of someone's own (:mod:`hardware.own`)."""
    return STATES.get(kind) or OWN[kind].spec.states


_LONGEST_NAME = 64


@dataclass(frozen=True)
class StepInput:
    """Input channels: integers ``low`` to ``high``, multiplied by ``scale`` (a power of two)."""

    name: str
    size: int
    low: int = 0
    high: int = 1
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class StepPopulation:
    """Neurons of one kind. Arrays are float64 (N,).

    Attributes:
        name: as in traces.
        kind: key of :data:`STATES`.
        bias: in the current (``cuba_lif``: in the membrane).
        parameters: values of the difference equation.
        options: named options.
        late_bias: step -> what joins the current from that step on.
        initial: state -> where it starts, if not at 0.
    """

    name: str
    kind: str
    bias: np.ndarray
    parameters: Mapping[str, np.ndarray]
    options: Mapping[str, str] = field(default_factory=dict)
    late_bias: Mapping[int, np.ndarray] = field(default_factory=dict)
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(self.bias.size)

    @property
    def spiking(self) -> bool:
        return self.kind != "li"


@dataclass(frozen=True, eq=False)
class StepProjection:
    """``W s(t - delay)`` from an input or a population to a population; delay in steps."""

    name: str
    source: str
    target: str
    weights: Weights
    delay: int = 0


@dataclass(frozen=True, eq=False)
class StepLayer:
    """One layer of a chain of dense layers. Arrays are float64; `parameters` are (N,) each.

    Attributes:
        weight: (N, n_in). recurrent_weight: (N, N) or None; what else as :class:`StepPopulation`. A late bias of the
            recurrent synapses is the parameter ``recurrent_bias``.
    """

    name: str
    kind: str
    weight: np.ndarray
    recurrent_weight: np.ndarray | None
    bias: np.ndarray
    parameters: Mapping[str, np.ndarray]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(self.weight.shape[0])

    @property
    def spiking(self) -> bool:
        return self.kind != "li"


@dataclass(frozen=True, eq=False)
class StepNetwork:
    """A graph with its input and decision conventions.

    Attributes:
        populations: in order of evaluation. projections: by target, then by source, then by delay.
        outputs: names of populations. decision: ``{"rule": ..., "ignore_first": ...}``, and ``"output"`` where it does
            not read the last one.
        dt: seconds per step; None where nobody said.
        notes: what a reader decided that the file does not say, a line each.
        warnings: what is probably not meant, a line each, naming the layer and the option.
    """

    inputs: tuple[StepInput, ...]
    populations: tuple[StepPopulation, ...]
    projections: tuple[StepProjection, ...]
    outputs: tuple[str, ...]
    dt: float | None = None
    decision: Mapping[str, Any] = field(default_factory=lambda: {"rule": "per_step", "ignore_first": 0})
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def chain(
        cls,
        layers: Sequence[StepLayer],
        dt: float | None = None,
        input_scale: float = 1.0,
        input_format: tuple[int, int] = (0, 1),
        decision: Mapping[str, Any] | None = None,
    ) -> StepNetwork:
        """Each layer reads the one below at the same step and, where it is recurrent, itself one step earlier."""
        name = input_name([layer.name for layer in layers])
        source = StepInput(name, int(layers[0].weight.shape[1]), *input_format, input_scale)
        populations, projections, below = [], [], source.name
        for index, layer in enumerate(layers):
            parameters = dict(layer.parameters)
            late = parameters.pop("recurrent_bias", None)
            populations.append(
                StepPopulation(
                    layer.name, layer.kind, layer.bias, parameters, layer.options, {} if late is None else {1: late}
                )
            )
            feed, back = projection_names(index)
            projections.append(StepProjection(feed, below, layer.name, DenseWeights(layer.weight)))
            if layer.recurrent_weight is not None:
                weights = DenseWeights(layer.recurrent_weight)
                projections.append(StepProjection(back, layer.name, layer.name, weights, 1))
            below = layer.name
        rule = {"rule": "per_step", "ignore_first": 0} if decision is None else decision
        return cls((source,), tuple(populations), tuple(projections), (below,), dt, rule)

    @property
    def is_chain(self) -> bool:
        """Whether :attr:`layers` can show this network."""
        return self._layers() is not None

    @property
    def layers(self) -> tuple[StepLayer, ...]:
        """A chain's layers; ExportError for any other graph."""
        found = self._layers()
        if found is None:
            raise ExportError("this network is a graph, not a chain of dense layers; use its populations, projections")
        return found

    def with_layers(self, layers: Sequence[StepLayer]) -> StepNetwork:
        """Another chain with the same conventions."""
        return StepNetwork.chain(layers, self.dt, self.input_scale, self.input_format, self.decision)

    @property
    def input_size(self) -> int:
        return self._input.size

    @property
    def input_scale(self) -> float:
        return self._input.scale

    @property
    def input_format(self) -> tuple[int, int]:
        return self._input.low, self._input.high

    @property
    def output(self) -> StepPopulation:
        """The output that the decision reads."""
        return self.population(self.decision.get("output") or self.outputs[-1])

    def population(self, name: str) -> StepPopulation:
        for population in self.populations:
            if population.name == name:
                return population
        raise ExportError(f"no population '{name}'; populations are {', '.join(p.name for p in self.populations)}")

    def layer(self, name: str) -> StepLayer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ExportError(f"no layer '{name}'; layers are {', '.join(la.name for la in self.layers)}")

    def into(self, name: str) -> tuple[StepProjection, ...]:
        """Projections into a population, in the network's order."""
        return tuple(projection for projection in self.projections if projection.target == name)

    def scale_of(self, source: str) -> float:
        """Factor on the integers of a source: the scale of an input, 1 for spikes."""
        return next((item.scale for item in self.inputs if item.name == source), 1.0)

    def range_of(self, source: str) -> tuple[int, int]:
        """Smallest and largest integer of a source."""
        for item in self.inputs:
            if item.name == source:
                return item.low, item.high
        found = next((item for item in self.populations if item.name == source), None)
        return 0, 1 if found is None else int(found.options.get("max_spikes", 1))

    @property
    def _input(self) -> StepInput:
        if len(self.inputs) != 1:
            names = ", ".join(item.name for item in self.inputs)
            raise ExportError(f"this network has several inputs, {names}; use network.inputs")
        return self.inputs[0]

    def _layers(self) -> tuple[StepLayer, ...] | None:
        if not is_chain(self.inputs, self.populations, self.projections, self.outputs):
            return None
        layers = []
        for population in self.populations:
            feed, *back = (item.weights for item in self.into(population.name))
            assert isinstance(feed, DenseWeights)
            recurrent = back[0].matrix if back and isinstance(back[0], DenseWeights) else None
            late = {"recurrent_bias": population.late_bias[1]} if population.late_bias else {}
            p = population
            layers.append(
                StepLayer(p.name, p.kind, feed.matrix, recurrent, p.bias, {**p.parameters, **late}, p.options)
            )
        return tuple(layers)


def is_chain(
    inputs: Sequence[StepInput],
    populations: Sequence[StepPopulation],
    projections: Sequence[StepProjection],
    outputs: Sequence[str],
) -> bool:
    """Whether a graph is a chain of dense layers that start at rest, whatever its projections are called."""
    started = any(np.any(value) for population in populations for value in population.initial.values())
    return not started and _wired_as_chain(inputs, populations, projections, outputs)


def _wired_as_chain(
    inputs: Sequence[StepInput],
    populations: Sequence[StepPopulation],
    projections: Sequence[StepProjection],
    outputs: Sequence[str],
) -> bool:
    names = [population.name for population in populations]
    if len(inputs) != 1 or list(outputs) != names[-1:] or inputs[0].name != input_name(names):
        return False
    left, below = list(projections), inputs[0].name
    for population in populations:
        ends = [(p.source, p.delay) for p in left if p.target == population.name]
        if ends not in ([(below, 0)], [(below, 0), (population.name, 1)]):
            return False
        below = population.name
    plain = all(isinstance(p.weights, DenseWeights) for p in projections)
    on_time = all(set(population.late_bias) <= {1} for population in populations)
    return plain and on_time


def ordered(
    populations: Sequence[StepPopulation], projections: Sequence[StepProjection], inputs: Sequence[StepInput]
) -> tuple[StepProjection, ...]:
    """Projections by target, source and delay, convolutions last, as they were among equals."""
    names = [item.name for item in inputs] + [item.name for item in populations]
    place = {name: index for index, name in enumerate(names)}
    return tuple(
        sorted(projections, key=lambda p: (place[p.target], place[p.source], p.delay, p.weights.kind == "convolution"))
    )


def named(
    inputs: Sequence[StepInput],
    populations: Sequence[StepPopulation],
    projections: Sequence[StepProjection],
    outputs: Sequence[str],
) -> tuple[StepProjection, ...]:
    """Projections in order, with names that follow from the wiring alone: of a chain those of ``hardware.chain``."""
    in_order = ordered(populations, projections, inputs)
    if _wired_as_chain(inputs, populations, in_order, outputs):
        layer = {population.name: index for index, population in enumerate(populations)}
        return tuple(replace(p, name=projection_names(layer[p.target])[p.delay]) for p in in_order)
    taken: list[str] = []
    for index, p in enumerate(in_order):
        name = f"{p.source}.{p.target}" + (f".{p.delay}" if p.delay else "")
        while name in taken:
            name += "_"
        taken.append(name if len(name) <= _LONGEST_NAME else f"synapses{index}")
    return tuple(replace(p, name=name) for p, name in zip(in_order, taken, strict=True))


def from_arrays(network: NetworkArrays, dt: float | None) -> StepNetwork:
    """The difference equations of a trained network: gains are one minus the decay."""
    layers = []
    for name, layer in zip(network.layer_names(), network.layers, strict=True):
        parameters = dict(layer.parameters)
        if layer.kind in ("lif", "li"):
            parameters["gain"] = 1.0 - parameters["alpha" if layer.kind == "lif" else "kappa"]
            parameters["leak"] = np.zeros(layer.size)
        if layer.kind in ("lif", "cuba_lif"):
            parameters["v_reset"] = np.zeros(layer.size)
        if layer.kind == "cuba_lif":
            parameters["b_syn"] = np.zeros(layer.size)
        options = dict(layer.options)
        if layer.kind == "cuba_lif":
            options["reset"] = "zero"
        layers.append(
            StepLayer(name, layer.kind, layer.weight, layer.recurrent_weight, layer.bias, parameters, options)
        )
    chain = StepNetwork.chain(layers, dt, network.input_scale, network.input_format, network.decision)
    by_name = dict(zip(network.layer_names(), network.layers, strict=True))
    return replace(chain, projections=tuple(_masked(item, by_name[item.target]) for item in chain.projections))


def _masked(item: StepProjection, layer: LayerArrays) -> StepProjection:
    """Sparse synapses where a mask leaves some out. Input delays are left to :mod:`export.interchange.input_delays`."""
    mask = layer.recurrent_mask if item.source == item.target else layer.mask
    if mask is None:
        return item
    target, source = np.nonzero(mask)
    assert isinstance(item.weights, DenseWeights)
    return replace(item, weights=SparseWeights(target, source, item.weights.matrix[target, source], mask.shape))
