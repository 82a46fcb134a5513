"""Validation of a :class:`hardware.program.Program`: every shape, type, range, name and option, with one-line
errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from hardware.errors import ProgramError
from hardware.models import MAX_SHIFT, MODELS, STATE_MAX
from hardware.program import DECISION_RULES, MAX_EXPONENT, SPEC_VERSION, Decision, InputFormat, Layer, Program, Synapses

MAX_CURRENT = 2**31 - 1 - 2**26
"""Largest worst-case |I|: leaves room for the other terms of a state's update within 32 bits (FP-2.1)."""

MAX_MULTIPLIER = 2**24 - 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DECAY_SHIFT = "K"


def validate(program: Program) -> None:
    """Check the whole contract.

    Raises:
        ProgramError: names the layer, the item, the limit, the actual value and the fix.
    """
    if program.spec_version != SPEC_VERSION:
        raise ProgramError(
            f"specification version '{program.spec_version}' is not '{SPEC_VERSION}', the one these "
            f"engines implement; export the network again"
        )
    if not program.layers:
        raise ProgramError("a Program needs at least one layer, got none")
    _check_input(program.input)
    names = [layer.name for layer in program.layers]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ProgramError(
            f"layer names must be unique, '{duplicates[0]}' occurs {names.count(duplicates[0])} times; rename one"
        )
    fan_in, low, high = program.input.size, program.input.low, program.input.high
    for index, layer in enumerate(program.layers):
        _check_layer(layer, fan_in, last=index == len(program.layers) - 1)
        _check_current(layer, max(abs(low), abs(high)))
        fan_in, low, high = layer.size, 0, 1
    _check_decision(program)
    _check_metadata(program.metadata)


def worst_current(layer: Layer, largest_input: int) -> np.ndarray:
    """FP-2.1: largest possible |I| of each neuron without bias, int64 (N,), for inputs of magnitude up to
    ``largest_input``."""
    total = (np.abs(layer.input.weight.astype(np.int64)).sum(axis=1) * largest_input) << layer.input.exponent
    if layer.recurrent is not None:
        total = total + (np.abs(layer.recurrent.weight.astype(np.int64)).sum(axis=1) << layer.recurrent.exponent)
    return total


def _check_int(value: object, low: int, high: int, what: str) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ProgramError(f"{what} must be an int, got {type(value).__name__}")
    if not low <= value <= high:
        raise ProgramError(f"{what} must be {low} to {high}, got {value}")


def _check_input(fmt: InputFormat) -> None:
    _check_int(fmt.size, 1, 2**24, "input: number of channels")
    _check_int(fmt.low, -(2**24), 2**24, "input: lowest value")
    _check_int(fmt.high, -(2**24), 2**24, "input: highest value")
    if fmt.low > fmt.high:
        raise ProgramError(f"input: lowest value {fmt.low} is above the highest value {fmt.high}; swap them")


def _check_layer(layer: Layer, fan_in: int, last: bool) -> None:
    if not isinstance(layer.name, str) or not _NAME.fullmatch(layer.name):
        raise ProgramError(f"layer name {layer.name!r} must be 1 to 64 letters, digits, '_', '.' or '-'")
    where = f"layer '{layer.name}'"
    if layer.model not in MODELS:
        raise ProgramError(f"{where}: unknown model {layer.model!r}; models are {', '.join(MODELS)}")
    if not layer.spec.spiking and not last:
        raise ProgramError(
            f"{where}: model '{layer.model}' does not spike and can only be the last layer; move it to the end"
        )
    if not layer.spec.spiking and layer.recurrent is not None:
        raise ProgramError(
            f"{where}: model '{layer.model}' does not spike and has nothing to feed back; set recurrent=None"
        )
    _check_int(layer.coefficient_bits, 8, 16, f"{where}: coefficient_bits")
    _check_synapses(layer.input, f"{where}: input synapses", pre=fan_in)
    if layer.recurrent is not None:
        _check_synapses(layer.recurrent, f"{where}: recurrent synapses", pre=layer.size, post=layer.size)
    _check_array(layer.bias, layer.size, -STATE_MAX, STATE_MAX, f"{where}: bias")
    _check_names(layer.shifts, layer.spec.shifts, f"{where}: shift")
    for name, count in layer.shifts.items():
        _check_int(count, 0, MAX_SHIFT, f"{where}: shift {name}")
    _check_names(layer.options, layer.spec.options, f"{where}: option")
    for name, value in layer.options.items():
        if value not in layer.spec.options[name]:
            raise ProgramError(
                f"{where}: option {name} must be one of {', '.join(layer.spec.options[name])}, got {value!r}"
            )
    _check_parameters(layer, where)


