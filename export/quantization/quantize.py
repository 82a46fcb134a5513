"""NIR graph -> integers: :func:`quantize` gives the :class:`hardware.Program` that every engine runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nir
import numpy as np

from export.errors import QuantizationError, UnsupportedError
from export.interchange.discretise import Reading, discretise
from export.interchange.steps import StepLayer, StepNetwork
from export.quantization.calibration import choose_formats
from export.quantization.formats import LayerFormat, QuantizationSettings
from export.quantization.tensors import CUBA_SHIFT, QUANTIZE, folded_synapses, quantize_bias, quantize_weights
from hardware.chain import InputFormat, Layer, Synapses
from hardware.errors import HardwareError
from hardware.populations import Decision
from hardware.program import Program

FORMAT_KEY = "integer_format"
"""Metadata key of a neuron node (and item of a Program's ``formats``) that holds a :class:`LayerFormat`."""

_MULTIPLIER_BITS = 15


def quantize(
    graph: nir.NIRGraph | StepNetwork,
    settings: QuantizationSettings | None = None,
    *,
    calibration: Any = None,
    reading: Reading | None = None,
    **changes: Any,
) -> Program:
    """Integer program of a network.

    Args:
        graph: from ``to_nir`` or ``read``, or difference equations. A graph that carries its integer formats
            (``quantized_nir``) and comes without settings and calibration is quantized with those, and gives the
            Program it was made from.
        settings: formats asked for; `changes` are fields of it by name (``weight_bits=4``).
        calibration: inputs as in training, (B, T, N_in), numbers or anything NumPy can read; from them the range of
            states is measured.
        reading: conventions for a graph from elsewhere.

    Raises:
        ExportError: what cannot be converted, with layer, neuron, value, limit and fix.
    """
    network = prepare(graph, reading, settings, changes)
    recorded = None
    if settings is None and not changes and calibration is None and isinstance(graph, nir.NIRGraph):
        recorded = recorded_formats(graph, network)
    if recorded is not None:
        return program_of(network, recorded)
    chosen = _settings(settings, changes)
    formats = choose_formats(network, chosen, calibration)
    return program_of(network, formats, {"settings": chosen.to_json()})


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
    chosen = _settings(settings, changes)
    return network.with_layers(tuple(_representable(layer, chosen) for layer in network.layers))


def _representable(layer: StepLayer, settings: QuantizationSettings) -> StepLayer:
    where = f"layer {layer.name}"
    if layer.options.get("variant") == "exponential":
        raise UnsupportedError(
            f"{where}: the exponential BRF has no integer form: its decay exp(-dt q) depends on a state, and the "
            "specification has no clause "
            "for that exponential; train with variant='euler'"
        )
    if "recurrent_bias" in layer.parameters:
        raise UnsupportedError(
            f"{where}: a recurrent bias that is absent at the first step has no integer form; read it with the bias "
            "at the start"
        )
    if layer.options.get("reset_timing", "same_step") == "next_step":
        layer = _reset_in_same_step(layer, where)
    if layer.options.get("reset_timing", "same_step") == "carried_over":
        raise UnsupportedError(
            f"{where}: a membrane that stays above its threshold after a reset is treated as reset twice; no clause "
            "says that"
        )
    if layer.kind == "cuba_lif":
        layer = _membrane_bias(layer, settings, where)
    return layer


def _reset_in_same_step(layer: StepLayer, where: str) -> StepLayer:
    """Subtraction one step late, after the decay, equals subtraction at once plus a self-connection of ``-(1 - alpha)
    theta``: same spikes."""
    if layer.kind != "lif" or layer.options["reset"] != "subtract":
        raise UnsupportedError(
            f"{where}: a '{layer.options['reset']}' reset of '{layer.kind}' at the next step has no integer form; "
            "only subtraction of lif has"
        )
    p = layer.parameters
    if np.any(p["gain"] == 0):
        raise UnsupportedError(f"{where}: a gain of 0 lets nothing in; remove the layer")
    recurrent = np.zeros((layer.size, layer.size)) if layer.recurrent_weight is None else layer.recurrent_weight.copy()
    recurrent[np.diag_indices(layer.size)] -= (1.0 - p["alpha"]) * p["theta"] / p["gain"]
    return replace(layer, recurrent_weight=recurrent, options={**layer.options, "reset_timing": "same_step"})


def _membrane_bias(layer: StepLayer, settings: QuantizationSettings, where: str) -> StepLayer:
    p = layer.parameters
    if layer.options["reset"] != "zero":
        raise UnsupportedError(
            f"{where}: CubaLIF resets to zero in integers (FP-3.5); reset '{layer.options['reset']}' has no clause"
        )
    if not p["b_syn"].any():
        return layer
    if settings.synaptic_bias == "refuse":
        raise UnsupportedError(
            f"{where}: its bias enters the synaptic current, in integers it enters the membrane (FP-3.5); "
            "synaptic_bias='steady_state' converts it, "
            "exact but for the first few synaptic time constants"
        )
    if np.any(p["alpha_syn"] >= 1):
        raise UnsupportedError(
            f"{where}: a synaptic current that never decays has no steady state for its bias; remove the bias"
        )
    steady = p["mem_gain"] * p["syn_gain"] * p["b_syn"] / (1.0 - p["alpha_syn"])
    return replace(layer, bias=layer.bias + steady, parameters={**p, "b_syn": np.zeros(layer.size)})


def program_of(network: StepNetwork, formats: Sequence[LayerFormat], metadata: dict[str, str] | None = None) -> Program:
    """Pure: the integers of a network in given formats.

    Raises:
        QuantizationError: a value out of range; names layer, neuron, value, limit and fix.
    """
    layers = tuple(
        quantize_layer(layer, form, network.input_scale if index == 0 else 1.0)
        for index, (layer, form) in enumerate(zip(network.layers, formats, strict=True))
    )
    recorded = {
        "formats": json.dumps([form.to_json() for form in formats]),
        "input_scale": repr(float(network.input_scale)),
    }
    if network.dt is not None:
        recorded["dt"] = repr(float(network.dt))
    low, high = network.input_format
    try:
        return Program.chain(
            layers=layers,
            input=InputFormat(size=network.input_size, low=low, high=high),
            decision=Decision(
                rule=network.decision["rule"],
                ignore_first=network.decision["ignore_first"],
                multiplier=decision_multiplier(formats[-1]) if not network.layers[-1].spiking else None,
            ),
            metadata={**recorded, **(metadata or {})},
        )
    except HardwareError as error:
        raise QuantizationError(f"the integers break the contract: {error}") from None


def quantize_layer(layer: StepLayer, form: LayerFormat, input_scale: float = 1.0) -> Layer:
    """Pure: the integers of one layer in a given format; what export and an integer forward pass of training share."""
    where = f"layer {layer.name}"
    weight, recurrent, bias = folded_synapses(
        layer.kind, layer.weight, layer.recurrent_weight, layer.bias, layer.parameters, input_scale
    )
    synaptic = form.unit * 2.0**CUBA_SHIFT if layer.kind == "cuba_lif" else form.unit
    bits = form.weight_bits
    if (recurrent is None) != (form.recurrent_exponent is None):
        raise QuantizationError(
            f"{where}: recorded format and network disagree about recurrent synapses; quantize again with settings"
        )
    back = None
    if recurrent is not None and form.recurrent_exponent is not None:
        back = Synapses(
            quantize_weights(recurrent, bits, form.recurrent_exponent, synaptic), form.recurrent_exponent, bits
        )
    return Layer(
        name=layer.name,
        model=layer.kind,
        input=Synapses(quantize_weights(weight, bits, form.input_exponent, synaptic), form.input_exponent, bits),
        recurrent=back,
        bias=quantize_bias(bias, form.unit, where),
        parameters=QUANTIZE[layer.kind](layer.parameters, form.unit, form.shifts, form.coefficient_bits, where),
        shifts=dict(form.shifts),
        options=_options(layer),
        coefficient_bits=form.coefficient_bits,
    )


def _options(layer: StepLayer) -> dict[str, str]:
    if layer.kind == "se_adlif":
        return {"adaptation_spike": layer.options["adaptation_spike"]}
    return {"reset": layer.options["reset"]} if layer.kind == "lif" else {}


def decision_multiplier(form: LayerFormat) -> np.ndarray | None:
    """int32 (N_out,): outputs in different units are compared after multiplication by theirs; None where all units are
    equal (FP-4.1)."""
    if np.all(form.unit == form.unit[0]):
        return None
    return np.maximum(1, np.floor(form.unit / form.unit.max() * 2.0**_MULTIPLIER_BITS + 0.5)).astype(np.int32)


def recorded_formats(graph: nir.NIRGraph, network: StepNetwork) -> tuple[LayerFormat, ...] | None:
    """Formats in the metadata of a quantized graph's neurons; None where no neuron has any."""
    texts = []
    for layer in network.layers:
        node = graph.nodes.get(layer.name)
        texts.append((getattr(node, "metadata", None) or {}).get(FORMAT_KEY))
    if all(text is None for text in texts):
        return None
    formats = []
    for layer, text in zip(network.layers, texts, strict=True):
        if text is None:
            raise QuantizationError(
                f"layer {layer.name}: its recorded integer format is missing; quantize again with settings"
            )
        formats.append(LayerFormat.from_json(text, layer.size, layer.kind, f"layer {layer.name}"))
    return tuple(formats)
