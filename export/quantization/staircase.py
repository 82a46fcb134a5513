"""What each step of quantization costs: accuracy from the float network down to the integers, one stair at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.steps import StepLayer, StepNetwork
from export.quantization.dequantize import dequantize_layer, formats_of
from export.quantization.formats import QuantizationSettings
from export.quantization.quantize import prepare
from export.quantization.quantize import quantize as make_program
from export.quantization.tensors import input_factor
from hardware.emulator import emulate

STAIRS = ("float", "weights", "coefficients", "states", "integer")


@dataclass(frozen=True)
class Stair:
    """Accuracy of one stage.

    Attributes:
        name: ``float``: the trained network; ``weights``: synapses and biases (in the form that integers have) as
            integers times their scale; ``coefficients``: decays, rotations and thresholds too; ``states``: states
            rounded to their unit after every step, in float arithmetic; ``integer``: the Program.
        accuracy: share of decisions (steps or samples, as the network decides) that are right.
        spikes_differing: share of all spikes of hidden and spiking layers (t, sample, neuron) that differ from the
            float network's.
    """

    name: str
    accuracy: float
    spikes_differing: float


def staircase(
    graph: nir.NIRGraph | StepNetwork,
    inputs: Any,
    labels: Any,
    mask: Any = None,
    settings: QuantizationSettings | None = None,
    calibration: Any = None,
    reading: Reading | None = None,
) -> tuple[Stair, ...]:
    """Accuracy at each stage of quantization, on labelled data.

    Args:
        graph: the float network.
        inputs: (B, T, N_in) integers, batch first as in training.
        labels: (B, T) or (B,) class indices; (B,) only where the network decides once per sample or every step has
            that class.
        mask: (B, T), steps that count; None: all. The decision's ignored first steps do not count in any case.
        calibration: inputs (B, T, N_in) for the formats; None: `inputs`.

    Raises:
        ExportError: shapes that do not fit, or a network that has no integer form.
    """
    chosen = settings or QuantizationSettings()
    original = graph if isinstance(graph, StepNetwork) else discretise(graph, reading)
    network = prepare(original, None, chosen, {})
    values, wanted, counts = checked_data(network, inputs, labels, mask)
    program = make_program(network, chosen, calibration=inputs if calibration is None else calibration)
    formats = formats_of(program)
    restored = [
        dequantize_layer(layer, form, network.input_scale if i == 0 else 1.0)
        for i, (layer, form) in enumerate(zip(program.layers, formats, strict=True))
    ]
    by_weight = tuple(_with_weights_of(layer, new) for layer, new in zip(network.layers, restored, strict=True))
    coefficients = network.with_layers(tuple(restored))
    units = {layer.name: form.unit for layer, form in zip(program.layers, formats, strict=True)}
    reference = run(original, values)
    multiplier = program.decision.multiplier
    stairs = []
    for name, trace, factor in (
        ("float", reference, None),
        ("weights", run(network.with_layers(by_weight), values), None),
        ("coefficients", run(coefficients, values), None),
        ("states", run(coefficients, values, state_units=units), None),
        ("integer", emulate(program, values), multiplier),
    ):
        differing = [np.mean(trace.spikes[key] != value) for key, value in reference.spikes.items()]
        accuracy = accuracy_of(trace.output, network.decision, wanted, counts, factor)
        stairs.append(Stair(name, accuracy, float(np.mean(differing)) if differing else 0.0))
    return tuple(stairs)


def accuracy_of(
    output: np.ndarray, decision: Any, labels: np.ndarray, counts: np.ndarray, multiplier: np.ndarray | None = None
) -> float:
    """Share of right decisions; ties go to the lowest index (FP-4.1).

    Args:
        output: (T, B, N_out). labels: (T, B) or (B,). counts: bool (T, B), steps that count.
    """
    scores = output.astype(np.float64)  # sums of 24-bit integers times 16-bit multipliers stay exact below 2^53
    counts = counts.copy()
    counts[: decision["ignore_first"]] = False
    if multiplier is not None:
        scores = scores * multiplier
    if decision["rule"] == "per_step":
        right = scores.argmax(axis=-1) == (labels if labels.ndim == 2 else labels[None, :])
        return float(right[counts].mean()) if counts.any() else 0.0
    total = (scores * counts[..., None]).sum(axis=0)
    return float(np.mean(total.argmax(axis=-1) == labels))


def _with_weights_of(layer: StepLayer, restored: StepLayer) -> StepLayer:
    """`layer` with the synapses and bias of `restored`, rescaled where the two fold them differently."""
    old, new = (input_factor(item.kind, item.parameters) for item in (layer, restored))
    ratio = new / np.where(old == 0, 1.0, old)
    recurrent = None if restored.recurrent_weight is None else restored.recurrent_weight * ratio[:, None]
    bias = restored.bias if layer.kind == "cuba_lif" else restored.bias * ratio
    parameters = dict(layer.parameters)
    if "leak" in parameters:
        parameters["leak"] = np.zeros(layer.size)  # its integers are part of the bias
    return replace(
        layer, weight=restored.weight * ratio[:, None], recurrent_weight=recurrent, bias=bias, parameters=parameters
    )


def checked_data(
    network: StepNetwork, inputs: Any, labels: Any, mask: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, labels and counting steps of :func:`staircase`, time-major; ExportError where they do not fit."""
    values, wanted = np.asarray(inputs), np.asarray(labels)
    if values.ndim != 3 or values.shape[2] != network.input_size:
        raise ExportError(f"inputs have shape {values.shape}; expected (samples, steps, {network.input_size})")
    batch, steps, _ = values.shape
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.round(values)):
            raise ExportError("inputs are not whole numbers; integer engines take spikes or integer payloads")
        values = values.astype(np.int64)
    per_sample = network.decision["rule"] != "per_step"
    shapes = [(batch,)] if per_sample else [(batch,), (batch, steps)]
    if wanted.shape not in shapes or wanted.dtype.kind not in "iu":
        raise ExportError(
            f"labels are {wanted.dtype} of shape {wanted.shape}; expected class indices of shape "
            f"{' or '.join(map(str, shapes))}"
        )
    counts = np.ones((batch, steps), bool) if mask is None else np.asarray(mask).astype(bool)
    if counts.shape != (batch, steps):
        raise ExportError(f"mask has shape {counts.shape}; expected {(batch, steps)}")
    return np.swapaxes(values, 0, 1), wanted.T if wanted.ndim == 2 else wanted, counts.T
