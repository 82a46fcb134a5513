"""A Program as a recurrence of ONNX operators.

Elements are uint8 (spikes, and inputs within 0 to 255) and int32 (states, other inputs); all arithmetic between them
runs in int64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.onnx import description, synapses
from export.onnx.builder import BOOL, INT32, INT64, UINT8, GraphBuilder, Value
from export.onnx.delays import HISTORY, delayed, history_tensors, input_tensor, moved_on
from export.onnx.description import element_of
from export.onnx.forms import Recurrence, Tensor
from export.onnx.neurons import STEPS, Arithmetic, Current
from hardware.populations import Input, Population, Projection
from hardware.program import Program
from hardware.trace import output_key


def recurrence(program: Program) -> Recurrence:
    """``program`` for :func:`export.onnx.forms.build`."""
    inputs = {input_tensor(item.name, len(program.inputs)): item for item in program.inputs}
    carried: dict[str, Tensor] = {}
    for population in program.populations:
        carried.update(_carried(population))
    out = program.output
    return Recurrence(
        inputs={name: Tensor(element_of(item), item.size, doc=_input_doc(item)) for name, item in inputs.items()},
        output=Tensor(UINT8 if out.spec.spiking else INT32, out.size, doc=f"output: {output_key(program)}"),
        carried=carried,
        histories=_histories(program, tuple(carried)),
        body=lambda graph, values, previous: _step(
            graph, program, {item.name: values[name] for name, item in inputs.items()}, previous
        ),
        doc=_doc(program),
    )


def metadata(program: Program) -> dict[str, str]:
    """What a reader of the file needs to know."""
    return description.write(program, tuple(name for item in program.populations for name in _carried(item)))


def _carried(population: Population) -> dict[str, Tensor]:
    name, what = population.name, f"of population '{population.name}' ({population.model})"
    found = {f"spikes/{name}": Tensor(UINT8, population.size, doc=f"spikes {what}")} if population.spec.spiking else {}
    for state in population.spec.states:
        start = population.start(state)
        found[f"{state}/{name}"] = Tensor(
            INT32, population.size, start=start if start.any() else None, doc=f"state {state} {what}"
        )
    return found


def _histories(program: Program, trace: tuple[str, ...]) -> dict[str, Tensor]:
    """What delays need besides the spikes of the step before."""
    elements = {item.name: element_of(item) for item in program.inputs}
    return {
        HISTORY + name: Tensor(
            elements.get(name, UINT8), program.sizes[name], steps, doc=f"last {steps} steps of '{name}', oldest first"
        )
        for name, steps in history_tensors(program.history, trace).items()
    }


def _input_doc(item: Input) -> str:
    return f"input '{item.name}', integers {item.low} to {item.high}"


def _doc(program: Program) -> str:
    populations = ", ".join(f"{item.name} ({item.model}, {item.size})" for item in program.populations)
    return (
        f"Integer spiking network, exact to hypr's fixed-point specification {program.spec_version}. "
        f"Populations in order of evaluation: {populations}. Output: {output_key(program)}."
    )


def _step(
    graph: GraphBuilder, program: Program, inputs: Mapping[str, Value], previous: Mapping[str, Value]
) -> tuple[Value, Mapping[str, Value]]:
    """All populations of one step (FP-2.3)."""
    now: dict[str, Value] = {}
    values = dict(inputs)  # of this step, by source
    for population in program.populations:
        name, states = population.name, population.spec.states
        z_old = previous.get(f"spikes/{name}")
        old = {state: previous[f"{state}/{name}"].cast(INT64) for state in states}
        current = _current(graph, program, population, values, previous)
        spiked = None if z_old is None else z_old.cast(BOOL)
        new, z = STEPS[population.model](Arithmetic(graph, population), old, current, spiked, population.options)
        now.update({f"{state}/{name}": new[state].cast(INT32) for state in states})
        if z is not None:
            values[name] = now[f"spikes/{name}"] = z.cast(UINT8)
    now.update(moved_on(graph, previous, program.history, values))
    return now[output_key(program)], now


def _current(
    graph: GraphBuilder,
    program: Program,
    population: Population,
    values: Mapping[str, Value],
    previous: Mapping[str, Value],
) -> Current:
    """FP-2.1."""
    synaptic = None
    for projection in program.into(population.name):
        source, delay = projection.source, projection.delay
        given = delayed(graph, previous, program.history, source, delay) if delay else values[source]
        part = synapses.drive(graph, _prefix(program, projection), projection, given, *program.ranges[source])
        synaptic = part if synaptic is None else synaptic + part
    bias = graph.constant(f"{population.name}:bias", population.bias.astype(np.int64))
    return Current(graph.scalar(0) if synaptic is None else synaptic, bias)


def _prefix(program: Program, projection: Projection) -> str:
    """Start of the names of a projection's constants; in a chain as version 0.1 named them."""
    kind = projection.name.partition(".")[2]  # of "layer0.input"
    return f"{projection.target}:{kind}" if program.is_chain else f"{projection.name}:synapses"
