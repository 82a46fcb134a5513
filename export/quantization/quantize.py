"""NIR graph -> integers: :func:`quantize` gives the :class:`hardware.Program` that every engine runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nir
import numpy as np

from export.errors import QuantizationError
from export.interchange.discretise import Reading, discretise
from export.interchange.steps import StepLayer, StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import DenseWeights
from export.quantization.calibration import choose_formats
from export.quantization.counts import limited
from export.quantization.findings import FINDINGS_KEY, findings, refuse_zeros, speak
from export.quantization.formats import LayerFormat, QuantizationSettings, SynapseFormat
from export.quantization.recordings import statistics
from export.quantization.representable import representable
from export.quantization.synapses import of_kind, quantize_synapses
from export.quantization.tensors import (
    TIMINGS,
    coefficients,
    folded_bias,
    folded_weights,
    quantize_bias,
    quantize_start,
    state_factor,
    synaptic_unit,
)
from hardware.chain import Layer, Synapses
from hardware.errors import HardwareError
from hardware.inputs import CALIBRATION_STEPS
from hardware.models import MOST_SPIKES
from hardware.own import OWN
from hardware.populations import Decision, Input, Population, Projection
from hardware.program import Program
from hardware.synapses import Connections, Convolution

FORMAT_KEY = "integer_format"
"""Metadata key of a neuron node (and item of a Program's ``formats``) that holds a :class:`LayerFormat`."""

OWN_KEY = "own_neurons"
"""Metadata key of a Program: hashes of the integer steps of neurons that are not in the specification."""

_MULTIPLIER_BITS = 15


def quantize(
    graph: nir.NIRGraph | StepNetwork,
    settings: QuantizationSettings | None = None,
    *,
    calibration: Any = None,
    reading: Reading | None = None,
    log: bool = True,
    **changes: Any,
) -> Program:
    """Integer program of a network.

    Args:
        graph: from ``to_nir`` or ``read``, or difference equations. A graph that carries its integer formats
            (``quantized_nir``) and comes without settings and calibration is quantized with those, and gives the
            Program it was made from.
        settings: formats asked for; `changes` are fields of it by name (``weight_bits=4``).
        calibration: inputs as in training, (B, T, N_in), numbers or anything NumPy can read, or a mapping of such by
            the name of the input; from them the range of states is measured.
        reading: conventions for a graph from elsewhere.
        log: write warnings about losses to the log ``export``; they stand in the Program's metadata in any case
            (:func:`export.quantization.findings.recorded_findings`).

    Raises:
        ExportError: what cannot be converted, or a tensor that is not 0 and would become 0, with layer,
            neuron, value, limit and fix.
    """
    network = prepare(graph, reading, settings, changes)
    recorded = None
    if settings is None and not changes and calibration is None and isinstance(graph, nir.NIRGraph):
        recorded = recorded_formats(graph, network)
    if recorded is not None:
        return program_of(network, recorded)
    chosen = _settings(settings, changes)
    seen = None if calibration is None else statistics(network, calibration)
    network = limited(network, seen)
    formats = choose_formats(network, chosen, calibration, seen, program_of)
    program = program_of(network, formats, {"settings": chosen.to_json(), **_calibrated_on(calibration)})
    found = findings(program, network, formats, seen, calibration)
    refuse_zeros(found, chosen.allow_zero)
    if log:
        speak(found)
    return replace(program, metadata={**program.metadata, FINDINGS_KEY: json.dumps(found)})


def _calibrated_on(calibration: Any) -> dict[str, str]:
    """Length of the calibration's sequences, by which engines notice inputs with swapped axes."""
    array = isinstance(calibration, np.ndarray)
    shape: tuple[int, ...] = np.shape(calibration) if array else ()
    return {CALIBRATION_STEPS: str(shape[1])} if len(shape) == 3 else {}


def _settings(settings: QuantizationSettings | None, changes: dict[str, Any]) -> QuantizationSettings:
    known = QuantizationSettings.__dataclass_fields__
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise QuantizationError(f"unknown setting '{unknown[0]}'; settings are {', '.join(known)}")
    return replace(settings or QuantizationSettings(), **changes)


def prepare(
    graph: nir.NIRGraph | StepNetwork,
    reading: Reading | None,
    settings: QuantizationSettings | None,
    changes: dict[str, Any],
) -> StepNetwork:
    """Difference equations in a form that the integer contract has; UnsupportedError with the reason otherwise."""
    network = graph if isinstance(graph, StepNetwork) else discretise(graph, reading)
    return representable(network, _settings(settings, changes))


def program_of(network: StepNetwork, formats: Sequence[LayerFormat], metadata: dict[str, str] | None = None) -> Program:
    """Pure: the integers of a network in given formats.

    Raises:
        QuantizationError: a value out of range; names layer, neuron, value, limit and fix.
    """
    forms = dict(zip((p.name for p in network.populations), formats, strict=True))
    projections = [
        projection
        for population in network.populations
        for projection in _projections(network, population, forms[population.name])
    ]
    shapes = _picture_shapes(projections)
    try:
        return Program(
            inputs=tuple(
                Input(item.name, item.size, item.low, item.high, shapes.get(item.name)) for item in network.inputs
            ),
            populations=tuple(
                _population(population, forms[population.name], shapes.get(population.name))
                for population in network.populations
            ),
            projections=tuple(projections),
            outputs=network.outputs,
            decision=_decision(network, forms),
            metadata={**_recorded(network, formats), **(metadata or {})},
        )
    except HardwareError as error:
        raise QuantizationError(f"the integers break the contract: {error}") from None


def _recorded(network: StepNetwork, formats: Sequence[LayerFormat]) -> dict[str, str]:
    """Metadata: what the integers stand for, and what was decided on the way."""
    recorded = {"formats": json.dumps([form.to_json() for form in formats])}
    if len(network.inputs) == 1:
        recorded["input_scale"] = repr(float(network.input_scale))
    else:
        recorded["input_scales"] = json.dumps({item.name: item.scale for item in network.inputs})
    if network.dt is not None:
        recorded["dt"] = repr(float(network.dt))
    own = {p.kind: OWN[p.kind].sha256 for p in network.populations if p.kind in OWN}
    if own:
        recorded[OWN_KEY] = json.dumps(own, sort_keys=True)
    if network.notes:
        recorded["notes"] = json.dumps(list(network.notes))
    return recorded


def _decision(network: StepNetwork, forms: dict[str, LayerFormat]) -> Decision:
    out = network.output
    return Decision(
        rule=network.decision["rule"],
        ignore_first=network.decision["ignore_first"],
        multiplier=None if out.spiking else decision_multiplier(forms[out.name]),
        output=network.decision.get("output"),
    )


def _projections(network: StepNetwork, population: StepPopulation, form: LayerFormat) -> list[Projection]:
    """Integer projections into a population."""
    given = network.into(population.name)
    if len(given) != len(form.synapses):
        raise QuantizationError(
            f"layer {population.name}: recorded format and network disagree about recurrent synapses or projections, "
            f"{len(form.synapses)} against {len(given)}; quantize again with settings"
        )
    return [
        Projection(
            item.name,
            item.source,
            item.target,
            _synapses(item, population, form, synapse, network.scale_of(item.source)),
            synapse.exponent,
            item.delay,
        )
        for item, synapse in zip(given, form.synapses, strict=True)
    ]


def _synapses(
    item: StepProjection, population: StepPopulation, form: LayerFormat, synapse: SynapseFormat, scale: float
) -> Connections:
    where = f"layer {population.name}: projection {item.name}"
    folded = folded_weights(item.weights, population.kind, population.parameters, scale)
    unit = synaptic_unit(population.kind, form.unit)
    return quantize_synapses(of_kind(folded, synapse.kind, where), form.weight_bits, synapse.exponent, unit, where)


def _population(population: StepPopulation, form: LayerFormat, shape: tuple[int, ...] | None) -> Population:
    where, kind = f"layer {population.name}", population.kind
    bias = folded_bias(kind, population.bias, population.parameters)
    guard = int(form.shifts.get("g", 0))
    initial = {
        state: quantize_start(value * state_factor(kind, population.parameters, state, guard), form.unit, where)
        for state, value in population.initial.items()
        if np.any(value)
    }
    parameters = coefficients(kind, population.parameters, form.unit, form.shifts, form.coefficient_bits, where)
    if population.options.get("spike_at") == "threshold" and not _fires_itself(population):  # u >= TH is u > TH - 1
        parameters["TH"] = _one_below(parameters["TH"], where)
    return Population(
        name=population.name,
        size=population.size,
        model=kind,
        bias=quantize_bias(bias, form.unit, where),
        parameters=parameters,
        shifts=dict(form.shifts),
        options=_options(population),
        coefficient_bits=form.coefficient_bits,
        initial=initial,
        shape=shape,
    )


def _picture_shapes(projections: Sequence[Projection]) -> dict[str, tuple[int, ...]]:
    """Shape of what a convolution reads or writes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for item in projections:
        if isinstance(item.synapses, Convolution):
            shapes.setdefault(item.source, item.synapses.in_shape)
            shapes.setdefault(item.target, item.synapses.out_shape)
    return shapes


def quantize_layer(layer: StepLayer, form: LayerFormat, input_scale: float = 1.0) -> Layer:
    """Pure: the integers of one layer of a chain in a given format."""
    population = StepPopulation(layer.name, layer.kind, layer.bias, layer.parameters, layer.options)
    matrices = [layer.weight] + ([] if layer.recurrent_weight is None else [layer.recurrent_weight])
    if len(matrices) != len(form.synapses):
        raise QuantizationError(
            f"layer {layer.name}: recorded format and network disagree about recurrent synapses; quantize again with "
            "settings"
        )
    groups = []
    for matrix, synapse, scale in zip(matrices, form.synapses, (input_scale, 1.0), strict=False):
        item = StepProjection("synapses", "source", layer.name, DenseWeights(matrix))
        found = _synapses(item, population, form, synapse, scale)
        groups.append(Synapses(found.matrix(), synapse.exponent, form.weight_bits))
    made = _population(population, form, None)
    return Layer(
        name=layer.name,
        model=layer.kind,
        input=groups[0],
        recurrent=groups[1] if len(groups) > 1 else None,
        bias=made.bias,
        parameters=made.parameters,
        shifts=made.shifts,
        options=made.options,
        coefficient_bits=made.coefficient_bits,
    )


def _one_below(threshold: np.ndarray, where: str) -> np.ndarray:
    """Of a neuron that spikes at its threshold and never subtracts it."""
    if np.any(threshold < 1):
        raise QuantizationError(
            f"{where}: the threshold of neuron {int(np.argmin(threshold))} is below one unit of its state; raise "
            "state_fraction_bits"
        )
    result: np.ndarray = threshold - threshold.dtype.type(1)
    return result


def _options(population: StepPopulation) -> dict[str, str]:
    if population.kind == "se_adlif":
        return {"adaptation_spike": population.options["adaptation_spike"]}
    if population.kind not in ("lif", "cuba_lif"):
        return {}
    timing = population.options.get("reset_timing", "same_step")
    at = {name: key for key, name in TIMINGS.items()}.get(timing, "same")
    found = {"reset": population.options.get("reset", "zero"), "reset_at": at}
    if _fires_itself(population):
        found["fires"] = "at"
    if population.options.get("spikes") == "multi":
        most = int(population.options["max_spikes"])
        found["spikes"] = next(name for name, count in MOST_SPIKES.items() if count == most)
    return found


def _fires_itself(population: StepPopulation) -> bool:
    """Whether its threshold needs FP-3.8; of a ``lif`` that sends one spike and subtracts nothing, one unit less says
    the same since 1.0."""
    options = population.options
    needed = population.kind == "cuba_lif" or options.get("spikes") == "multi" or options.get("reset") == "subtract"
    return needed and options.get("spike_at") == "threshold"


def decision_multiplier(form: LayerFormat) -> np.ndarray | None:
    """int32 (N_out,): outputs in different units are compared after multiplication by theirs; None where all units are
    equal (FP-4.1)."""
    if np.all(form.unit == form.unit[0]):
        return None
    result: np.ndarray | None = np.maximum(
        1, np.floor(form.unit / form.unit.max() * 2.0**_MULTIPLIER_BITS + 0.5)
    ).astype(np.int32)
    return result


def recorded_formats(graph: nir.NIRGraph, network: StepNetwork) -> tuple[LayerFormat, ...] | None:
    """Formats in the metadata of a quantized graph's neurons; None where no neuron has any."""
    texts = []
    for population in network.populations:
        node = graph.nodes.get(population.name)
        texts.append((getattr(node, "metadata", None) or {}).get(FORMAT_KEY))
    if all(text is None for text in texts):
        return None
    formats = []
    for population, text in zip(network.populations, texts, strict=True):
        where = f"layer {population.name}"
        if text is None:
            raise QuantizationError(f"{where}: its recorded integer format is missing; quantize again with settings")
        formats.append(LayerFormat.from_json(text, population.size, population.kind, where))
    return tuple(formats)
