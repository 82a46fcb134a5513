"""Chains of dense layers, what specification 1.0 spoke of: how they become populations and projections, and the view
of such a program as layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.checks import check_int, frozen
from hardware.errors import ProgramError
from hardware.models import MODELS, OWN_MODELS, ModelSpec, model_spec
from hardware.populations import MAX_EXPONENT, Input, Population, Projection
from hardware.synapses import Dense


@dataclass(frozen=True, eq=False)
class Synapses:
    """Dense integer synapses ``(W s) << exponent`` of a layer.

    Attributes:
        weight: mantissas, int8 (N_post, N_pre), each within ``weight_bits`` signed bits, symmetric.
        exponent: left shift applied to the sum, 0 to 23.
        weight_bits: declared width of a mantissa, 2 to 8.
    """

    weight: np.ndarray
    exponent: int
    weight_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(self.weight))


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a chain: synapses, bias and neurons.

    Attributes:
        name: unique, used in traces as ``spikes/<name>`` and ``<state>/<name>``; letters, digits, ``_``, ``.`` and
            ``-``.
        model: a key of :data:`hardware.models.MODELS`.
        input: synapses from the layer below (or the network input), same time step.
        recurrent: synapses from this layer's spikes one step earlier, or None.
        bias: int32 (N,), in state units, added to the current at every step.
        parameters: int32 (N,) for each parameter of the model.
        shifts: one int for each shift of the model.
        options: one value for each option of the model; a missing one takes the model's first value.
        coefficient_bits: width of decay factors (a decay of exactly one is ``2**K``), 8 to 16.
    """

    name: str
    model: str
    input: Synapses
    recurrent: Synapses | None
    bias: np.ndarray
    parameters: Mapping[str, np.ndarray]
    shifts: Mapping[str, int]
    options: Mapping[str, str] = field(default_factory=dict)
    coefficient_bits: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", frozen(self.bias))
        object.__setattr__(self, "parameters", {name: frozen(value) for name, value in dict(self.parameters).items()})
        object.__setattr__(self, "shifts", dict(self.shifts))
        spec = model_spec(self.model)
        known = {} if spec is None else spec.options
        object.__setattr__(
            self, "options", {**{name: values[0] for name, values in known.items()}, **dict(self.options)}
        )

    @property
    def spec(self) -> ModelSpec:
        """What the specification says of its model: states, parameters, shifts, options."""
        return MODELS.get(self.model) or OWN_MODELS[self.model]

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(self.input.weight.shape[0])


@dataclass(frozen=True)
class InputFormat:
    """Integers that a chain accepts at each input channel and step.

    Attributes:
        size: number of channels. low, high: smallest and largest integer (0 and 1 for spikes).
    """

    size: int
    low: int = 0
    high: int = 1


def input_name(names: Sequence[str]) -> str:
    """Name of a chain's input beside layers of these names."""
    name = "input"
    while name in names:
        name += "_"
    return name


def projection_names(index: int) -> tuple[str, str]:
    """Names of the input and the recurrent projection of a chain's layer."""
    return f"layer{index}.input", f"layer{index}.recurrent"


def to_graph(
    layers: Sequence[Layer], accepted: InputFormat
) -> tuple[Input, tuple[Population, ...], tuple[Projection, ...]]:
    """Layers as populations and projections.

    Raises:
        ProgramError: one line that names layer and item.
    """
    if not layers:
        raise ProgramError("a Program needs at least one layer, got none")
    try:
        source = Input(input_name([layer.name for layer in layers]), accepted.size, accepted.low, accepted.high)
    except ProgramError as error:
        raise ProgramError("input" + str(error).partition("'input'")[2].replace("size", "number of channels")) from None
    populations, projections = [], []
    below, fan_in = source.name, source.size
    for index, layer in enumerate(layers):
        _check_layer(layer, fan_in, last=index == len(layers) - 1)
        populations.append(
            Population(
                layer.name,
                layer.size,
                layer.model,
                layer.bias,
                layer.parameters,
                layer.shifts,
                layer.options,
                layer.coefficient_bits,
            )
        )
        names = projection_names(index)
        projections.append(_projection(names[0], below, layer.name, layer.input, 0))
        if layer.recurrent is not None:
            projections.append(_projection(names[1], layer.name, layer.name, layer.recurrent, 1))
        below, fan_in = layer.name, layer.size
    return source, tuple(populations), tuple(projections)


