"""The real numbers that a Program's integers stand for, as difference equations and as a NIR graph.

Every value is an integer times its scale. Quantizing the graph again in the recorded formats gives the same Program,
bit for bit. A decay of ``2^K`` (a factor of one, for which no time constant is finite) is written a quarter of a step
lower, which rounds back to it.
"""

from __future__ import annotations

import json
from typing import Any

import nir
import numpy as np

from export.errors import QuantizationError, UnsupportedError
from export.interchange.discretise import Reading
from export.interchange.graph import steps_to_nir
from export.interchange.steps import StepInput, StepLayer, StepNetwork, StepPopulation, StepProjection
from export.quantization.counts import as_recorded
from export.quantization.formats import LayerFormat, QuantizationSettings
from export.quantization.quantize import FORMAT_KEY, prepare, program_of, quantize
from export.quantization.synapses import restored_weights
from export.quantization.tensors import CUBA_ONE, CUBA_SHIFT, TIMINGS, state_factor, synaptic_unit
from hardware.chain import Layer
from hardware.models import MOST_SPIKES
from hardware.own import OWN, models_of
from hardware.populations import Population
from hardware.program import Program

_QUARTER = 0.25


def formats_of(program: Program) -> tuple[LayerFormat, ...]:
    """The formats of the populations, in the Program's order.

    Args:
        program: from :func:`export.quantize`, which records them in its metadata.

    Raises:
        QuantizationError: they are absent or damaged.
    """
    try:
        texts = json.loads(program.metadata["formats"])
    except (KeyError, ValueError, RecursionError):
        raise QuantizationError(
            "the Program does not record its formats (metadata 'formats'); quantize the float graph again"
        ) from None
    if not isinstance(texts, list) or len(texts) != len(program.populations):
        raise QuantizationError(
            f"the Program records formats for another network than its {len(program.populations)} layers; quantize "
            "again"
        )
    return tuple(
        LayerFormat.from_json(text, population.size, population.model, f"layer {population.name}")
        for text, population in zip(texts, program.populations, strict=True)
    )


def requantize(graph: nir.NIRGraph | StepNetwork, program: Program, reading: Reading | None = None) -> Program:
    """The integers of a float network in the formats and with the settings that a Program records.

    The result equals `program` when that was made from this network.
    """
    settings = QuantizationSettings.from_json(program.metadata["settings"]) if "settings" in program.metadata else None
    return program_of(as_recorded(prepare(graph, reading, settings, {}), program), formats_of(program))


def integer_steps(program: Program, dt: float | None = None) -> StepNetwork:
    """Difference equations with the values of a Program's integers.

    Args:
        dt: seconds per step; None: as recorded in the Program.
    """
    scales = input_scales(program)
    if dt is None:
        dt = recorded_dt(program)
    forms = {p.name: form for p, form in zip(program.populations, formats_of(program), strict=True)}
    populations, projections = [], []
    for population in program.populations:
        form = forms[population.name]
        restored, factor = dequantize_population(population, form)
        populations.append(restored)
        unit = synaptic_unit(population.model, form.unit)
        for item in program.into(population.name):
            weights = restored_weights(item.synapses, item.exponent, unit, factor)
            scale = scales.get(item.source, 1.0)
            if scale != 1.0:
                weights = weights.scaled(np.full(population.size, 1.0 / scale))
            projections.append(StepProjection(item.name, item.source, item.target, weights, item.delay))
    inputs = tuple(
        StepInput(item.name, item.size, int(item.low), int(item.high), scales.get(item.name, 1.0))
        for item in program.inputs
    )
    decision: dict[str, Any] = {"rule": program.decision.rule, "ignore_first": int(program.decision.ignore_first)}
    if program.output.name != program.outputs[-1]:
        decision["output"] = program.output.name
    return StepNetwork(inputs, tuple(populations), tuple(projections), program.outputs, dt, decision)


