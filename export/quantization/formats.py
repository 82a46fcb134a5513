"""Which integer formats a network gets: what a user asks for (settings) and what each layer ends up with (formats)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from export.errors import QuantizationError
from hardware.models import MAX_SHIFT, model_spec
from hardware.populations import MAX_EXPONENT

WEIGHT_SCALES = ("auto", "power_of_two", "per_layer", "per_row")
SCALE_CHOICES = ("state_error", "squared_error", "maximum")
FEW_BITS = 6
"""Up to so many bits of weights, ``auto`` means a scale for each row."""

OF_VERSION_01 = {"weight_scale": "power_of_two", "scale_choice": "squared_error", "keep_leaks": False}
"""What settings mean that a recorded file does not have."""
SYNAPTIC_BIASES = ("exact", "steady_state", "refuse")
SYNAPSE_KINDS = ("dense", "sparse", "convolution")


@dataclass(frozen=True)
class QuantizationSettings:
    """What is asked of the integer network. Each bit width is one number for all layers or one per layer.

    Attributes:
        weight_bits: signed width of synaptic mantissas, 2 to 8.
        coefficient_bits: fraction bits of decays and rotations, 8 to 16.
        state_fraction_bits: fraction bits of states, 0 to 22; None: the most that the calibration run's states allow.
        weight_scale: ``power_of_two``: one state unit 2^-F per layer; ``per_layer``: one unit of any size per layer;
            ``per_row``: a unit per neuron; ``auto``: per_row for layers of at most 6 bits, and for others where the
            Program's spikes follow the float network clearly better with it on the calibration inputs. Units are
            folded into thresholds and coefficients at no run-time cost.
        scale_choice: scale of the weights with the least ``state_error`` on the calibration inputs (without any:
            squared_error), with the least ``squared_error`` of the weights themselves, or by the ``maximum``.
        headroom_bits: state range kept free above the largest calibrated value, 0 to 8.
        max_fraction_bits: upper end of the automatic choice, 0 to 22.
        guard_bits: extra fraction bits of SE-adLIF's w, 0 to 12 (fewer than 4 lose the adaptation).
        synaptic_bias: a CubaLIF whose bias enters the synaptic current: ``exact``: its limit value enters the membrane
            and the current starts as far below it; ``steady_state``: the same with the current at 0 (not exact during
            the first few synaptic time constants); ``refuse``.
        keep_leaks: more coefficient bits for a layer in which a decay would round to 1.
        state_units: value of one state unit of each neuron of each layer, in place of state_fraction_bits and
            weight_scale: units that were chosen before, for weights that have changed since.
        allow_zero: tensors, ``layer.tensor``, of which all values may round to 0; other ones are refused.
    """

    weight_bits: int | tuple[int, ...] = 8
    coefficient_bits: int | tuple[int, ...] = 12
    state_fraction_bits: int | tuple[int, ...] | None = None
    weight_scale: str = "auto"
    scale_choice: str = "state_error"
    headroom_bits: int = 2
    max_fraction_bits: int = 18
    guard_bits: int = 4
    synaptic_bias: str = "exact"
    keep_leaks: bool = True
    state_units: tuple[tuple[float, ...], ...] | None = None
    allow_zero: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, low, high in (("weight_bits", 2, 8), ("coefficient_bits", 8, 16), ("state_fraction_bits", 0, 22)):
            value = getattr(self, key)
            if value is None and key == "state_fraction_bits":
                continue
            if isinstance(value, (list, tuple)):
                object.__setattr__(self, key, tuple(_whole(item, low, high, key) for item in value))
            else:
                object.__setattr__(self, key, _whole(value, low, high, key))
        for key, low, high in (("headroom_bits", 0, 8), ("max_fraction_bits", 0, 22), ("guard_bits", 0, 12)):
            object.__setattr__(self, key, _whole(getattr(self, key), low, high, key))
        allowed = {"weight_scale": WEIGHT_SCALES, "scale_choice": SCALE_CHOICES, "synaptic_bias": SYNAPTIC_BIASES}
        for key, values in allowed.items():
            if getattr(self, key) not in values:
                raise QuantizationError(f"{key} is '{getattr(self, key)}'; allowed: {', '.join(values)}")
        names = (self.allow_zero,) if isinstance(self.allow_zero, str) else self.allow_zero
        object.__setattr__(self, "allow_zero", tuple(map(str, names)))
        if self.state_units is not None:
            object.__setattr__(self, "state_units", tuple(tuple(map(float, row)) for row in self.state_units))
            if not all(np.isfinite(value) and value > 0 for row in self.state_units for value in row):
                raise QuantizationError("state_units must be positive numbers, one for each neuron of each layer")

    def units_of(self, index: int, layers: int, size: int, where: str) -> np.ndarray | None:
        """Given state units of layer ``index`` of ``layers``, (N,), N = ``size``; None where none are given.

        Raises:
            QuantizationError: they are those of another network; the message begins with ``where``.
        """
        if self.state_units is None:
            return None
        if len(self.state_units) != layers or len(self.state_units[index]) != size:
            raise QuantizationError(f"{where}: state_units are those of another network; leave them out")
        return np.asarray(self.state_units[index], np.float64)

    def of_layer(self, key: str, index: int, layers: int) -> Any:
        """Bit width ``key`` of layer ``index`` of ``layers``; QuantizationError where a list has another length."""
        value = getattr(self, key)
        if not isinstance(value, tuple):
            return value
        if len(value) != layers:
            raise QuantizationError(
                f"{key} lists {len(value)} values but the network has {layers} layers; give one number or one per layer"
            )
        return value[index]

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads back."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> QuantizationSettings:
        """Settings recorded in a Program; those it does not have mean what version 0.1 did.

        Args:
            text: of :meth:`to_json`.

        Raises:
            QuantizationError: they are damaged.
        """
        try:
            return cls(**{**OF_VERSION_01, **json.loads(text)})
        except QuantizationError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise QuantizationError(
                f"recorded settings are damaged ({error}); quantize the float graph again"
            ) from None


@dataclass(frozen=True)
class SynapseFormat:
    """How a projection is stored: ``exponent``, the left shift of its sums; ``kind``, of ``hardware.synapses``."""

    exponent: int
    kind: str = "dense"


@dataclass(frozen=True, eq=False)
class LayerFormat:
    """The integer format of one population and of the projections into it; with it, their quantization is a pure
    function.

    Attributes:
        unit: float64 (N,), value of one state unit of each neuron (a_i); 2^-F for all with power-of-two scales.
        synapses: one for each projection into the population, in the network's order.
        weight_bits: width of mantissas. coefficient_bits: width of coefficients.
        shifts: one int for each shift of the model (``hardware.models``).
    """

    unit: np.ndarray
    synapses: tuple[SynapseFormat, ...]
    weight_bits: int
    coefficient_bits: int
    shifts: Mapping[str, int]

    @property
    def fraction_bits(self) -> int | None:
        """F where the unit is 2^-F for all neurons, else None."""
        mantissa, exponent = np.frexp(self.unit[0])
        return int(1 - exponent) if mantissa == 0.5 and np.all(self.unit == self.unit[0]) else None

    def to_json(self) -> str:
        """Exact: floats are written with all their digits."""
        unit: Any = self.unit.tolist() if self.fraction_bits is None else {"fraction_bits": self.fraction_bits}
        return json.dumps(
            {
                "unit": unit,
                "synapses": [[item.exponent, item.kind] for item in self.synapses],
                "weight_bits": self.weight_bits,
                "coefficient_bits": self.coefficient_bits,
                "shifts": dict(self.shifts),
            }
        )

    @classmethod
    def from_json(cls, text: Any, size: int, model: str, where: str) -> LayerFormat:
        """Checked format from a file's metadata.

        Args:
            text: of :meth:`to_json`. size, model: of the population. where: named in messages.

        Raises:
            QuantizationError: says what is wrong.
        """
        try:
            data = json.loads(str(text))
            unit = data["unit"]
            values = (
                np.full(size, 2.0 ** -int(unit["fraction_bits"]))
                if isinstance(unit, dict)
                else np.asarray(unit, np.float64)
            )
            shifts = {str(k): _whole(v, 0, MAX_SHIFT, f"{where}: shift {k}") for k, v in data["shifts"].items()}
            found = cls(
                unit=values,
                synapses=_recorded_synapses(data, where),
                weight_bits=_whole(data["weight_bits"], 2, 8, f"{where}: weight_bits"),
                coefficient_bits=_whole(data["coefficient_bits"], 8, 16, f"{where}: coefficient_bits"),
                shifts=shifts,
            )
        except QuantizationError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise QuantizationError(
                f"{where}: recorded integer format is damaged ({type(error).__name__}: {error}); quantize again with "
                "settings"
            ) from None
        if found.unit.shape != (size,) or not np.isfinite(found.unit).all() or np.any(found.unit <= 0):
            raise QuantizationError(
                f"{where}: recorded state units must be {size} positive numbers; quantize again with settings"
            )
        if set(shifts) != set(_shifts_of(model)):
            raise QuantizationError(
                f"{where}: recorded shifts are {sorted(shifts)}, model '{model}' has {sorted(_shifts_of(model))}; "
                "quantize again"
            )
        return found


def _shifts_of(model: str) -> tuple[str, ...]:
    spec = model_spec(model)
    return () if spec is None else spec.shifts


def _recorded_synapses(data: Mapping[str, Any], where: str) -> tuple[SynapseFormat, ...]:
    """Of each projection; files of version 0.1 name input and recurrent synapses, both dense."""
    if "synapses" not in data:
        exponents = [data["input_exponent"], data["recurrent_exponent"]]
        items = [[exponent, "dense"] for exponent in exponents if exponent is not None]
    else:
        items = data["synapses"]
    found = []
    for exponent, kind in items:
        if kind not in SYNAPSE_KINDS:
            raise QuantizationError(f"{where}: recorded synapses are '{kind}'; allowed: {', '.join(SYNAPSE_KINDS)}")
        found.append(SynapseFormat(_whole(exponent, 0, MAX_EXPONENT, f"{where}: exponent"), str(kind)))
    return tuple(found)


def _whole(value: Any, low: int, high: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise QuantizationError(f"{what} is {value!r}; it must be a whole number")
    if not low <= value <= high:
        raise QuantizationError(f"{what} is {int(value)}; limit {low} to {high}")
    return int(value)
