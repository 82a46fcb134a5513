"""The frozen integer network: the contract between training, export and every engine.

A :class:`Program` holds integers only. Real numbers were turned into these integers once, at export; no engine
recomputes them. Metadata (scales, time step, where the network came from) is carried for people and never read by an
engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware.errors import ProgramError
from hardware.models import MODELS, ModelSpec

SPEC_VERSION = "1.0"
"""Version of hardware/FIXED_POINT.md that the engines implement."""

MAX_EXPONENT = 23
DECISION_RULES = ("per_step", "sum", "spike_count")


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy, so that what was validated cannot change afterwards."""
    copy = np.array(array, order="C", copy=True)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Synapses:
    """Dense integer synapses ``(W s) << exponent``.

    Attributes:
        weight: mantissas, int8 (N_post, N_pre), each within ``weight_bits`` signed bits, symmetric.
        exponent: left shift applied to the sum, 0 to 23.
        weight_bits: declared width of a mantissa, 2 to 8.
    """

    weight: np.ndarray
    exponent: int
    weight_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _frozen(self.weight))


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: synapses, bias and neurons.

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
        object.__setattr__(self, "bias", _frozen(self.bias))
        object.__setattr__(self, "parameters", {name: _frozen(value) for name, value in dict(self.parameters).items()})
        object.__setattr__(self, "shifts", dict(self.shifts))
        options = (
            {name: values[0] for name, values in MODELS[self.model].options.items()} if self.model in MODELS else {}
        )
        object.__setattr__(self, "options", {**options, **dict(self.options)})

    @property
    def spec(self) -> ModelSpec:
        return MODELS[self.model]

    @property
    def size(self) -> int:
        return int(self.input.weight.shape[0])


@dataclass(frozen=True)
class InputFormat:
    """Integers that the network accepts at each input channel and step: ``low`` to ``high`` (0 to 1 for spikes)."""

    size: int
    low: int = 0
    high: int = 1


@dataclass(frozen=True, eq=False)
class Decision:
    """How a class is read from the output integers; the lowest index wins a tie.

    Attributes:
        rule: ``per_step`` (argmax at every step), ``sum`` (argmax of the sum over the steps that count) or
            ``spike_count`` (the same sum, of
            output spikes).
        ignore_first: steps at the start that do not count.
        multiplier: int32 (N_out,), multiplies each output before the argmax (per-row weight scales), or None for ones.
    """

    rule: str = "per_step"
    ignore_first: int = 0
    multiplier: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.multiplier is not None:
            object.__setattr__(self, "multiplier", _frozen(self.multiplier))


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network: a chain of layers, the last of which is the output.

    Attributes:
        layers: in order of evaluation; layer l at step t reads layer l - 1 at the same step.
        input: accepted input integers.
        decision: classification rule.
        metadata: strings for people (JSON-able), outside the content hash.

    Raises:
        ProgramError: where a shape, range, name or option breaks the contract; the message names layer, item, limit and
            actual value.
    """

    layers: tuple[Layer, ...]
    input: InputFormat
    decision: Decision = field(default_factory=Decision)
    metadata: Mapping[str, str] = field(default_factory=dict)
    spec_version: str = SPEC_VERSION

    def __post_init__(self) -> None:
        from hardware.program_checks import validate  # it reads the classes of this file

        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "metadata", dict(self.metadata))
        validate(self)

    def __eq__(self, other: object) -> bool:
        """Two programs are equal when their integers are (metadata does not count)."""
        from hardware.program_file import content_hash

        return isinstance(other, Program) and content_hash(self) == content_hash(other)

    def __hash__(self) -> int:
        from hardware.program_file import content_hash

        return hash(content_hash(self))

    @property
    def output(self) -> Layer:
        return self.layers[-1]

    def layer(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ProgramError(f"no layer '{name}'; layers are {', '.join(la.name for la in self.layers)}")