def input_scales(program: Program) -> dict[str, float]:
    """Value of one integer of each input, as the Program records it.

    Raises:
        QuantizationError: what it records is damaged.
    """
    try:
        if "input_scales" in program.metadata:
            return {str(name): float(value) for name, value in json.loads(program.metadata["input_scales"]).items()}
        return {program.inputs[0].name: float(program.metadata.get("input_scale", "1.0"))}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise QuantizationError(
            "the Program's metadata 'input_scale' is damaged; quantize the float graph again"
        ) from None


def recorded_dt(program: Program) -> float | None:
    """Seconds per step, None where the Program records none.

    Raises:
        QuantizationError: what it records is damaged.
    """
    try:
        return float(program.metadata["dt"]) if "dt" in program.metadata else None
    except ValueError:
        raise QuantizationError("the Program's metadata 'dt' is damaged; quantize the float graph again") from None


def quantized_nir(program: Program, graph: nir.NIRGraph | None = None) -> nir.NIRGraph:
    """NIR graph of a Program, with the formats and the specification's version in the metadata.

    Args:
        program: made by :func:`quantize`.
        graph: the float graph the Program came from; its dt is used where the Program records none.

    Raises:
        QuantizationError: quantizing the result does not give the Program back (a Program not made by this package).
    """
    dt = recorded_dt(program)
    if dt is None:
        dt = float((graph.metadata if graph is not None else {}).get("dt", 1e-3))
    steps = integer_steps(program, dt)
    notes: dict[str, dict[str, Any]] = {
        population.name: {FORMAT_KEY: form.to_json()}
        for population, form in zip(program.populations, formats_of(program), strict=True)
    }
    result = steps_to_nir(steps, notes)
    result.metadata["spec_version"] = program.spec_version
    if quantize(result) != program:
        raise QuantizationError(
            "the Program's integers do not follow from its recorded formats; quantize the float graph again"
        )
    return result


def dequantize_population(population: Population, form: LayerFormat) -> tuple[StepPopulation, np.ndarray]:
    """Pure: the difference equation that a population's integers stand for, and what its synaptic sum is multiplied
    with, (N,)."""
    parameters, factor = _reals(population, form)
    guard = int(form.shifts.get("g", 0))
    initial = {
        state: value * form.unit / state_factor(population.model, parameters, state, guard)
        for state, value in population.initial.items()
        if value.any()
    }
    return StepPopulation(
        population.name,
        population.model,
        population.bias * form.unit / factor,
        parameters,
        _options(population),
        initial=initial,
    ), factor


def dequantize_layer(layer: Layer, form: LayerFormat, input_scale: float = 1.0) -> StepLayer:
    """Pure: the difference equation that the integers of a chain's layer stand for."""
    unit = synaptic_unit(layer.model, form.unit)
    parameters, factor = _reals(layer, form)
    weight = layer.input.weight * 2.0**layer.input.exponent * unit[:, None] / factor[:, None] / input_scale
    recurrent = None
    if layer.recurrent is not None:
        recurrent = layer.recurrent.weight * 2.0**layer.recurrent.exponent * unit[:, None] / factor[:, None]
    bias = layer.bias * form.unit / factor
    return StepLayer(layer.name, layer.model, weight, recurrent, bias, parameters, _options(layer))


def has_reals(program: Program) -> bool:
    """Whether every neuron's integers can be turned back into reals; one of someone's own may lack ``dequantize``."""
    return all(OWN[name].real.dequantize is not None for name in models_of(program))


