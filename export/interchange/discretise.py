"""NIR graph -> difference equations: continuous-time nodes become one step per dt, with the conventions that NIR
leaves open made explicit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError
from export.interchange.doubts import doubts
from export.interchange.metadata import check_metadata
from export.interchange.readers import choose, equation_of, initial_states
from export.interchange.reading import Reading
from export.interchange.source import DECISION_RULES
from export.interchange.spyx import with_spyx_recurrence
from export.interchange.steps import StepInput, StepNetwork, StepPopulation, StepProjection, named
from export.interchange.time_constants import SCHEMES
from export.interchange.topology import Stage, Topology, topology_of
from export.interchange.wiring import opened_nodes
from hardware.chain import input_name

__all__ = ["Reading", "discretise"]

_NAME_LENGTH = 56
_ROUNDING = 16 * float(np.finfo(np.float32).eps)
"""Of tau/r, each of which its writer rounded to float32."""


def discretise(graph: nir.NIRGraph, reading: Reading | None = None) -> StepNetwork:
    """Difference equations of a graph.

    Args:
        graph: from :func:`export.interchange.graph.to_nir`, :func:`export.interchange.graph.read` or another tool.
        reading: conventions; what contradicts the graph's own metadata is an error.

    Raises:
        GraphError: damaged or contradictory values. UnsupportedError: what has no exact form here, with the reason.
    """
    reading = reading or Reading()
    check_metadata(graph)
    metadata = dict(graph.metadata or {})
    scheme = choose(reading.scheme, metadata.get("scheme"), "euler", "scheme")
    if scheme not in SCHEMES:
        raise GraphError(f"metadata scheme is {scheme!r}; allowed: {', '.join(SCHEMES)}")
    graph, repaired = with_spyx_recurrence(graph) if reading.tool == "Spyx" else (graph, ())
    dt, inferred = _time_step(reading.dt, metadata.get("dt"), opened_nodes(graph))
    topology = topology_of(graph, dt, reading.order or _listed(metadata.get("order")))
    clean = _clean_names(topology)
    _check_layers(reading, topology, clean)
    populations = tuple(_population(stage, clean, dt, scheme, reading) for stage in topology.stages)
    inputs = _inputs(graph, topology, clean, reading, metadata)
    outputs = tuple(dict.fromkeys(clean[name] for name in topology.outputs.values()))
    projections = named(inputs, populations, _projections(topology, clean, reading.lag), outputs)
    by_name = {population.name: population for population in populations}
    decision = _decision(reading, metadata, topology, clean, by_name)
    notes = (*_notes(topology, metadata), *([inferred] if inferred else []))
    warnings = (*repaired, *doubts(topology, populations, dt, reading))
    return StepNetwork(inputs, populations, projections, outputs, dt, decision, notes, warnings)


def _time_step(given: float | None, recorded: Any, nodes: Iterable[nir.NIRNode]) -> tuple[float | None, str | None]:
    """Seconds per step, and a note where they were inferred."""
    if recorded is not None:
        try:
            recorded = float(recorded)
        except (TypeError, ValueError):
            raise GraphError(f"metadata dt is {recorded!r}; it must be a number of seconds") from None
        if not (np.isfinite(recorded) and recorded > 0):
            raise GraphError(f"metadata dt is {recorded}; it must be a positive number of seconds")
    dt = choose(given, recorded, None, "dt")
    if dt is not None:
        return float(dt), None
    timed = [node for node in nodes if isinstance(node, (nir.LIF, nir.LI, nir.CubaLIF))]
    if not timed:
        return None, None
    ask = "give the seconds per step (--dt)"
    steps = np.concatenate([_gain_one_step(node) for node in timed])
    taus = np.concatenate([_time_constants(node) for node in timed])
    if not np.isfinite(steps).all() or steps.max() > steps.min() * (1 + _ROUNDING):
        raise ExportError(f"the file does not say its time step and tau/r differs between neurons; {ask}")
    if taus.max() <= taus.min() * (1 + 1e-3):
        raise ExportError(
            f"the file does not say its time step, and one time constant for all neurons does not tell it; {ask}"
        )
    step = float(f"{float(np.median(steps)):.5g}")  # tau and r were rounded to float32 by their writer
    if step >= taus.max() * (1 - 1e-4):
        raise ExportError(f"the file does not say its time step and r = 1 does not tell it; {ask}")
    return step, f"dt {step:.6g} s is inferred: with it the gain of every neuron is one (--dt says otherwise)"


def _time_constants(node: nir.NIRNode) -> np.ndarray:
    keys = ("tau_syn", "tau_mem") if isinstance(node, nir.CubaLIF) else ("tau",)
    return np.concatenate([np.ravel(np.asarray(getattr(node, key), np.float64)) for key in keys])


def _gain_one_step(node: nir.NIRNode) -> np.ndarray:
    """The dt at which the input gain of each neuron is one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(node, nir.CubaLIF):
            syn = np.asarray(node.tau_syn, np.float64) / np.asarray(node.w_in, np.float64)
            return np.concatenate(
                [np.ravel(syn), np.ravel(np.asarray(node.tau_mem, np.float64) / np.asarray(node.r, np.float64))]
            )
        return np.ravel(np.asarray(node.tau, np.float64) / np.asarray(node.r, np.float64))


def _listed(text: Any) -> tuple[str, ...]:
    """Names that a file of ours records in one string."""
    return tuple(name for name in str(text).split(",") if name) if text is not None else ()


