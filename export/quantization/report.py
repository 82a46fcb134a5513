"""What quantization did to each tensor: scale, range used, clipped values, rounding error. Plain numbers, for tables
and JSON."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from export.interchange.reading import Reading
from export.interchange.steps import StepNetwork, StepPopulation
from export.interchange.weights import ConvolutionWeights, SparseWeights, Weights
from export.quantization.counts import as_recorded
from export.quantization.dequantize import formats_of, integer_steps
from export.quantization.formats import LayerFormat, QuantizationSettings
from export.quantization.quantize import prepare
from export.quantization.synapses import of_kind, restored_weights
from export.quantization.tensors import folded_bias, folded_weights, synaptic_unit, weight_limit
from hardware.populations import Projection
from hardware.program import Program
from hardware.synapses import Convolution


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
    network = as_recorded(network, program)
    restored = integer_steps(program, network.dt)
    layers = []
    for source, population, form in zip(network.populations, program.populations, formats_of(program), strict=True):
        layers.append(
            {
                "name": population.name,
                "model": population.model,
                "fraction_bits": form.fraction_bits,
                "unit_low": float(form.unit.min()),
                "unit_high": float(form.unit.max()),
                "weight_bits": form.weight_bits,
                "coefficient_bits": form.coefficient_bits,
                "shifts": dict(form.shifts),
                "tensors": {
                    **_synapses(network, source, program, form),
                    **_parameters(source, restored.population(population.name)),
                },
            }
        )
    return {"layers": layers}


def _synapses(network: StepNetwork, source: StepPopulation, program: Program, form: LayerFormat) -> dict[str, Any]:
    """Of each projection, by its name; those of a chain are ``weight`` and ``recurrent_weight``."""
    unit, result = synaptic_unit(source.kind, form.unit), {}
    labels = ["weight", "recurrent_weight"] if network.is_chain else []
    pairs = zip(network.into(source.name), program.into(source.name), form.synapses, strict=True)
    for index, (real, item, synapse) in enumerate(pairs):
        folded = folded_weights(real.weights, source.kind, source.parameters, network.scale_of(real.source))
        weights = of_kind(folded, synapse.kind, f"layer {source.name}")
        label = labels[index] if index < len(labels) else item.name
        result[label] = _stored(weights, item, unit)
    bias = folded_bias(source.kind, source.bias, source.parameters)
    integers = program.population(source.name).bias
    largest = int(np.abs(integers).max())
    return {**result, "bias": {**_difference(bias, integers * form.unit), "largest_integer": largest, "saturated": 0}}


def _stored(weights: Weights, item: Projection, unit: np.ndarray) -> dict[str, Any]:
    """Over the weights that are stored: of a convolution its kernel, of sparse synapses those of the float network."""
    restored = restored_weights(item.synapses, item.exponent, unit, np.ones_like(unit))
    if isinstance(weights, SparseWeights):
        places = weights.target * weights.shape[1] + weights.source
        target, source, values = restored.coo()
        new = np.zeros(places.size)
        new[np.searchsorted(places, target * weights.shape[1] + source)] = values
        old, step = weights.values, unit[weights.target]
    else:
        old, new = weights.table(), restored.table()
        step = (unit[:: weights.positions] if isinstance(weights, ConvolutionWeights) else unit)[:, None]
    mantissas = item.synapses.kernel if isinstance(item.synapses, Convolution) else item.synapses.weight
    limit = weight_limit(item.synapses.weight_bits)
    return {
        **_difference(old, new),
        "exponent": item.exponent,
        "limit": limit,
        "largest_integer": int(np.abs(mantissas.astype(int)).max(initial=0)),
        "saturated": int(np.sum(np.abs(old / (step * 2.0**item.exponent)) >= limit + 0.5)),
    }


def _parameters(source: StepPopulation, new: StepPopulation) -> dict[str, Any]:
    restored = new.parameters
    shared = [
        key
        for key in source.parameters
        if key in restored and key not in ("gain", "leak", "v_reset", "b_syn", "syn_gain", "mem_gain")
    ]
    values = {}
    if source.kind == "se_adlif":  # only the products a rho and b rho enter the step
        values = {
            f"{k} rho": (source.parameters[k] * source.parameters["rho"], restored[k] * restored["rho"])
            for k in ("a", "b")
        }
        shared = [key for key in shared if key not in ("a", "b", "rho")]
    values.update({key: (source.parameters[key], restored[key]) for key in shared})
    return {key: _difference(old, new) for key, (old, new) in values.items()}


def _difference(old: np.ndarray, new: np.ndarray) -> dict[str, float]:
    if not old.size:
        return {"rms_error": 0.0, "max_error": 0.0, "relative_error": 0.0}
    error = new - old
    size = float(np.sqrt(np.mean(np.square(old))))
    rms = float(np.sqrt(np.mean(np.square(error))))
    return {
        "rms_error": rms,
        "max_error": float(np.abs(error).max()),
        "relative_error": rms / size if size > 0 else 0.0,
    }
