"""Choice of integer formats: state units from the states of a float run, synaptic exponents from the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.steps import StepNetwork, StepPopulation
from export.interchange.weights import ConvolutionWeights, Weights
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


_NOTICED = 0.3
"""With 7 and 8 bits, errors of states below this part of the threshold in every layer keep scales that are powers of
two."""

_CLEARLY = 4.0
"""So many times smaller (mean squares) must errors be with a scale for each row."""


def choose_formats(
    network: StepNetwork,
    settings: QuantizationSettings,
    calibration: Any = None,
    seen: Statistics | None = None,
) -> tuple[LayerFormat, ...]:
    """One format per population.

    Args:
        calibration: inputs (B, T, N_in) as in training, the first 64 samples of which are run, or a mapping of such
            arrays by the name of the input, or several of either; needed unless state_fraction_bits is given.
        seen: what the float network does on them, where that is known already.

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
    measured = _Measured(network, settings, calibration)
    measured.listen(synapses, given)
    each = zip(network.populations, synapses, given, strict=True)
    return tuple(_format(p, own, bits or 0, measured, i, count) for i, (p, own, bits) in enumerate(each))


class _Measured:
    """What the choice of scales knows: the settings, and signals of the float network where there are inputs."""

    def __init__(self, network: StepNetwork, settings: QuantizationSettings, calibration: Any) -> None:
        self.network, self.settings, self._calibration = network, settings, calibration
        self._drives: Drives | None = None
        self.loud = False

    def listen(self, synapses: Sequence[Folded], fraction_bits: Sequence[int | None]) -> None:
        """Decide whether powers of two make errors that matter in some layer of more than 6 bits (``loud``); then
        all of them get scales by row, as what one layer does wrong the next one hears."""
        settings, count = self.settings, len(synapses)
        if settings.weight_scale != "auto" or settings.state_units is not None:
            return
        for index, (population, own) in enumerate(zip(self.network.populations, synapses, strict=True)):
            bits, fraction = settings.of_layer("weight_bits", index, count), fraction_bits[index]
            if bits <= FEW_BITS or fraction is None or self.loud:
                continue
            error = self.error(population, own)
            self.loud = error is not None and _noise(population, own, fraction, bits, error) > _NOTICED

    def error(self, population: StepPopulation, synapses: Folded) -> StateError | None:
        """Of a population's states; None without calibration inputs, or where another choice is asked for."""
        if self._calibration is None or not synapses.weights or self.settings.scale_choice != "state_error":
            return None
        if self._drives is None:
            self._drives = Drives(self.network, example_inputs(self.network, self._calibration))
        return StateError.at(self.network, population, synapses.weights, self._drives)


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
    population: StepPopulation, synapses: Folded, fraction_bits: int, measured: _Measured, index: int, count: int
) -> LayerFormat:
    where, settings = f"layer {population.name}", measured.settings
    bits = settings.of_layer("weight_bits", index, count)
    given = settings.units_of(index, count, population.size, where)
    unit = np.full(population.size, 2.0**-fraction_bits) if given is None else given
    tables = [Table.of(weights) for weights in synapses.weights]
    scale = settings.weight_scale
    fixed = given is not None or scale == "power_of_two" or not tables
    if fixed:
        exponents = _powers_of_two(synapses, tables, bits, unit, settings.scale_choice, where, population.kind)
    else:
        error = measured.error(population, synapses)
        unit, exponents = _scaled(population, synapses, tables, bits, unit, error, settings, measured.loud)
    coefficient_bits = settings.of_layer("coefficient_bits", index, count)
    if settings.keep_leaks:
        coefficient_bits = bits_that_keep_leaks(population, coefficient_bits)
    shifts = coefficient_shifts(
        population.kind, population.parameters, unit, coefficient_bits, settings.guard_bits, where
    )
    kinds = (weights.kind for weights in synapses.weights)
    formats = tuple(SynapseFormat(exponent, kind) for exponent, kind in zip(exponents, kinds, strict=True))
    return LayerFormat(unit, formats, bits, coefficient_bits, shifts)


def _powers_of_two(
    synapses: Folded, tables: Sequence[Table], bits: int, unit: np.ndarray, choice: str, where: str, kind: str
) -> tuple[int, ...]:
    """Exponents in given units."""
    synaptic = synaptic_unit(kind, unit)
    return tuple(
        best_exponent(table.values, bits, table.rows(synaptic), choice, f"{where}: {what}")
        for table, what in zip(tables, _labels(synapses.names), strict=True)
    )


def _scaled(
    population: StepPopulation,
    synapses: Folded,
    tables: Sequence[Table],
    bits: int,
    finest: np.ndarray,
    error: StateError | None,
    settings: QuantizationSettings,
    loud: bool,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Units and exponents where a unit need not be a power of two."""
    where, scale = f"layer {population.name}", settings.weight_scale
    synaptic = synaptic_unit(population.kind, finest)
    noise = None
    if scale == "auto" and bits > FEW_BITS:
        exponents = _powers_of_two(synapses, tables, bits, finest, "squared_error", where, population.kind)
        if error is None or not loud:
            return finest, exponents
        noise = error.of(bits, exponents, [synaptic])[0]
    shared = scale == "per_layer"
    if error is None:
        unit, chosen = fitted_units(tables, bits, synaptic, settings.scale_choice, shared, where)
        return unit / (synaptic / finest), chosen
    unit, chosen, left = fit_units(error, tables, bits, synaptic, shared, where)
    if noise is not None and left.sum() * _CLEARLY > noise.sum():
        return finest, exponents
    return unit / (synaptic / finest), chosen


def _noise(population: StepPopulation, synapses: Folded, fraction_bits: int, bits: int, error: StateError) -> float:
    """Root mean square of the errors of states with powers of two, beside what the states are compared with."""
    finest = np.full(population.size, 2.0**-fraction_bits)
    tables = [Table.of(weights) for weights in synapses.weights]
    where = f"layer {population.name}"
    exponents = _powers_of_two(synapses, tables, bits, finest, "squared_error", where, population.kind)
    noise, used = error.of(bits, exponents, [synaptic_unit(population.kind, finest)])[0], error.size > 0
    return float(np.sqrt(np.mean(noise[used] / error.size[used] ** 2))) if used.any() else 0.0


def _labels(names: Sequence[str]) -> list[str]:
    """What error messages call the weights of projections."""
    return [{"input": "weight", "recurrent": "recurrent_weight"}.get(name.rpartition(".")[2], name) for name in names]