def _reals(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Parameters of the difference equation, and what the synaptic sum is multiplied with."""
    if layer.model not in OWN:
        return _PARAMETERS[layer.model](layer, form)
    real = OWN[layer.model].real
    if real.dequantize is None:
        raise UnsupportedError(
            f"layer {layer.name}: neuron '{layer.model}' has no dequantize, so its integers do not say which reals "
            "they "
            "stand for; give its class one"
        )
    found = real.dequantize(layer.parameters, form.unit, layer.shifts)
    parameters = {name: np.full(layer.size, np.asarray(found[name], np.float64)) for name in real.parameters}
    return parameters, np.broadcast_to(np.asarray(real.gain(parameters), np.float64), (layer.size,))


def _options(layer: Layer | Population) -> dict[str, str]:
    options = dict(layer.options)
    if layer.model == "brf":
        options["variant"] = "euler"
    timing = TIMINGS.get(options.pop("reset_at", "same"))
    most = MOST_SPIKES[options.pop("spikes", "one")]
    if options.pop("fires", "above") == "at":
        options["spike_at"] = "threshold"
    if most > 1:
        options |= {"spikes": "multi", "max_spikes": str(most)}
    return options if timing is None else {**options, "reset_timing": timing}


def _below_one(value: np.ndarray, one: int) -> np.ndarray:
    """A decay as a fraction, less than one."""
    return np.where(value >= one, one - _QUARTER, value.astype(np.float64)) / one


def _brf(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    p, one = layer.parameters, 2.0 ** layer.shifts["K"]
    dt = np.where(p["D"] == 0, _QUARTER, p["D"]) / (form.unit * 2.0 ** (layer.shifts["K"] + layer.shifts["Kd"]))
    s = p["S"] / one
    damping = np.maximum(np.sqrt(1.0 - s * s) - p["C"] / one, 0.0) / dt
    gamma = p["R"] / 2.0 ** layer.shifts["KR"]
    return {"omega": s / dt, "b_offset": damping, "theta": p["TH"] * form.unit, "gamma": gamma, "dt": dt}, dt


def _se_adlif(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    p, one, guard = layer.parameters, 2 ** layer.shifts["K"], 2.0 ** layer.shifts["g"]
    alpha, beta = _below_one(p["A"], one), _below_one(p["Be"], one)
    drive = (1.0 - alpha) * (1.0 - beta) * guard
    a, b = p["At"] / (drive * 2.0 ** layer.shifts["Ka"]), p["Bt"] * form.unit / drive
    return {
        "alpha": alpha,
        "beta": beta,
        "a": a,
        "b": b,
        "rho": np.ones_like(a),
        "theta": p["TH"] * form.unit,
    }, 1.0 - alpha


def _alif(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    p, one = layer.parameters, 2 ** layer.shifts["K"]
    alpha, rho = _below_one(p["A"], one), _below_one(p["Rho"], one)
    return {
        "alpha": alpha,
        "rho": rho,
        "beta": p["Ja"] * form.unit / (1.0 - rho),
        "b0": p["B0"] * form.unit,
    }, 1.0 - alpha


def _lif(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    zeros, ones = np.zeros(layer.size), np.ones(layer.size)
    alpha = _below_one(layer.parameters["A"], 2 ** layer.shifts["K"])
    return {
        "alpha": alpha,
        "theta": layer.parameters["TH"] * form.unit,
        "gain": ones,
        "leak": zeros,
        "v_reset": zeros,
    }, ones


def _cuba_lif(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    p, zeros, ones = layer.parameters, np.zeros(layer.size), np.ones(layer.size)
    syn, mem = _below_one(CUBA_ONE - 1 - p["du"], CUBA_ONE), _below_one(CUBA_ONE - p["dv"], CUBA_ONE)
    theta = p["vth"] * form.unit * 2.0**CUBA_SHIFT
    parameters = {
        "alpha_syn": syn,
        "alpha_mem": mem,
        "syn_gain": ones,
        "mem_gain": ones,
        "theta": theta,
        "v_reset": zeros,
        "b_syn": zeros,
    }
    return parameters, ones


def _li(layer: Layer | Population, form: LayerFormat) -> tuple[dict[str, np.ndarray], np.ndarray]:
    kappa = _below_one(layer.parameters["A"], 2 ** layer.shifts["K"])
    return {"kappa": kappa, "gain": np.ones(layer.size), "leak": np.zeros(layer.size)}, np.ones(layer.size)


_PARAMETERS = {"brf": _brf, "se_adlif": _se_adlif, "alif": _alif, "lif": _lif, "cuba_lif": _cuba_lif, "li": _li}
