"""What a user must hear after a quantization: what was lost, layer by layer, and what to do about it. Plain numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from export.errors import QuantizationError
from export.interchange.steps import StepNetwork, StepPopulation
from export.quantization.drives import example_inputs
from export.quantization.formats import LayerFormat
from export.quantization.leaks import decays, drift, gone, integer_decays, lost, time_constant_error
from export.quantization.recordings import Statistics
from export.quantization.synapses import of_kind
from export.quantization.tensors import folded_bias, folded_weights, synaptic_unit, weight_limit
from hardware.emulator import emulate
from hardware.models import STATE_MAX
from hardware.populations import Population
from hardware.program import Program
from hardware.ranges import analyse
from hardware.trace import Trace

FINDINGS_KEY = "quantization"
"""Metadata key of a Program that holds the findings as JSON."""

_LOG = logging.getLogger("export")
_SPOKEN = 8
_MANY_LOST = 0.5
_FAR_OFF = 0.25
_FELT = 0.08
"""By so much a state differs at most in the long run where a time constant is off by a quarter; what differs by less
within the calibration's steps is not said."""

_TURNED = 0.1
"""So many radians must a rotation that rounds to 0 have turned a state by within the calibration's steps."""

_COEFFICIENTS = {
    "brf": {"S": "omega", "R": "gamma", "D": "dt"},
    "se_adlif": {"At": "a", "Bt": "b"},
    "alif": {"Ja": "beta"},
}
_IN_COEFFICIENTS = ("omega", "gamma", "dt", "a")
"""Those of them that are stored in ``coefficient_bits``; the others are in units of a state."""

_THRESHOLDS = {"TH": "theta", "B0": "b0", "vth": "theta"}


def findings(
    program: Program,
    network: StepNetwork,
    formats: Sequence[LayerFormat],
    seen: Statistics | None = None,
    calibration: Any = None,
) -> dict[str, Any]:
    """Losses of a quantization.

    Args:
        network: in the form that has integers (``prepare``). seen: what the float network does on the calibration
            inputs. calibration: those inputs; a part of them is run in integers.

    Returns:
        ``{"version": 1, "layers": [...], "warnings": [line, ...]}``; a layer has ``name``, ``model``, ``weight_bits``,
        ``coefficient_bits``, ``fraction_bits`` (None with a scale for each row), ``tensors`` (``nonzero``, ``lost``,
        ``clipped``, ``rows_lost``), ``decays`` (``became_one``, ``became_zero``, ``largest_error``,
        ``drift``: largest difference of what is left of a state within the calibration's ``steps``), ``zeros``,
        ``unfelt`` (those of them that change nothing within these steps), ``spikes`` and ``states``.
    """
    trace = None
    if calibration is not None:
        trace = emulate(program, _whole(example_inputs(network, calibration)), "all")
    bounds: dict[str, dict[str, int]] = {}
    for item in analyse(program).states:
        bounds.setdefault(item.layer, {})[item.state] = int((~item.proved).sum())
    steps = None if seen is None else seen.longest
    layers, warnings = [], []
    if seen is not None and seen.silent_inputs:
        warnings.append(
            "calibration inputs: all values are 0, so that the formats are guesses; calibrate on inputs as in use"
        )
    for source, whole, form in zip(network.populations, program.populations, formats, strict=True):
        layer = {
            "name": source.name,
            "model": source.kind,
            "weight_bits": form.weight_bits,
            "coefficient_bits": form.coefficient_bits,
            "fraction_bits": form.fraction_bits,
            "tensors": _tensors(network, source, program, form),
            "decays": _decays(source, whole, steps),
            "zeros": _zeros(source, whole),
            "unfelt": _unfelt(source, whole, steps),
            "steps": steps,
            "spikes": _spikes(source, seen, trace),
            "states": saturation(whole, trace, bounds.get(source.name, {})),
        }
        layers.append(layer)
        warnings += [*_warnings(layer), *_of_the_limit(whole, trace)]
    return {"version": 1, "layers": layers, "warnings": warnings}


