"""The nouns of a Program: inputs, populations of neurons, projections between them, and the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware.checks import check_array, check_int, check_name, check_names, frozen, size_and_shape
from hardware.errors import ProgramError
from hardware.models import MAX_SHIFT, MODELS, MOST_SPIKES, OWN_MODELS, STATE_MAX, ModelSpec, model_spec
from hardware.synapses import Connections, Convolution, Dense, Sparse

MAX_EXPONENT = 23
MAX_DELAY = 62
MAX_MULTIPLIER = 2**24 - 1
DECISION_RULES = ("per_step", "sum", "spike_count")
_DECAY_SHIFT = "K"


@dataclass(frozen=True)
class Input:
    """A group of input channels and the integers that it accepts at each channel and step.

    Attributes:
        name: unique among inputs and populations; letters, digits, ``_``, ``.`` and ``-``.
        size: number of channels, or a picture's (channels, height, width), numbered channel-major; an int afterwards.
        low, high: smallest and largest value, 0 and 1 for spikes.
        shape: the picture's shape, (size,) where none was given.
    """

    name: str
    size: int
    low: int = 0
    high: int = 1
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "input")
        where = f"input '{self.name}'"
        size, shape = size_and_shape(self.size, self.shape, where)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "shape", shape)
        check_int(self.low, -(2**24), 2**24, f"{where}: lowest value")
        check_int(self.high, -(2**24), 2**24, f"{where}: highest value")
        if self.low > self.high:
            raise ProgramError(f"{where}: lowest value {self.low} is above the highest value {self.high}; swap them")


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one model.

    Attributes:
        name: unique among inputs and populations; used in traces as ``spikes/<name>`` and ``<state>/<name>``; letters,
            digits, ``_``, ``.`` and ``-``.
        size: number of neurons N, or a picture's (channels, height, width), numbered channel-major; an int afterwards.
        model: a key of :data:`hardware.models.MODELS`.
        bias: int32 (N,), in state units, added to the current at every step.
        parameters: int32 (N,) for each parameter of the model.
        shifts: one int for each shift of the model.
        options: one value for each option of the model; a missing one takes the model's first value.
        coefficient_bits: width of decay factors (a decay of exactly one is ``2**K``), 8 to 16; without meaning for
            ``cuba_lif``.
        initial: int32 (N,) for each state that does not start at 0.
        shape: the picture's shape, (N,) where none was given.

    Raises:
        ProgramError: where a name, type, shape or range breaks the contract; one line that names population and item.
    """

    name: str
    size: int
    model: str
    bias: np.ndarray
    parameters: Mapping[str, np.ndarray]
    shifts: Mapping[str, int]
    options: Mapping[str, str] = field(default_factory=dict)
    coefficient_bits: int = 12
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "population")
        where = f"population '{self.name}'"
        size, shape = size_and_shape(self.size, self.shape, where)
        if model_spec(self.model) is None:
            raise ProgramError(
                f"{where}: unknown model {self.model!r}; models are {', '.join([*MODELS, *OWN_MODELS])}; import the "
                "module "
                "of a neuron of your own first (--with MODULE)"
            )
        initial = {name: frozen(value) for name, value in dict(self.initial).items()}
        for name, value in (
            ("size", size),
            ("shape", shape),
            ("bias", frozen(self.bias)),
            ("parameters", {name: frozen(value) for name, value in dict(self.parameters).items()}),
            ("shifts", dict(self.shifts)),
            ("options", {**{name: values[0] for name, values in self.spec.options.items()}, **dict(self.options)}),
            ("initial", initial),
        ):
            object.__setattr__(self, name, value)
        self._check(where)

    @property
    def spec(self) -> ModelSpec:
        """What the specification says of its model: states, parameters, shifts, options."""
        return MODELS.get(self.model) or OWN_MODELS[self.model]

    @property
    def most_spikes(self) -> int:
        """Largest number of spikes that a neuron can send in one step (FP-3.9)."""
        return MOST_SPIKES[self.options.get("spikes", "one")]

    def start(self, state: str) -> np.ndarray:
        """int32 (N,): the state before the first step (FP-2.6)."""
        value = self.initial.get(state)
        return np.zeros(self.size, np.int32) if value is None else value

    def state_limits(self, state: str) -> tuple[int, int]:
        """Smallest and largest value that an initial state may have (FP-2.6)."""
        if self.model == "cuba_lif" and state == "u":
            return -(2**23) + 1, 2**23
        return (0 if state == "q" else -STATE_MAX), STATE_MAX

    def _check(self, where: str) -> None:
        check_int(self.coefficient_bits, 8, 16, f"{where}: coefficient_bits")
        check_array(self.bias, self.size, -STATE_MAX, STATE_MAX, f"{where}: bias")
        check_names(self.shifts, self.spec.shifts, f"{where}: shift")
        for name, count in self.shifts.items():
            check_int(count, 0, MAX_SHIFT, f"{where}: shift {name}")
        check_names(self.options, self.spec.options, f"{where}: option")
        for name, value in self.options.items():
            if value not in self.spec.options[name]:
                choices = ", ".join(self.spec.options[name])
                raise ProgramError(f"{where}: option {name} must be one of {choices}, got {value!r}")
        if self.options.get("reset") == "none" and self.options.get("reset_at", "same") != "same":
            raise ProgramError(
                f"{where}: reset 'none' has no reset_at '{self.options['reset_at']}' (FP-3.7); leave reset_at at 'same'"
            )
        self._check_parameters(where)
        if self.most_spikes > 1:
            self._check_counts(where)
        unknown = [name for name in self.initial if name not in self.spec.states]
        if unknown:
            states = ", ".join(self.spec.states)
            raise ProgramError(f"{where}: initial state {unknown[0]!r} is unknown; states are {states}")
        for name, start in self.initial.items():
            check_array(start, self.size, *self.state_limits(name), f"{where}: initial {name}")

    def _check_counts(self, where: str) -> None:
        """FP-3.9."""
        needed = {"reset": "subtract", "reset_at": "same", "fires": "at"}
        for name, value in needed.items():
            if self.options[name] != value:
                raise ProgramError(
                    f"{where}: with spikes '{self.options['spikes']}' option {name} must be '{value}', "
                    f"got '{self.options[name]}' (FP-3.9)"
                )
        name = "vth" if self.model == "cuba_lif" else "TH"
        if int(self.parameters[name].min()) < 1:
            raise ProgramError(
                f"{where}: with spikes '{self.options['spikes']}' parameter {name} must be at least 1, got 0 at neuron "
                f"{int(np.argmin(self.parameters[name]))} (FP-3.9)"
            )

    def _check_parameters(self, where: str) -> None:
        check_names(self.parameters, self.spec.parameters, f"{where}: parameter")
        for name, limits in self.spec.parameters.items():
            high = limits.high
            if high is None:  # a decay factor: at most one, and at most as wide as declared
                high = 2 ** min(self.coefficient_bits, self.shifts[_DECAY_SHIFT])
            what = f"{where}: parameter {name} ({limits.meaning})"
            check_array(self.parameters[name], self.size, limits.low, high, what)
        if self.model == "brf":
            c, s = (self.parameters[name].astype(np.int64) for name in ("C", "S"))
            bits = 2 * self.shifts[_DECAY_SHIFT]
            unstable = np.flatnonzero(c * c + s * s > 1 << bits)
            if unstable.size:
                n = int(unstable[0])
                raise ProgramError(
                    f"{where}: neuron {n} is an unstable resonator, C^2 + S^2 = {int(c[n] ** 2 + s[n] ** 2)} "
                    f"must be at most 2^{bits} (FP-5.1); decrement C"
                )


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from an input or a population to a population: ``(W s(t - delay)) << exponent``.

    Attributes:
        name: unique among projections.
        source: name of an input or of a spiking population.
        target: name of a population.
        synapses: :class:`Dense`, :class:`Sparse` or :class:`Convolution`.
        exponent: left shift applied to the sum, 0 to 23.
        delay: steps, 0 to 62; 0 only forward in the order of populations.

    Raises:
        ProgramError: one line that names projection and item.
    """

    name: str
    source: str
    target: str
    synapses: Connections
    exponent: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, "projection")
        where = f"projection '{self.name}'"
        given: object = self.synapses
        if not isinstance(given, (Dense, Sparse, Convolution)):
            found = type(given).__name__
            raise ProgramError(f"{where}: synapses must be Dense, Sparse or Convolution, got {found}")
        self.synapses.check(where)
        check_int(self.exponent, 0, MAX_EXPONENT, f"{where}: exponent")
        check_int(self.delay, 0, MAX_DELAY, f"{where}: delay")

    def interval(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """FP-2.7: smallest and largest contribution to each target's current, int64 (N,) each, for source values in
        ``[low, high]``; with a delay also for none (0), which is what arrives before the first step."""
        least, most = (side * 2**self.exponent for side in self.synapses.interval(low, high))
        return (np.minimum(least, 0), np.maximum(most, 0)) if self.delay else (least, most)


@dataclass(frozen=True, eq=False)
class Decision:
    """How a class is read from the integers of an output; the lowest index wins a tie (FP-4.1).

    Attributes:
        rule: ``per_step`` (argmax at every step), ``sum`` (argmax of the sum over the steps that count) or
            ``spike_count`` (the same sum, of output spikes).
        ignore_first: steps at the start that do not count.
        multiplier: int32 (N_out,), multiplies each output before the argmax (per-row weight scales), or None for ones.
        output: name of the output that is read; None is the last one.
    """

    rule: str = "per_step"
    ignore_first: int = 0
    multiplier: np.ndarray | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        if self.multiplier is not None:
            object.__setattr__(self, "multiplier", frozen(self.multiplier))

    def check(self, population: Population) -> None:
        """Raises ProgramError where the rule does not fit ``population``, the output that it reads."""
        if self.rule not in DECISION_RULES:
            raise ProgramError(f"decision rule {self.rule!r} is unknown; rules are {', '.join(DECISION_RULES)}")
        if self.rule == "spike_count" and not population.spec.spiking:
            raise ProgramError(
                f"decision rule 'spike_count' needs a spiking output, '{population.name}' is '{population.model}'; "
                f"use 'sum'"
            )
        check_int(self.ignore_first, 0, 2**31 - 1, "decision: ignore_first")
        if self.multiplier is not None:
            check_array(self.multiplier, population.size, 1, MAX_MULTIPLIER, "decision: multiplier")
