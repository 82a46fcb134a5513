"""Choice of integer formats: state units from the states of a float run, synaptic exponents from the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.steps import StepNetwork, StepPopulation
from export.interchange.weights import ConvolutionWeights, Weights
from export.quantization.closer import Build, closer, comparison_inputs
from export.quantization.drives import Drives, StateError, example_inputs
from export.quantization.fitting import fit_units
from export.quantization.formats import FEW_BITS, LayerFormat, QuantizationSettings, SynapseFormat
from export.quantization.leaks import bits_that_keep_leaks
from export.quantization.recordings import MAX_CALIBRATION_SAMPLES, Statistics, few_samples, statistics
from export.quantization.scales import Table, best_exponent, fitted_units, squared_error
from export.quantization.synapses import stored
from export.quantization.tensors import (
    coefficient_shifts,
    folded_bias,
    folded_weights,
    spike_increment,
    synaptic_unit,
)
from hardware.models import STATE_MAX

__all__ = [
    "MAX_CALIBRATION_SAMPLES",
    "best_exponent",
    "choose_formats",
    "few_samples",
    "largest_states",
    "squared_error",
]

_MAX_CURRENT = 2**30
"""Worst-case current kept within half of the contract's limit (FP-2.7): rounding of weights may raise it."""


def choose_formats(
    network: StepNetwork,
    settings: QuantizationSettings,
    calibration: Any = None,
    seen: Statistics | None = None,
    build: Build | None = None,
    signals: Signals | None = None,
) -> tuple[LayerFormat, ...]:
    """One format per population.

    Args:
        calibration: inputs (B, T, N_in) as in training, the first 64 samples of which are run, or a mapping of such
            arrays by the name of the input, or several of either; needed unless state_fraction_bits is given.
        seen: what the float network does on them, where that is known already.
        build: makes the Program of given formats. With it ``auto`` runs layers of more than 6 bits in powers of two and
            in units by neuron, and takes the latter where they follow the float network clearly better; without, they
            get powers of two.
        signals: of the same network and calibration, where several choices share them.

    Raises:
        QuantizationError: no calibration, or a layer that has no format; names the layer.
    """
    count = len(network.populations)
    given = [settings.of_layer("state_fraction_bits", i, count) for i in range(count)]
    largest = [0.0] * count
    if settings.state_units is None and any(bits is None for bits in given):
        if calibration is None:
            raise QuantizationError(
                "give calibration inputs (batch, steps, channels) or state_fraction_bits; states cannot be scaled "
                "without either"
            )
        found = statistics(network, calibration) if seen is None else seen
        largest = found.largest(network, settings.guard_bits)
    synapses = [Folded(network, population) for population in network.populations]
    if settings.state_units is None:
        parts = zip(given, network.populations, synapses, largest, strict=True)
        given = [_fraction_bits(p, own, most, settings) if bits is None else bits for bits, p, own, most in parts]
    if calibration is None or settings.scale_choice != "state_error":
        signals = None
    elif signals is None:
        signals = Signals(network, calibration)

    asked = [_Asked.of(settings, population, i, count) for i, population in enumerate(network.populations)]

    def formats(wide: str) -> tuple[LayerFormat, ...]:
        each = zip(network.populations, synapses, given, asked, strict=True)
        return tuple(_format(p, own, bits or 0, ask, wide, signals) for p, own, bits, ask in each)

    widest = max(ask.weight_bits for ask in asked)
    open_choice = settings.weight_scale == "auto" and settings.state_units is None and widest > FEW_BITS
    if not open_choice or signals is None or build is None:
        return formats("power_of_two")
    return closer(network, build, formats, signals.held_out())