def to_layers(
    inputs: Sequence[Input],
    populations: Sequence[Population],
    projections: Sequence[Projection],
    outputs: Sequence[str],
) -> tuple[Layer, ...] | None:
    """The layers of a graph that :func:`to_graph` could have made, None for any other."""
    names = [population.name for population in populations]
    if len(inputs) != 1 or list(outputs) != names[-1:] or inputs[0].name != input_name(names):
        return None
    expected = iter(projections)
    current = next(expected, None)
    layers, below = [], inputs[0].name
    for index, population in enumerate(populations):
        if current is None or not _is(current, projection_names(index)[0], below, population.name, 0):
            return None
        feed, current = current, next(expected, None)
        recurrent = None
        if current is not None and _is(current, projection_names(index)[1], population.name, population.name, 1):
            recurrent, current = current, next(expected, None)
        layers.append(_layer(population, feed, recurrent))
        below = population.name
    plain = all(len(shape or ()) == 1 for shape in (inputs[0].shape, *(item.shape for item in populations)))
    started = any(value.any() for population in populations for value in population.initial.values())
    return tuple(layers) if current is None and plain and not started else None


def worst_current(layer: Layer, largest_input: int) -> np.ndarray:
    """The bound of specification 1.0: largest possible ``|I|`` of each neuron without bias, int64 (N,), for inputs of
    magnitude up to ``largest_input``."""
    total = (np.abs(layer.input.weight.astype(np.int64)).sum(axis=1) * largest_input) << layer.input.exponent
    if layer.recurrent is not None:
        total = total + (np.abs(layer.recurrent.weight.astype(np.int64)).sum(axis=1) << layer.recurrent.exponent)
    result: np.ndarray = total
    return result


def _projection(name: str, source: str, target: str, synapses: Synapses, delay: int) -> Projection:
    return Projection(name, source, target, Dense(synapses.weight, synapses.weight_bits), synapses.exponent, delay)


def _is(projection: Projection, name: str, source: str, target: str, delay: int) -> bool:
    given = (projection.name, projection.source, projection.target, projection.delay)
    return given == (name, source, target, delay) and isinstance(projection.synapses, Dense)


def _layer(population: Population, feed: Projection, recurrent: Projection | None) -> Layer:
    return Layer(
        population.name,
        population.model,
        _synapses(feed),
        None if recurrent is None else _synapses(recurrent),
        population.bias,
        population.parameters,
        population.shifts,
        population.options,
        population.coefficient_bits,
    )


def _synapses(projection: Projection) -> Synapses:
    assert isinstance(projection.synapses, Dense)
    return Synapses(projection.synapses.weight, projection.exponent, projection.synapses.weight_bits)


def _check_layer(layer: Layer, fan_in: int, last: bool) -> None:
    """What only a chain can get wrong, in a chain's words; the rest is checked by populations and projections."""
    where = f"layer '{layer.name}'"
    if model_spec(layer.model) is not None and not layer.spec.spiking:
        if not last:
            raise ProgramError(
                f"{where}: model '{layer.model}' does not spike and can only be the last layer; move it to the end"
            )
        if layer.recurrent is not None:
            raise ProgramError(
                f"{where}: model '{layer.model}' does not spike and has nothing to feed back; set recurrent=None"
            )
    _check_synapses(layer.input, f"{where}: input synapses", fan_in, None)
    if layer.recurrent is not None:
        _check_synapses(layer.recurrent, f"{where}: recurrent synapses", layer.size, layer.size)


def _check_synapses(synapses: Synapses, what: str, pre: int, post: int | None) -> None:
    weight = synapses.weight
    if weight.dtype != np.int8 or weight.ndim != 2:
        raise ProgramError(
            f"{what}: weights must be int8 of shape (neurons, inputs), got {weight.dtype} of shape {weight.shape}"
        )
    if weight.shape[0] < 1 or weight.shape[1] != pre or (post is not None and weight.shape[0] != post):
        raise ProgramError(
            f"{what}: weights must have shape ({'N' if post is None else post}, {pre}), got {weight.shape}"
        )
    check_int(synapses.exponent, 0, MAX_EXPONENT, f"{what}: exponent")
    Dense(weight, synapses.weight_bits).check(what)
