"""Choice of integer formats: state units from the states of a float run, synaptic exponents from the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.float_engine import run
from export.interchange.steps import StepLayer, StepNetwork
from export.quantization.formats import LayerFormat, QuantizationSettings
from export.quantization.tensors import (
    CUBA_SHIFT,
    coefficient_shifts,
    folded_synapses,
    quantize_weights,
    spike_increment,
    weight_limit,
)
from hardware.models import STATE_MAX
from hardware.populations import MAX_EXPONENT

_MAX_CURRENT = 2**30
"""Worst-case current kept within half of the contract's limit (FP-2.1): rounding of weights may raise it."""

_CLIPPINGS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
"""Row scales tried below the one that keeps the largest weight; at few bits a clipped maximum costs less than coarse
steps."""

_MAX_COARSENING = 4.0
"""With per-row scales a neuron's unit is at most this much coarser than the finest one its states allow."""

MAX_CALIBRATION_SAMPLES = 64


def choose_formats(
    network: StepNetwork, settings: QuantizationSettings, calibration: Any = None
) -> tuple[LayerFormat, ...]:
    """One format per layer.

    Args:
        calibration: inputs (B, T, N_in) as in training, the first 64 samples of which are run; needed unless
            state_fraction_bits is given.

    Raises:
        QuantizationError: no calibration, or a layer that has no format; names the layer.
    """
    count = len(network.layers)
    given = [settings.of_layer("state_fraction_bits", i, count) for i in range(count)]
    largest = [0.0] * count
    if any(bits is None for bits in given):
        if calibration is None:
            raise QuantizationError(
                "give calibration inputs (batch, steps, channels) or state_fraction_bits; states cannot be scaled "
                "without either"
            )
        largest = largest_states(network, calibration, settings.guard_bits)
    formats = []
    for index, layer in enumerate(network.layers):
        where = f"layer {layer.name}"
        scale = network.input_scale if index == 0 else 1.0
        synapses = folded_synapses(
            layer.kind, layer.weight, layer.recurrent_weight, layer.bias, layer.parameters, scale
        )
        reach = max(map(abs, network.input_format)) if index == 0 else 1
        bits = given[index]
        if bits is None:
            bits = _fraction_bits(layer, synapses, largest[index], reach, settings, where)
        formats.append(_format(layer, synapses, bits, settings, index, count, where))
    return tuple(formats)


def largest_states(network: StepNetwork, calibration: Any, guard_bits: int) -> list[float]:
    """Largest magnitude of any state of each layer in a float run, in units of the layer's first state (as the
    integers hold it)."""
    values = np.asarray(calibration)
    if values.ndim != 3:
        raise QuantizationError(f"calibration inputs have shape {values.shape}; expected (batch, steps, channels)")
    trace = run(network, np.swapaxes(values[:MAX_CALIBRATION_SAMPLES], 0, 1), record="all")
    result = []
    for layer in network.layers:
        largest = 0.0
        for key, value in trace.states.items():
            state, _, name = key.partition("/")
            if name == layer.name:
                peak = np.abs(value).max(axis=(0, 1)) * state_factor(layer, state, guard_bits)
                largest = max(largest, float(peak.max()))
        result.append(largest)
    return result


def state_factor(layer: StepLayer, state: str, guard_bits: int) -> np.ndarray | float:
    """What the integer state holds per unit of the real one."""
    p = layer.parameters
    if (layer.kind, state) == ("se_adlif", "w"):
        return (1.0 - p["alpha"]) * 2.0**guard_bits
    if (layer.kind, state) == ("alif", "a"):
        return p["beta"]
    if (layer.kind, state) == ("cuba_lif", "u"):
        return p["mem_gain"]
    return 1.0


def _fraction_bits(
    layer: StepLayer,
    synapses: tuple[np.ndarray, np.ndarray | None, np.ndarray],
    largest: float,
    reach: int,
    settings: QuantizationSettings,
    where: str,
) -> int:
    """Most fraction bits with which states, thresholds, bias and the worst-case current keep their ranges."""
    weight, recurrent, bias = synapses
    if layer.options.get("reset") == "subtract":  # recorded after the reset, but saturated before it
        largest += float(np.abs(layer.parameters["theta"]).max())
    threshold = float(
        max((np.max(np.abs(layer.parameters[k])) for k in ("theta", "b0") if k in layer.parameters), default=0.0)
    )
    threshold = max(threshold, spike_increment(layer.kind, layer.parameters, settings.guard_bits))
    worst = np.abs(weight).sum(axis=1) * reach + (0.0 if recurrent is None else np.abs(recurrent).sum(axis=1))
    if layer.kind == "cuba_lif":  # one wrap must do (FP-3.5), and the threshold has a 17-bit mantissa in units of 2^6
        limits = [
            (largest, STATE_MAX / 2.0**settings.headroom_bits),
            (threshold, STATE_MAX / 2),
            (float(worst.max()), STATE_MAX / 2),
        ]
    else:
        limits = [
            (largest, STATE_MAX / 2.0**settings.headroom_bits),
            (threshold, STATE_MAX / 2),
            (float(worst.max()), _MAX_CURRENT),
        ]
    limits.append((float(np.abs(bias).max()), STATE_MAX / 2))
    bits = settings.max_fraction_bits
    for value, limit in limits:
        if value > 0:
            bits = min(bits, int(np.floor(np.log2(limit / value))))
    if bits < 0:
        raise QuantizationError(
            f"{where}: states reach {largest:.6g} and currents {float(worst.max()):.6g}, too large for 24-bit states; "
            "rescale the network"
        )
    return bits