class Signals:
    """What the float network does on a part of the calibration inputs, and the units that were fitted with it."""

    def __init__(self, network: StepNetwork, calibration: Any) -> None:
        self.network, self._calibration = network, calibration
        self._drives: Drives | None = None
        self._fits: dict[tuple[Any, ...], tuple[np.ndarray, tuple[int, ...]]] = {}

    def held_out(self) -> Any:
        """Inputs on which formats are compared; others than those of the fits where there are enough."""
        return comparison_inputs(self.network, self._calibration)

    def fit(
        self, population: StepPopulation, synapses: Folded, bits: int, finest: np.ndarray, shared: bool
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """:func:`fit_units`, once for each question."""
        key = (population.name, bits, shared, finest.tobytes())
        if key not in self._fits:
            if self._drives is None:
                self._drives = Drives(self.network, example_inputs(self.network, self._calibration))
            error = StateError.at(self.network, population, synapses.weights, self._drives)
            tables = [Table.of(weights) for weights in synapses.weights]
            self._fits[key] = fit_units(error, tables, bits, finest, shared, f"layer {population.name}")
        return self._fits[key]


class Folded:
    """What enters a population's states, in their own unit.

    Attributes:
        weights: of each projection. reach: largest magnitude of its source. bias: (N,).
    """

    def __init__(self, network: StepNetwork, population: StepPopulation) -> None:
        chain, kind, parameters = network.is_chain, population.kind, population.parameters
        projections = network.into(population.name)
        scales = [network.scale_of(item.source) for item in projections]
        folded = [
            folded_weights(item.weights, kind, parameters, scale)
            for item, scale in zip(projections, scales, strict=True)
        ]
        self.names = [item.name for item in projections]
        self.weights: list[Weights] = [stored(weights, chain) for weights in folded]
        self.reach = [max(map(abs, network.range_of(item.source))) for item in projections]
        self.bias = folded_bias(kind, population.bias, parameters)

    def worst_current(self) -> float:
        """Largest possible ``|I|`` of any neuron without bias."""
        total: np.ndarray | float = 0.0
        for weights, reach in zip(self.weights, self.reach, strict=True):
            total = total + _neurons(weights, np.abs(weights.table()).sum(axis=1)) * reach
        return float(np.max(total))


def _neurons(weights: Weights, rows: np.ndarray) -> np.ndarray:
    return np.repeat(rows, weights.positions) if isinstance(weights, ConvolutionWeights) else rows


def largest_states(network: StepNetwork, calibration: Any, guard_bits: int) -> list[float]:
    """Largest magnitude of any state of each population in a float run, in units of its first state (as the integers
    hold it)."""
    return statistics(network, calibration).largest(network, guard_bits)


def _fraction_bits(population: StepPopulation, synapses: Folded, largest: float, settings: QuantizationSettings) -> int:
    """Most fraction bits with which states, thresholds, bias and the worst-case current keep their ranges."""
    p = population.parameters
    if population.options.get("reset") == "subtract":  # recorded after the reset, but saturated before it
        largest += float(np.abs(p["theta"]).max())
    threshold = float(max((np.max(np.abs(p[k])) for k in ("theta", "b0") if k in p), default=0.0))
    threshold = max(threshold, spike_increment(population.kind, p, settings.guard_bits))
    worst = synapses.worst_current()
    # of cuba_lif one wrap must do (FP-3.5), and the threshold has a 17-bit mantissa in units of 2^6
    most = STATE_MAX / 2 if population.kind == "cuba_lif" else _MAX_CURRENT
    limits = [
        ("states, which reach", largest, STATE_MAX / 2.0**settings.headroom_bits, "rescale the network or its inputs"),
        ("its threshold or jump of", threshold, STATE_MAX / 2, "lower that threshold or jump"),
        ("currents, which reach", worst, most, "narrow the input range or lower the weights"),
        ("its bias of", float(np.abs(synapses.bias).max()), STATE_MAX / 2, "lower that bias"),
    ]
    bits = settings.max_fraction_bits
    for what, value, limit, fix in limits:
        if not np.isfinite(value):
            raise QuantizationError(f"layer {population.name}: {what} {value}, not finite; repair the network")
        if value > 0:
            bits = min(bits, int(np.floor(np.log2(limit / value))))
        if bits < 0:
            raise QuantizationError(
                f"layer {population.name}: {what} {value:.6g}, too large for 24-bit states (limit {limit:.6g}); {fix}"
            )
    return bits


def _format(
    population: StepPopulation,
    synapses: Folded,
    fraction_bits: int,
    asked: _Asked,
    wide: str,
    signals: Signals | None,
) -> LayerFormat:
    """`wide`: the scale that ``auto`` means where weights have more than 6 bits."""
    where, settings = f"layer {population.name}", asked.settings
    unit = np.full(population.size, 2.0**-fraction_bits) if asked.units is None else asked.units
    tables = [Table.of(weights) for weights in synapses.weights]
    scale, choice = settings.weight_scale, settings.scale_choice
    if scale == "auto":
        scale = "per_row" if asked.weight_bits <= FEW_BITS else wide
        choice = "squared_error" if scale == "power_of_two" else choice
    if asked.units is not None or scale == "power_of_two" or not tables:
        exponents = _powers_of_two(synapses, tables, asked.weight_bits, unit, choice, where, population.kind)
    else:
        finest, shared = synaptic_unit(population.kind, unit), scale == "per_layer"
        if signals is None:
            fitted, exponents = fitted_units(tables, asked.weight_bits, finest, choice, shared, where)
        else:
            fitted, exponents = signals.fit(population, synapses, asked.weight_bits, finest, shared)
        unit = fitted / (finest / unit)
    coefficient_bits = asked.coefficient_bits
    if settings.keep_leaks:
        coefficient_bits = bits_that_keep_leaks(population, coefficient_bits)
    shifts = coefficient_shifts(
        population.kind, population.parameters, unit, coefficient_bits, settings.guard_bits, where
    )
    kinds = (weights.kind for weights in synapses.weights)
    formats = tuple(SynapseFormat(exponent, kind) for exponent, kind in zip(exponents, kinds, strict=True))
    return LayerFormat(unit, formats, asked.weight_bits, coefficient_bits, shifts)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the settings say of one layer. units: given state units (N,), or None."""

    settings: QuantizationSettings
    weight_bits: int
    coefficient_bits: int
    units: np.ndarray | None

    @classmethod
    def of(cls, settings: QuantizationSettings, population: StepPopulation, index: int, count: int) -> _Asked:
        weight = settings.of_layer("weight_bits", index, count)
        units = settings.units_of(index, count, population.size, f"layer {population.name}")
        return cls(settings, weight, settings.of_layer("coefficient_bits", index, count), units)


def _powers_of_two(
    synapses: Folded, tables: Sequence[Table], bits: int, unit: np.ndarray, choice: str, where: str, kind: str
) -> tuple[int, ...]:
    """Exponents in given units."""
    synaptic = synaptic_unit(kind, unit)
    return tuple(
        best_exponent(table.values, bits, table.rows(synaptic), choice, f"{where}: {what}")
        for table, what in zip(tables, _labels(synapses.names), strict=True)
    )


def _labels(names: Sequence[str]) -> list[str]:
    """What error messages call the weights of projections."""
    return [{"input": "weight", "recurrent": "recurrent_weight"}.get(name.rpartition(".")[2], name) for name in names]