def _of_the_limit(whole: Population, trace: Trace | None) -> list[str]:
    """A limit of several spikes (FP-3.9) that the calibration inputs reach."""
    if trace is None or whole.most_spikes == 1 or trace.spikes[whole.name].max() < whole.most_spikes:
        return []
    return [f"layer {whole.name}: it sends {whole.most_spikes} spikes in a step, the most of FP-3.9; raise max_spikes"]


def refuse_zeros(found: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """QuantizationError where all weights of a tensor became 0 and its name is not among the allowed ones."""
    for layer in found["layers"]:
        for name, tensor in layer["tensors"].items():
            if tensor["nonzero"] and tensor["lost"] == tensor["nonzero"]:
                full = f"{layer['name']}.{name}"
                if full not in allowed:
                    raise QuantizationError(
                        f"layer {layer['name']}: all {tensor['nonzero']} weights of '{name}' round to 0 (the largest "
                        f"moves a state by {tensor['largest']:.3g}, one state unit is {tensor['unit']:.3g}); narrow "
                        "the range of inputs, give more weight_bits or state_fraction_bits, or allow it by name: "
                        f"allow_zero='{full}'"
                    )


def refuse_zero_tensors(
    program: Program, network: StepNetwork, formats: Sequence[LayerFormat], allowed: Sequence[str]
) -> None:
    """:func:`refuse_zeros` without the other findings."""
    pairs = zip(network.populations, formats, strict=True)
    layers = [{"name": p.name, "tensors": _tensors(network, p, program, form)} for p, form in pairs]
    refuse_zeros({"layers": layers}, allowed)


def saturated(program: Program, trace: Trace) -> dict[str, int]:
    """``state/population`` -> how many values of a trace sit at the limit of 24 bits; those with none are left out."""
    found = {}
    for population in program.populations:
        for state, entry in saturation(population, trace).items():
            if entry.get("did"):
                found[f"{state}/{population.name}"] = entry["did"]
    return found


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of several traces together."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def saturation_lines(counts: Mapping[str, int], values: Mapping[str, int]) -> list[str]:
    """For people: which states sat at their limit, how often, and what to do."""
    return [
        f"layer {name.partition('/')[2]}: state '{name.partition('/')[0]}' sits at the limit of 24 bits in {count} of "
        f"{values[name]} values ({100 * count / max(1, values[name]):.2g} %); lower state_fraction_bits, or calibrate "
        "on inputs as long and as dense as these"
        for name, count in counts.items()
    ]


def recorded_findings(program: Program) -> dict[str, Any] | None:
    """Findings that a Program's metadata holds; None where it was quantized without, or in recorded formats."""
    try:
        found = json.loads(program.metadata[FINDINGS_KEY])
    except (KeyError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def speak(found: Mapping[str, Any]) -> None:
    """Warnings to the log ``export``, which Python writes to the terminal unless it is told otherwise."""
    lines = found["warnings"]
    for line in lines[:_SPOKEN]:
        _LOG.warning("quantization: %s", line)
    if len(lines) > _SPOKEN:
        _LOG.warning("quantization: and %d more; all of them stand in the manifest", len(lines) - _SPOKEN)


def summary(found: Mapping[str, Any]) -> list[str]:
    """One line for each layer."""
    lines = []
    for layer in found["layers"]:
        tensors = layer["tensors"].values()
        count = max(1, sum(t["nonzero"] for t in tensors))
        zero, clipped = (100 * sum(t[key] for t in tensors) / count for key in ("lost", "clipped"))
        off = max((d["largest_error"] for d in layer["decays"].values()), default=0.0)
        scale = "one power of two" if layer["fraction_bits"] is not None else "by row"
        line = (
            f"{layer['name']}: {layer['weight_bits']} bits, scale {scale}; {zero:.1f} % of weights round to 0, "
            f"{clipped:.1f} % clipped; time constants within {100 * off:.1f} %"
        )
        spikes = layer["spikes"]
        if spikes is not None:
            line += f"; {spikes['float_rate']:.4g} spikes per step and neuron"
        lines.append(line)
    return lines


def saturation(
    population: Population, trace: Trace | None, unproved: Mapping[str, int] | None = None
) -> dict[str, dict[str, int]]:
    """Of each recorded state: neurons of which saturation cannot be excluded (``can``), and how many values of a trace
    sit at the limit (``did``, of ``values``)."""
    found: dict[str, dict[str, int]] = {}
    for state in population.spec.states:
        entry = {"can": int((unproved or {}).get(state, 0))}
        value = None if trace is None else trace.states.get(f"{state}/{population.name}")
        if value is not None and (population.model, state) != ("cuba_lif", "u"):  # its current wraps (FP-3.5)
            edge = STATE_MAX - 1 if population.model == "cuba_lif" else STATE_MAX
            entry |= {"did": int(np.count_nonzero(np.abs(value) >= edge)), "values": int(value.size)}
        found[state] = entry
    return found


def _whole(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: _whole(value) for name, value in inputs.items()}
    return np.ascontiguousarray(inputs).astype(np.int32)


def _tensors(network: StepNetwork, source: StepPopulation, program: Program, form: LayerFormat) -> dict[str, Any]:
    unit, result = synaptic_unit(source.kind, form.unit), {}
    limit = weight_limit(form.weight_bits)
    pairs = zip(network.into(source.name), program.into(source.name), form.synapses, strict=True)
    for real, item, synapse in pairs:
        folded = folded_weights(real.weights, source.kind, source.parameters, network.scale_of(real.source))
        target, column, values = of_kind(folded, synapse.kind, f"layer {source.name}").coo()
        matrix = np.asarray(item.synapses.matrix())
        whole = matrix[target, column]
        used = values != 0
        steps = np.abs(values) / (unit[target] * 2.0**item.exponent)
        zero = used & (whole == 0)
        before = np.bincount(target[used], minlength=source.size)
        after = np.bincount(target[used & ~zero], minlength=source.size)
        result[_label(item.name)] = {
            "nonzero": int(used.sum()),
            "lost": int(zero.sum()),
            "clipped": int(np.sum(steps >= limit + 0.5)),
            "rows_lost": int(np.sum((before > 0) & (after == 0))),
            "largest": float(np.abs(values).max(initial=0.0)),
            "unit": float(unit.min()),
        }
    return result


def _label(name: str) -> str:
    return {"input": "weight", "recurrent": "recurrent_weight"}.get(name.rpartition(".")[2], name)


def _decays(source: StepPopulation, whole: Population, steps: int | None) -> dict[str, Any]:
    after, result = integer_decays(source.kind, whole.parameters, whole.shifts), {}
    for name, value in decays(source).items():
        error = time_constant_error(value, after[name])
        entry: dict[str, Any] = {
            "became_one": int(lost(value, after[name]).sum()),
            "became_zero": int(gone(value, after[name]).sum()),
            "largest_error": float(error.max()),
            "neuron": int(np.argmax(error)),
            "endless": int(np.sum(after[name] >= 1.0)),
        }
        if steps:
            apart, when = drift(value, after[name], steps)
            i = int(np.argmax(np.where(error > _FAR_OFF, apart, 0.0)))
            entry["drift"] = {
                "neuron": i,
                "error": float(error[i]),
                "largest": float(apart[i]) if error[i] > _FAR_OFF else 0.0,
                "step": int(when[i]),
                "real": float(value[i] ** when[i]),
                "integer": float(after[name][i] ** when[i]),
            }
        result[name] = entry
    return result


def _zeros(source: StepPopulation, whole: Population) -> dict[str, int]:
    """How many biases, thresholds and couplings that are not 0 became 0."""
    bias = np.broadcast_to(folded_bias(source.kind, source.bias, source.parameters), (source.size,))
    found = {"bias": int(np.sum((bias != 0) & (whole.bias == 0)))}
    names = {**_THRESHOLDS, **_COEFFICIENTS.get(source.kind, {})}
    for key, name in names.items():
        if key in whole.parameters and name in source.parameters:
            real = np.broadcast_to(source.parameters[name], (source.size,))
            found[name] = int(np.sum((real != 0) & (whole.parameters[key] == 0)))
    return found


def _unfelt(source: StepPopulation, whole: Population, steps: int | None) -> dict[str, int]:
    """Of the rotations that became 0 those that would not have turned a state noticeably in so many steps."""
    if source.kind != "brf" or not steps:
        return {}
    turn = np.broadcast_to(source.parameters["dt"] * source.parameters["omega"], (source.size,))
    return {"omega": int(np.sum((turn != 0) & (whole.parameters["S"] == 0) & (turn * steps < _TURNED)))}


def _spikes(source: StepPopulation, seen: Statistics | None, trace: Trace | None) -> dict[str, Any] | None:
    if seen is None or not source.spiking:
        return None
    count = int(seen.spikes[source.name].sum())
    result: dict[str, Any] = {
        "float": count,
        "float_rate": count / max(1, seen.steps * source.size),
        "silent_neurons": int(np.sum(seen.spikes[source.name] == 0)),
    }
    if trace is not None:
        values = trace.spikes[source.name]
        result |= {"integer": int(np.count_nonzero(values)), "integer_rate": float(np.mean(values != 0))}
    return result


def _warnings(layer: Mapping[str, Any]) -> list[str]:
    where, found = f"layer {layer['name']}", []
    for name, tensor in layer["tensors"].items():
        if tensor["rows_lost"]:
            found.append(
                f"{where}: {tensor['rows_lost']} neurons lose all their weights of '{name}' (they round to 0); give "
                "more weight_bits, weight_scale='per_row', or remove outliers"
            )
        elif tensor["nonzero"] and tensor["lost"] > _MANY_LOST * tensor["nonzero"]:
            share = 100 * tensor["lost"] / tensor["nonzero"]
            found.append(
                f"{where}: {share:.0f} % of the weights of '{name}' round to 0; give more weight_bits, "
                "weight_scale='per_row', or remove outliers"
            )
    for name, decay in layer["decays"].items():
        for key, what in (("became_one", "lose their leak"), ("became_zero", "lose their memory")):
            if decay[key]:
                found.append(
                    f"{where}: {decay[key]} neurons {what}: '{name}' needs more than {layer['coefficient_bits']} "
                    "bits; raise coefficient_bits (at most 16) or take a longer time step"
                )
        found += _off(where, name, decay, layer["steps"])
    for name, count in layer["zeros"].items():
        count -= layer["unfelt"].get(name, 0)
        if count:
            bits = "coefficient_bits" if name in _IN_COEFFICIENTS else "state_fraction_bits or narrow the inputs"
            found.append(f"{where}: {count} values of '{name}' round to 0; raise {bits}")
    return found + _behaviour(layer, where)


def _off(where: str, name: str, decay: Mapping[str, Any], steps: int | None) -> list[str]:
    """A time constant that is far off, where sequences are long enough to feel it."""
    if decay["largest_error"] <= _FAR_OFF:
        return []
    far = decay.get("drift")
    if far is None:
        percent = 100 * decay["largest_error"]
        return [
            f"{where}: the time constant of '{name}', neuron {decay['neuron']}, is off by {percent:.0f} %; raise "
            "coefficient_bits"
        ]
    if far["largest"] <= _FELT:
        return []
    return [
        f"{where}: the time constant of '{name}', neuron {far['neuron']}, is off by {100 * far['error']:.0f} % (after "
        f"{far['step']} steps {100 * far['integer']:.0f} % of a state are left instead of {100 * far['real']:.0f} %); "
        "raise coefficient_bits"
    ]


def _behaviour(layer: Mapping[str, Any], where: str) -> list[str]:
    found, spikes = [], layer["spikes"]
    if spikes is not None and not spikes["float"]:
        found.append(
            f"{where}: no spike on the calibration inputs; check the inputs, the time step and the units of time "
            "constants (seconds)"
        )
    elif spikes is not None and spikes.get("integer") == 0 and spikes["float_rate"] > 1e-3:
        found.append(f"{where}: spikes in float, none in integers; give more bits")
    for state, entry in layer["states"].items():
        if entry.get("did"):
            found.append(
                f"{where}: state '{state}' saturates on the calibration inputs ({entry['did']} of {entry['values']} "
                "values); lower state_fraction_bits or calibrate on such inputs"
            )
        elif entry["can"] and layer["model"] == "li" and layer["decays"]["kappa"]["endless"]:
            found.append(
                f"{where}: state '{state}' has no leak and can saturate on inputs longer than the calibration's; "
                "calibrate on the longest inputs in use"
            )
    return found
