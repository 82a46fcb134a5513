"""What each integer neuron model is made of: its states, coefficients, shifts and named options.

This is data, not arithmetic. The arithmetic stands in ``hardware.neurons`` (arrays) and ``hardware.reference`` (one
neuron at a time); every other engine (Lava, ONNX, torch) and the Program's own validation read the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATE_BITS = 24
STATE_MAX = 2 ** (STATE_BITS - 1) - 1
"""Largest magnitude of a neuron state; saturation is symmetric, ``[-STATE_MAX, STATE_MAX]``."""

MAX_COEFFICIENT_BITS = 16
MAX_SHIFT = 31


@dataclass(frozen=True)
class ParameterSpec:
    """Admissible range of one per-neuron integer parameter.

    Attributes:
        low: smallest value allowed.
        high: largest value allowed; None stands for ``2**coefficient_bits`` of the layer (a decay of exactly 1 is
            ``2**K``).
        meaning: one line for error messages and reports.
    """

    low: int
    high: int | None
    meaning: str


@dataclass(frozen=True)
class ModelSpec:
    """Static description of a neuron model.

    Attributes:
        name: identifier used in Program files.
        states: state names in the order in which one step updates them.
        spiking: False for a leaky-integrator readout, whose output is its first state.
        parameters: per-neuron integer parameters, each an int32 array (N,).
        shifts: names of the per-layer shift counts (fraction bits of coefficients, guard bits).
        options: named options and their admissible values; the first is the default.
        newer: option -> those of its values that came after specification 2.0. An option that had no other value than
            its default before is written only where it differs from that, so that older programs keep their bytes.
        since: option -> the version that its newer values came with, where that is not 2.1.
    """

    name: str
    states: tuple[str, ...]
    spiking: bool
    parameters: Mapping[str, ParameterSpec]
    shifts: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    newer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)

    def older(self) -> dict[str, tuple[str, ...]]:
        """Options with the values that they had before specification 2.1; without those that did not exist."""
        kept = {
            name: tuple(v for v in values if v not in self.newer.get(name, ())) for name, values in self.options.items()
        }
        return {name: values for name, values in kept.items() if name not in self.newer or len(values) > 1}

    def written(self, options: Mapping[str, str]) -> dict[str, str]:
        """What a file says of these options: an option of 2.1 only where it is not at its default."""
        old = self.older()
        return {
            name: options[name] for name, values in self.options.items() if name in old or options[name] != values[0]
        }

    def needs_newer(self, options: Mapping[str, str]) -> bool:
        """Whether these options have a clause that came after specification 2.0."""
        return self.version(options) is not None

    def version(self, options: Mapping[str, str]) -> str | None:
        """Lowest version of the specification that has these options' clauses, None where 1.0 and 2.0 have them."""
        used = [self.since.get(name, "2.1") for name, values in self.newer.items() if options[name] in values]
        return max(used, default=None)


_DECAY = ParameterSpec(0, None, "decay factor times 2^K")
_THRESHOLD = ParameterSpec(0, STATE_MAX, "threshold in state units")
_RESET_AT = ("same", "next", "carried")
MOST_SPIKES = {"one": 1, "up_to_15": 15, "up_to_31": 31, "up_to_255": 255}
"""Option ``spikes``: how many spikes a neuron can send in one step (FP-3.9)."""
_FIRE = {"reset_at": _RESET_AT, "fires": ("above", "at"), "spikes": tuple(MOST_SPIKES)}
_NEWER_FIRE = {name: values[1:] for name, values in _FIRE.items()}
_SINCE = {"fires": "2.2", "spikes": "2.2"}

MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="brf",
            states=("u", "v", "q"),
            spiking=True,
            parameters={
                "C": ParameterSpec(0, None, "undamped diagonal of the rotation times 2^K"),
                "S": ParameterSpec(0, None, "off-diagonal dt*omega of the rotation times 2^K"),
                "D": ParameterSpec(0, 2**MAX_COEFFICIENT_BITS, "damping per unit of q times 2^(K+Kd)"),
                "R": ParameterSpec(0, 2**MAX_COEFFICIENT_BITS, "refractory decay times 2^KR"),
                "TH": _THRESHOLD,
                "J": ParameterSpec(0, STATE_MAX, "increment of q per spike in state units"),
            },
            shifts=("K", "Kd", "KR"),
        ),
        ModelSpec(
            name="se_adlif",
            states=("u", "w"),
            spiking=True,
            parameters={
                "A": _DECAY,
                "Be": _DECAY,
                "At": ParameterSpec(0, 2**MAX_COEFFICIENT_BITS, "membrane-to-adaptation coupling times 2^Ka"),
                "Bt": ParameterSpec(0, STATE_MAX, "adaptation increment per spike in units of w"),
                "TH": _THRESHOLD,
            },
            shifts=("K", "Ka", "g"),
            options={"adaptation_spike": ("current", "previous")},
        ),
        ModelSpec(
            name="alif",
            states=("a", "u"),
            spiking=True,
            parameters={
                "A": _DECAY,
                "Rho": _DECAY,
                "Ja": ParameterSpec(0, STATE_MAX, "threshold increment per spike in state units"),
                "B0": _THRESHOLD,
            },
            shifts=("K",),
        ),
        ModelSpec(
            name="lif",
            states=("u",),
            spiking=True,
            parameters={"A": _DECAY, "TH": _THRESHOLD},
            shifts=("K",),
            options={"reset": ("zero", "subtract", "none"), **_FIRE},
            newer={"reset": ("none",), **_NEWER_FIRE},
            since=_SINCE,
        ),
        ModelSpec(
            name="cuba_lif",
            states=("u", "v"),
            spiking=True,
            parameters={
                "du": ParameterSpec(-1, 4095, "current decay as Lava's LIF takes it (factor 4096 - (du + 1))"),
                "dv": ParameterSpec(0, 4096, "voltage decay (factor 4096 - dv)"),
                "vth": ParameterSpec(0, 2**17 - 1, "threshold mantissa (compared as vth << 6)"),
            },
            shifts=(),
            options={"reset": ("zero", "subtract", "none"), **_FIRE},
            newer={"reset": ("subtract", "none"), **_NEWER_FIRE},
            since=_SINCE,
        ),
        ModelSpec(
            name="li",
            states=("u",),
            spiking=False,
            parameters={"A": _DECAY},
            shifts=("K",),
        ),
    )
}

OWN_MODELS: dict[str, ModelSpec] = {}
"""Neurons of users' own (:mod:`hardware.own`); engines that do not know them refuse them."""


def model_spec(name: str) -> ModelSpec | None:
    """The model of that name, of the specification or a user's own."""
    return MODELS.get(name) or OWN_MODELS.get(name)