def _format(
    layer: StepLayer,
    synapses: tuple[np.ndarray, np.ndarray | None, np.ndarray],
    fraction_bits: int,
    settings: QuantizationSettings,
    index: int,
    count: int,
    where: str,
) -> LayerFormat:
    weight, recurrent, _ = synapses
    bits = settings.of_layer("weight_bits", index, count)
    coefficient_bits = settings.of_layer("coefficient_bits", index, count)
    finest = np.full(layer.size, 2.0**-fraction_bits)
    synaptic = 2.0**CUBA_SHIFT if layer.kind == "cuba_lif" else 1.0
    if settings.weight_scale != "power_of_two":
        shared = settings.weight_scale == "per_layer"
        unit, g_in, g_rec = _fitted_units(weight, recurrent, bits, finest * synaptic, settings.scale_choice, shared)
        unit = unit / synaptic
    else:
        unit = finest
        g_in = best_exponent(weight, bits, unit * synaptic, settings.scale_choice, f"{where}: weight")
        g_rec = None
        if recurrent is not None:
            g_rec = best_exponent(recurrent, bits, unit * synaptic, settings.scale_choice, f"{where}: recurrent_weight")
    shifts = coefficient_shifts(layer.kind, layer.parameters, unit, coefficient_bits, settings.guard_bits, where)
    return LayerFormat(unit, g_in, g_rec, bits, coefficient_bits, shifts)


def best_exponent(weight: np.ndarray, bits: int, unit: np.ndarray, choice: str, what: str) -> int:
    """Exponent of a power-of-two scale: the smallest that keeps the maximum, or one of the three below it with a
    smaller squared error."""
    largest = float(np.max(np.abs(weight) / unit[:, None]))
    if largest <= weight_limit(bits):
        return 0
    top = int(np.ceil(np.log2(largest / (weight_limit(bits) + 0.499))))
    if top > MAX_EXPONENT:
        raise QuantizationError(
            f"{what} reaches {largest:.6g} state units, which needs an exponent of {top}, limit {MAX_EXPONENT}; lower "
            "state_fraction_bits"
        )
    if choice == "maximum":
        return max(top, 0)
    candidates = range(max(top, 0), max(top - 4, -1), -1)
    return min(candidates, key=lambda exponent: squared_error(weight, bits, exponent, unit).sum())


def squared_error(weight: np.ndarray, bits: int, exponent: int, unit: np.ndarray) -> np.ndarray:
    """Sum over each row of the squared difference between weights and their integers, float64 (N,)."""
    restored = quantize_weights(weight, bits, exponent, unit) * (unit[:, None] * 2.0**exponent)
    return np.sum((restored - weight) ** 2, axis=1)


def _fitted_units(
    weight: np.ndarray, recurrent: np.ndarray | None, bits: int, finest: np.ndarray, choice: str, shared: bool
) -> tuple[np.ndarray, int, int | None]:
    """A unit for each neuron (or one for all), used by both matrices, and the two exponents, with the least squared
    error in all."""
    limit = weight_limit(bits)
    clippings = _CLIPPINGS if choice == "squared_error" else (1.0,)
    rows_in = np.abs(weight).max(axis=1)
    rows_rec = None if recurrent is None else np.abs(recurrent).max(axis=1)
    best: tuple[float, np.ndarray, int, int | None] | None = None
    for g_in in _exponents(rows_in, limit, finest):
        for g_rec in [None] if rows_rec is None else _exponents(rows_rec, limit, finest):
            need = rows_in / (limit * 2.0**g_in)
            if rows_rec is not None and g_rec is not None:
                need = np.maximum(need, rows_rec / (limit * 2.0**g_rec))
            if shared:
                need = np.full_like(need, need.max())
            unit, error = _best_units((weight, recurrent), bits, (g_in, g_rec), need, finest, clippings, shared)
            if best is None or error < best[0]:
                best = (error, unit, g_in, g_rec)
    assert best is not None
    return best[1], best[2], best[3]


def _exponents(rows: np.ndarray, limit: int, finest: np.ndarray) -> list[int]:
    """Exponents worth a try: from the one at which the largest row needs no coarser unit, downwards."""
    used = rows[rows > 0]
    if used.size == 0:
        return [0]
    top = int(np.ceil(np.log2(float(used.max()) / (limit * float(finest.min())))))
    if top > MAX_EXPONENT:
        raise QuantizationError(f"weights need an exponent of {top}, limit {MAX_EXPONENT}; lower state_fraction_bits")
    return sorted({max(0, top - i) for i in range(5)})


def _best_units(
    matrices: tuple[np.ndarray, np.ndarray | None],
    bits: int,
    exponents: tuple[int, int | None],
    need: np.ndarray,
    finest: np.ndarray,
    clippings: tuple[float, ...],
    shared: bool,
) -> tuple[np.ndarray, float]:
    """Among the clippings, the unit of each neuron (or the shared one) with the least squared error, and that error in
    all."""
    unit, least = finest, np.full(finest.shape, np.inf)
    for clipping in clippings:
        candidate = np.clip(need * clipping, finest, finest * _MAX_COARSENING)
        error = np.zeros(finest.shape)
        for matrix, exponent in zip(matrices, exponents, strict=True):
            if matrix is not None and exponent is not None:
                error += squared_error(matrix, bits, exponent, candidate)
        better = np.full(error.shape, error.sum() < least.sum()) if shared else error < least
        unit, least = np.where(better, candidate, unit), np.where(better, error, least)
    return unit, float(least.sum())
