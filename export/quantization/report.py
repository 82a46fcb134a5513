"""What quantization did to each tensor: scale, range used, clipped values, rounding error. Plain numbers, for tables
and JSON."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from export.interchange.discretise import Reading
from export.interchange.steps import StepLayer, StepNetwork
from export.quantization.dequantize import dequantize_layer, formats_of
from export.quantization.formats import LayerFormat, QuantizationSettings
from export.quantization.quantize import prepare
from export.quantization.tensors import CUBA_SHIFT, folded_synapses, weight_limit
from hardware.chain import Layer, Synapses
from hardware.program import Program


def quantization_report(
    program: Program, graph: nir.NIRGraph | StepNetwork, reading: Reading | None = None
) -> dict[str, Any]:
    """Compare a Program with the float network it was made from.

    Returns:
        ``{"layers": [{"name", "model", "fraction_bits" (None with units per row), "unit_low", "unit_high",
        "weight_bits", "coefficient_bits", "shifts", "tensors": {name: {...}}}, ...]}``. A tensor has ``rms_error``
        and ``max_error`` in its own real unit and ``relative_error`` (of the root mean squares); synapses also
        ``largest_integer``, ``saturated`` (how many values were clipped), ``exponent`` and ``limit``.
    """
    network = prepare(graph, reading, QuantizationSettings(synaptic_bias="steady_state"), {})
    layers = []
    for index, (source, layer, form) in enumerate(
        zip(network.layers, program.layers, formats_of(program), strict=True)
    ):
        scale = network.input_scale if index == 0 else 1.0
        layers.append(
            {
                "name": layer.name,
                "model": layer.model,
                "fraction_bits": form.fraction_bits,
                "unit_low": float(form.unit.min()),
                "unit_high": float(form.unit.max()),
                "weight_bits": form.weight_bits,
                "coefficient_bits": form.coefficient_bits,
                "shifts": dict(form.shifts),
                "tensors": {**_synapses(source, layer, form, scale), **_parameters(source, layer, form)},
            }
        )
    return {"layers": layers}


def _synapses(source: StepLayer, layer: Layer, form: LayerFormat, scale: float) -> dict[str, Any]:
    weight, recurrent, bias = folded_synapses(
        source.kind, source.weight, source.recurrent_weight, source.bias, source.parameters, scale
    )
    unit = form.unit * 2.0**CUBA_SHIFT if layer.model == "cuba_lif" else form.unit
    result = {"weight": _matrix(weight, layer.input, unit)}
    if recurrent is not None and layer.recurrent is not None:
        result["recurrent_weight"] = _matrix(recurrent, layer.recurrent, unit)
    result["bias"] = {
        **_difference(bias, layer.bias * form.unit),
        "largest_integer": int(np.abs(layer.bias).max()),
        "saturated": 0,
    }
    return result


def _matrix(weight: np.ndarray, synapses: Synapses, unit: np.ndarray) -> dict[str, Any]:
    step = unit[:, None] * 2.0**synapses.exponent
    limit = weight_limit(synapses.weight_bits)
    return {
        **_difference(weight, synapses.weight * step),
        "exponent": synapses.exponent,
        "limit": limit,
        "largest_integer": int(np.abs(synapses.weight.astype(int)).max()),
        "saturated": int(np.sum(np.abs(weight / step) >= limit + 0.5)),
    }


def _parameters(source: StepLayer, layer: Layer, form: LayerFormat) -> dict[str, Any]:
    restored = dequantize_layer(layer, form).parameters
    shared = [
        key
        for key in source.parameters
        if key in restored and key not in ("gain", "leak", "v_reset", "b_syn", "syn_gain", "mem_gain")
    ]
    if layer.model == "se_adlif":  # only the products a rho and b rho enter the step
        values = {
            f"{k} rho": (source.parameters[k] * source.parameters["rho"], restored[k] * restored["rho"])
            for k in ("a", "b")
        }
        shared = [key for key in shared if key not in ("a", "b", "rho")]
    else:
        values = {}
    values.update({key: (source.parameters[key], restored[key]) for key in shared})
    return {key: _difference(old, new) for key, (old, new) in values.items()}


def _difference(old: np.ndarray, new: np.ndarray) -> dict[str, float]:
    error = new - old
    size = float(np.sqrt(np.mean(np.square(old))))
    rms = float(np.sqrt(np.mean(np.square(error))))
    return {
        "rms_error": rms,
        "max_error": float(np.abs(error).max()),
        "relative_error": rms / size if size > 0 else 0.0,
    }
