"""What each step of quantization costs: accuracy from the float network down to the integers, one stair at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from export.errors import ExportError
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.steps import StepNetwork
from export.quantization.dequantize import formats_of, integer_steps
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
        error: standard error of the accuracy over sequences (of a ratio of means: decisions of one sequence are not
            independent of each other).
    """

    name: str
    accuracy: float
    spikes_differing: float
    error: float = 0.0


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
    coefficients = integer_steps(program, network.dt)
    units = {p.name: form.unit for p, form in zip(program.populations, formats_of(program), strict=True)}
    reference = run(original, values)
    multiplier = program.decision.multiplier
    stairs = []
    for name, trace, factor in (
        ("float", reference, None),
        ("weights", run(_with_weights_of(network, coefficients), values), None),
        ("coefficients", run(coefficients, values), None),
        ("states", run(coefficients, values, state_units=units), None),
        ("integer", emulate(program, values), multiplier),
    ):
        differing = [np.mean(trace.spikes[key] != value) for key, value in reference.spikes.items()]
        right, of = right_by_sequence(trace.output, network.decision, wanted, counts, factor)
        accuracy, error = _share_and_error(right, of)
        stairs.append(Stair(name, accuracy, float(np.mean(differing)) if differing else 0.0, error))
    return tuple(stairs)


def accuracy_of(
    output: np.ndarray, decision: Any, labels: np.ndarray, counts: np.ndarray, multiplier: np.ndarray | None = None
) -> float:
    """Share of right decisions; ties go to the lowest index (FP-4.1).

    Args:
        output: (T, B, N_out). labels: (T, B) or (B,). counts: bool (T, B), steps that count.
    """
    return _share_and_error(*right_by_sequence(output, decision, labels, counts, multiplier))[0]


def _share_and_error(right: np.ndarray, of: np.ndarray) -> tuple[float, float]:
    """Share of right decisions, and its standard error over sequences; (B,) each."""
    if not of.any():
        return 0.0, 0.0
    share = float(right.sum() / of.sum())
    return share, float(np.sqrt(np.sum((right - share * of) ** 2)) / of.sum())


def right_by_sequence(
    output: np.ndarray, decision: Any, labels: np.ndarray, counts: np.ndarray, multiplier: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Right decisions of each sequence, and decisions in all, (B,) each; arguments as for :func:`accuracy_of`."""
    scores = output.astype(np.float64)  # sums of 24-bit integers times 16-bit multipliers stay exact below 2^53
    counts = counts.copy()
    counts[: decision["ignore_first"]] = False
    if multiplier is not None:
        scores = scores * multiplier
    if decision["rule"] == "per_step":
        right = scores.argmax(axis=-1) == (labels if labels.ndim == 2 else labels[None, :])
        return (right & counts).sum(axis=0), counts.sum(axis=0)
    total = (scores * counts[..., None]).sum(axis=0)
    right = total.argmax(axis=-1) == labels
    return right.astype(np.int64), np.ones(right.shape, np.int64)


def _with_weights_of(network: StepNetwork, restored: StepNetwork) -> StepNetwork:
    """`network` with the synapses and biases of `restored`, rescaled where the two fold them differently."""
    populations, ratios = [], {}
    for old, new in zip(network.populations, restored.populations, strict=True):
        factors = [input_factor(item.kind, item.parameters) for item in (old, new)]
        ratios[old.name] = ratio = factors[1] / np.where(factors[0] == 0, 1.0, factors[0])
        parameters = dict(old.parameters)
        if "leak" in parameters:
            parameters["leak"] = np.zeros(old.size)  # its integers are part of the bias
        bias = new.bias if old.kind == "cuba_lif" else new.bias * ratio
        populations.append(replace(old, bias=bias, parameters=parameters))
    projections = tuple(
        replace(item, weights=item.weights.scaled(ratios[item.target])) for item in restored.projections
    )
    return replace(network, populations=tuple(populations), projections=projections)


def checked_data(network: StepNetwork, inputs: Any, labels: Any, mask: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """Inputs (by name, where they were given so), labels and counting steps of :func:`staircase`, time-major;
    ExportError where they do not fit."""
    if isinstance(inputs, Mapping):
        values: Any = {str(name): _whole_inputs(value, None) for name, value in inputs.items()}
        batch, steps, _ = next(iter(values.values())).shape
        major: Any = {name: np.swapaxes(value, 0, 1) for name, value in values.items()}
    else:
        values = _whole_inputs(inputs, network.input_size)
        batch, steps, _ = values.shape
        major = np.swapaxes(values, 0, 1)
    wanted = np.asarray(labels)
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
    return major, wanted.T if wanted.ndim == 2 else wanted, counts.T


def _whole_inputs(inputs: Any, channels: int | None) -> np.ndarray:
    """Integers (B, T, N)."""
    values = np.asarray(inputs)
    if values.ndim != 3 or (channels is not None and values.shape[2] != channels):
        expected = "channels" if channels is None else channels
        raise ExportError(f"inputs have shape {values.shape}; expected (samples, steps, {expected})")
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.round(values)):
            raise ExportError("inputs are not whole numbers; integer engines take spikes or integer payloads")
        values = values.astype(np.int64)
    return values