def _clean_names(topology: Topology) -> dict[str, str]:
    """Names that a Program accepts: letters, digits, ``_ . -``; made unique."""
    taken: dict[str, str] = {}
    for name in [stage.name for stage in topology.stages]:
        taken[name] = _clean(name, taken.values())
    if len(topology.inputs) == 1:
        taken[topology.inputs[0][0]] = input_name(list(taken.values()))
    else:
        for name, _, _ in topology.inputs:
            taken[name] = _clean(name, taken.values())
    return taken


def _clean(name: str, taken: Iterable[str]) -> str:
    clean = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_NAME_LENGTH] or "layer"
    while clean in taken:
        clean += "_"
    return clean


def _check_layers(reading: Reading, topology: Topology, clean: Mapping[str, str]) -> None:
    known = {stage.name for stage in topology.stages} | {clean[stage.name] for stage in topology.stages}
    unknown = [name for name in reading.layers if name not in known]
    if unknown:
        names = ", ".join(stage.name for stage in topology.stages)
        raise ExportError(f"conventions are given for '{unknown[0]}', which is no neuron; neurons are {names}")


def _population(
    stage: Stage, clean: Mapping[str, str], dt: float | None, scheme: str, reading: Reading
) -> StepPopulation:
    name = clean[stage.name]
    key = stage.name if stage.name in reading.layers else name
    own = reading.of_layer(key)
    chosen = own.scheme if "scheme" in reading.layers.get(key, {}) else scheme
    kind, parameters, options = equation_of(stage, dt, str(chosen), own)
    bias, late = stage.bias, dict(stage.late_bias)
    if own.recurrent_bias_at_start is not False:
        bias = bias + stage.recurrent_bias
    elif stage.recurrent_bias.any():  # absent at the first step
        late[1] = late.get(1, np.zeros(stage.size)) + stage.recurrent_bias
    if own.lag and np.any(bias):  # what a layer shows is one step late, its bias included
        late[own.lag], bias = late.get(own.lag, np.zeros(stage.size)) + bias, np.zeros(stage.size)
    if kind == "cuba_lif":
        parameters["b_syn"], bias = bias, parameters.pop("leak")
    return StepPopulation(name, kind, bias, parameters, options, late, initial_states(stage, kind, own.start))


def _projections(topology: Topology, clean: Mapping[str, str], lag: int) -> list[StepProjection]:
    """Feedback has its step of delay already; a lag is for what goes forward."""
    return [
        StepProjection(
            "", clean[item.source], clean[stage.name], item.weights, item.delay + (0 if item.feedback else lag)
        )
        for stage in topology.stages
        for item in stage.connections
    ]


def _inputs(
    graph: nir.NIRGraph, topology: Topology, clean: Mapping[str, str], reading: Reading, metadata: Mapping[str, Any]
) -> tuple[StepInput, ...]:
    found = []
    for name, size, scale in topology.inputs:
        own = {**metadata, **(getattr(graph.nodes[name], "metadata", None) or {})}
        found.append(StepInput(clean[name], size, *_input_format(reading, own), scale))
    return tuple(found)


def _input_format(reading: Reading, metadata: Mapping[str, Any]) -> tuple[int, int]:
    recorded = None
    if "input_low" in metadata and "input_high" in metadata:
        try:
            recorded = (int(metadata["input_low"]), int(metadata["input_high"]))
        except (TypeError, ValueError):
            raise GraphError(
                f"metadata input_low/input_high are {metadata['input_low']!r}/{metadata['input_high']!r}; they must "
                "be integers"
            ) from None
    low, high = choose(reading.input_format, recorded, (0, 1), "input range")
    if not -(2**23) < low <= 0 <= high < 2**23 or low == high:
        raise GraphError(
            f"input range {low} to {high} is not supported; it needs integers low <= 0 <= high of at most 24 bits"
        )
    return int(low), int(high)


def _decision(
    reading: Reading,
    metadata: Mapping[str, Any],
    topology: Topology,
    clean: Mapping[str, str],
    populations: Mapping[str, StepPopulation],
) -> dict[str, Any]:
    names = list(topology.outputs.values())
    asked = choose(reading.output, metadata.get("decision_output"), None, "output of the decision")
    read = clean[names[-1]]
    if asked is not None:
        known = {**{name: clean[name] for name in names}, **{clean[name]: clean[name] for name in names}}
        known |= {node: clean[name] for node, name in topology.outputs.items()}
        if str(asked) not in known:
            raise ExportError(f"output '{asked}' is none of this graph; outputs are {', '.join(topology.outputs)}")
        read = known[str(asked)]
    default = "spike_count" if populations[read].spiking else "sum"
    rule = choose(reading.decision, metadata.get("decision_rule"), default, "decision rule")
    try:
        ignore = int(metadata.get("decision_ignore_first", 0))
    except (TypeError, ValueError):
        raise GraphError(
            f"metadata decision_ignore_first is {metadata['decision_ignore_first']!r}; it must be a number of steps"
        ) from None
    if rule not in DECISION_RULES or ignore < 0:
        raise GraphError(
            f"metadata decision '{rule}' with {ignore} ignored steps is unknown; rules are {', '.join(DECISION_RULES)}"
        )
    found: dict[str, Any] = {"rule": str(rule), "ignore_first": ignore}
    return found if read == clean[names[-1]] else {**found, "output": read}


def _notes(topology: Topology, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Notes of the topology; a file of ours says of recurrent layers itself that they hear their last step."""
    ours = metadata.get("recurrence") == "previous_step"
    within: Sequence[str] = [f"feedback {stage.name} -> {stage.name}:" for stage in topology.stages]
    return tuple(note for note in topology.notes if not (ours and any(note.startswith(start) for start in within)))