def _check_parameters(layer: Layer, where: str) -> None:
    _check_names(layer.parameters, layer.spec.parameters, f"{where}: parameter")
    for name, limits in layer.spec.parameters.items():
        high = limits.high
        if high is None:  # a decay factor: at most one, and at most as wide as declared
            high = 2 ** min(layer.coefficient_bits, layer.shifts[_DECAY_SHIFT])
        _check_array(
            layer.parameters[name], layer.size, limits.low, high, f"{where}: parameter {name} ({limits.meaning})"
        )
    if layer.model == "brf":
        c, s = (layer.parameters[name].astype(np.int64) for name in ("C", "S"))
        unstable = np.flatnonzero(c * c + s * s > 1 << (2 * layer.shifts[_DECAY_SHIFT]))
        if unstable.size:
            n = int(unstable[0])
            raise ProgramError(
                f"{where}: neuron {n} is an unstable resonator, C^2 + S^2 = {int(c[n] ** 2 + s[n] ** 2)} "
                f"must be at most "
                f"2^{2 * layer.shifts[_DECAY_SHIFT]} (FP-5.1); decrement C"
            )


def _check_names(given: Mapping[str, object], expected: Mapping[str, object] | tuple[str, ...], what: str) -> None:
    missing = [name for name in expected if name not in given]
    if missing:
        raise ProgramError(f"{what} {missing[0]} is missing; needed are {', '.join(expected)}")
    unknown = [str(name) for name in given if name not in expected]
    if unknown:
        raise ProgramError(f"{what} {unknown[0]} is unknown; known are {', '.join(expected) or 'none'}")


def _check_array(array: np.ndarray, size: int, low: int, high: int, what: str) -> None:
    if array.dtype != np.int32 or array.shape != (size,):
        raise ProgramError(f"{what} must be int32 of shape ({size},), got {array.dtype} of shape {array.shape}")
    outside = np.flatnonzero((array < low) | (array > high))
    if outside.size:
        raise ProgramError(f"{what} must be {low} to {high}, got {int(array[outside[0]])} at neuron {int(outside[0])}")


def _check_synapses(synapses: Synapses, what: str, pre: int, post: int | None = None) -> None:
    weight = synapses.weight
    if weight.dtype != np.int8 or weight.ndim != 2:
        raise ProgramError(
            f"{what}: weights must be int8 of shape (neurons, inputs), got {weight.dtype} of shape {weight.shape}"
        )
    if weight.shape[0] < 1 or weight.shape[1] != pre or (post is not None and weight.shape[0] != post):
        raise ProgramError(
            f"{what}: weights must have shape ({'N' if post is None else post}, {pre}), got {weight.shape}"
        )
    _check_int(synapses.exponent, 0, MAX_EXPONENT, f"{what}: exponent")
    _check_int(synapses.weight_bits, 2, 8, f"{what}: weight_bits")
    limit = 2 ** (synapses.weight_bits - 1) - 1
    outside = np.argwhere(np.abs(weight.astype(np.int16)) > limit)
    if outside.size:
        row, column = (int(i) for i in outside[0])
        raise ProgramError(
            f"{what}: {synapses.weight_bits}-bit weights must be {-limit} to {limit}, got "
            f"{int(weight[row, column])} at [{row}, {column}]"
        )


def _check_current(layer: Layer, largest_input: int) -> None:
    worst = worst_current(layer, largest_input)
    where = f"layer '{layer.name}'"
    total = worst + np.abs(layer.bias.astype(np.int64))
    n = int(np.argmax(total))
    if total[n] > MAX_CURRENT:
        raise ProgramError(
            f"{where}: neuron {n} can receive a current of {int(total[n])}, the limit is {MAX_CURRENT} (FP-2.1); "
            "lower an exponent or the input range"
        )
    if layer.model == "cuba_lif":
        _check_cuba_current(layer, worst, where)


def _check_cuba_current(layer: Layer, worst: np.ndarray, where: str) -> None:
    """FP-3.5 wraps once: where inputs can exceed two ranges in one step, the current must still stay within 32 bits for
    ever."""
    charge = worst << 6
    excess = np.maximum(charge - 2**24, 0)
    leak = layer.parameters["du"].astype(np.int64) + 1  # of 4096
    bound = np.where(excess == 0, 2**23, 2**23 + excess * 4096 // np.maximum(leak, 1) + 4096)
    broken = np.flatnonzero((bound + charge > MAX_CURRENT) | ((excess > 0) & (leak == 0)))
    if broken.size:
        n = int(broken[0])
        raise ProgramError(
            f"{where}: neuron {n} can receive {int(worst[n])} synaptic units in one step, its current "
            f"could leave 32 bits (FP-3.5); "
            "lower an exponent"
        )


def _check_decision(program: Program) -> None:
    decision: Decision = program.decision
    if decision.rule not in DECISION_RULES:
        raise ProgramError(f"decision rule {decision.rule!r} is unknown; rules are {', '.join(DECISION_RULES)}")
    if decision.rule == "spike_count" and not program.output.spec.spiking:
        raise ProgramError(
            f"decision rule 'spike_count' needs a spiking output layer, '{program.output.name}' is "
            f"'{program.output.model}'; use 'sum'"
        )
    _check_int(decision.ignore_first, 0, 2**31 - 1, "decision: ignore_first")
    if decision.multiplier is not None:
        _check_array(decision.multiplier, program.output.size, 1, MAX_MULTIPLIER, "decision: multiplier")


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ProgramError(
                f"metadata must map strings to strings, got {key!r}: {type(value).__name__}; convert "
                f"with str() or json.dumps()"
            )
