"""Choice of integer formats: state units from the states of a float run, synaptic exponents from the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.steps import StepNetwork, StepPopulation
from export.interchange.weights import ConvolutionWeights, Weights
from export.quantization.formats import LayerFormat, QuantizationSettings, SynapseFormat
from export.quantization.recordings import MAX_CALIBRATION_SAMPLES, few_samples, statistics
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
    network: StepNetwork, settings: QuantizationSettings, calibration: Any = None
) -> tuple[LayerFormat, ...]:
    """One format per population.

    Args:
        calibration: inputs (B, T, N_in) as in training, the first 64 samples of which are run, or a mapping of such
            arrays by the name of the input; needed unless state_fraction_bits is given.

    Raises:
        QuantizationError: no calibration, or a layer that has no format; names the layer.
    """
    count = len(network.populations)
    given = [settings.of_layer("state_fraction_bits", i, count) for i in range(count)]
    largest = [0.0] * count
    if any(bits is None for bits in given):
        if calibration is None:
            raise QuantizationError(
                "give calibration inputs (batch, steps, channels) or state_fraction_bits; states cannot be scaled "
                "without either"
            )
        largest = largest_states(network, calibration, settings.guard_bits)
    chain = network.is_chain
    formats = []
    for index, population in enumerate(network.populations):
        synapses = _Folded(network, population, chain)
        bits = given[index]
        if bits is None:
            bits = _fraction_bits(population, synapses, largest[index], settings)
        formats.append(_format(population, synapses, bits, settings, index, count))
    return tuple(formats)


class _Folded:
    """What enters a population's states, in their own unit.

    Attributes:
        weights: of each projection. reach: largest magnitude of its source. bias: (N,).
    """

    def __init__(self, network: StepNetwork, population: StepPopulation, chain: bool) -> None:
        kind, parameters = population.kind, population.parameters
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


def _fraction_bits(
    population: StepPopulation, synapses: _Folded, largest: float, settings: QuantizationSettings
) -> int:
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
        (largest, STATE_MAX / 2.0**settings.headroom_bits),
        (threshold, STATE_MAX / 2),
        (worst, most),
        (float(np.abs(synapses.bias).max()), STATE_MAX / 2),
    ]
    bits = settings.max_fraction_bits
    for value, limit in limits:
        if value > 0:
            bits = min(bits, int(np.floor(np.log2(limit / value))))
    if bits < 0:
        raise QuantizationError(
            f"layer {population.name}: states reach {largest:.6g} and currents {worst:.6g}, too large for 24-bit "
            "states; rescale the network"
        )
    return bits


def _format(
    population: StepPopulation,
    synapses: _Folded,
    fraction_bits: int,
    settings: QuantizationSettings,
    index: int,
    count: int,
) -> LayerFormat:
    where = f"layer {population.name}"
    bits = settings.of_layer("weight_bits", index, count)
    coefficient_bits = settings.of_layer("coefficient_bits", index, count)
    finest = np.full(population.size, 2.0**-fraction_bits)
    tables = [Table.of(weights) for weights in synapses.weights]
    synaptic = synaptic_unit(population.kind, finest)
    if settings.weight_scale != "power_of_two" and tables:
        shared = settings.weight_scale == "per_layer"
        unit, exponents = fitted_units(tables, bits, synaptic, settings.scale_choice, shared)
        unit = unit / (synaptic / finest)
    else:
        unit = finest
        exponents = tuple(
            best_exponent(table.values, bits, table.rows(synaptic), settings.scale_choice, f"{where}: {what}")
            for table, what in zip(tables, _labels(synapses.names), strict=True)
        )
    shifts = coefficient_shifts(
        population.kind, population.parameters, unit, coefficient_bits, settings.guard_bits, where
    )
    kinds = (weights.kind for weights in synapses.weights)
    formats = tuple(SynapseFormat(exponent, kind) for exponent, kind in zip(exponents, kinds, strict=True))
    return LayerFormat(unit, formats, bits, coefficient_bits, shifts)


def _labels(names: Sequence[str]) -> list[str]:
    """What error messages call the weights of projections."""
    return [{"input": "weight", "recurrent": "recurrent_weight"}.get(name.rpartition(".")[2], name) for name in names]
