"""What the metadata of an integer graph says: written beside the graph, read when a file is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from export.errors import ExportError
from export.onnx.builder import INT32, UINT8
from export.onnx.delays import HISTORY, history_tensors, input_tensor
from export.onnx.forms import FORMS, PREVIOUS
from hardware.errors import HardwareError
from hardware.populations import Input
from hardware.program import Program
from hardware.program_file import content_hash
from hardware.trace import output_key

_TIMING = "layer l reads layer l - 1 at the same step, its own spikes one step late; states start at 0"
_TIMING_OF_GRAPHS = (
    "populations in the order of hypr.trace; a projection of delay d reads what its source had d steps before, 0 "
    "before the first step; states start at hypr.initial"
)


@dataclass(frozen=True, eq=False)
class Description:
    """An integer graph, as its metadata describes it.

    Attributes:
        form: ``scan`` or ``step``.
        program_sha256: content hash of the Program that the graph was made from.
        inputs: accepted integers.
        trace: names of all spikes and states, as in a trace.
        outputs: names in ``trace`` that are the outputs of the program.
        decision_output: the one of them that the decision reads, which is also the tensor ``output``.
        history: source (input or population) -> its longest delay.
        initial: trace name -> initial value of states that do not start at 0, int32 (N,) or of one element.
        most_spikes: population -> most spikes of a neuron in one step, where that is more than one.
    """

    form: str
    program_sha256: str
    inputs: tuple[Input, ...]
    trace: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    decision_output: str | None = None
    history: Mapping[str, int] = field(default_factory=dict)
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    most_spikes: Mapping[str, int] = field(default_factory=dict)

    @property
    def input_tensors(self) -> dict[str, Input]:
        """Name of the ONNX input -> the input of the program; ``x`` where there is one."""
        return {input_tensor(item.name, len(self.inputs)): item for item in self.inputs}

    @property
    def histories(self) -> dict[str, int]:
        """Sources whose last steps are a tensor of the graph -> number of steps; a single last step of a population is
        its spikes."""
        return history_tensors(self.history, self.trace)

    @property
    def handed_on(self) -> tuple[str, ...]:
        """Names of all tensors that a step takes from the step before."""
        return (*self.trace, *(HISTORY + name for name in self.histories))

    def sizes(self, graph: onnx.GraphProto) -> dict[str, tuple[int, int]]:
        """Tensor name -> (element type, elements per sample), of all inputs and outputs of the graph.

        Raises:
            ExportError: they are not those that the metadata promises.
        """
        inputs = [*self.input_tensors]
        if self.form == "step":
            inputs += [PREVIOUS + name for name in self.handed_on]
        found = _sizes(graph.input)
        results = _sizes(graph.output)
        if set(found) != set(inputs) or set(results) != {"output", *self.handed_on}:
            raise ExportError("the metadata of the ONNX graph does not fit its outputs; export the network again")
        for name, item in self.input_tensors.items():
            if found[name] != (element_of(item), item.size):
                raise ExportError("the metadata of the ONNX graph does not fit its inputs; export the network again")
        depths = {item.name: item.type.tensor_type.shape.dim[0].dim_value for item in graph.output}
        wrong = [value.size not in (1, results[name][1]) for name, value in self.initial.items()]
        wrong += [depths[HISTORY + name] != steps for name, steps in self.histories.items()]
        if any(wrong):
            raise ExportError("the metadata of the ONNX graph does not fit its states; export the network again")
        return {**found, **results}


def element_of(item: Input) -> int:
    """Element type of an input's tensor."""
    return UINT8 if item.low >= 0 and item.high <= 255 else INT32


def write(program: Program, trace: tuple[str, ...]) -> dict[str, str]:
    """Metadata of a program's graph, in either form."""
    items = [{"name": item.name, "size": item.size, "low": item.low, "high": item.high} for item in program.inputs]
    decision = program.decision
    first: dict[str, str] = {
        "hypr.arithmetic": "integer",
        "hypr.spec_version": program.spec_version,
        "hypr.program_sha256": content_hash(program),
    }
    if len(items) == 1:  # as version 0.1 wrote it
        first["hypr.input"] = json.dumps({key: items[0][key] for key in ("size", "low", "high")})
    initial = {
        f"{state}/{item.name}": _short(value)
        for item in program.populations
        for state, value in item.initial.items()
        if value.any()
    }
    counts = {item.name: item.most_spikes for item in program.populations if item.most_spikes > 1}
    return {
        **first,
        **({"hypr.most_spikes": json.dumps(counts)} if counts else {}),
        "hypr.trace": json.dumps(list(trace)),
        "hypr.timing": _TIMING if program.is_chain else _TIMING_OF_GRAPHS,
        "hypr.inputs": json.dumps(items),
        "hypr.outputs": json.dumps([_output_tensor(program, name) for name in program.outputs]),
        "hypr.decision": json.dumps(
            {
                "output": output_key(program),
                "rule": decision.rule,
                "ignore_first": decision.ignore_first,
                "multiplier": None if decision.multiplier is None else decision.multiplier.tolist(),
            }
        ),
        "hypr.history": json.dumps(dict(program.history)),
        "hypr.initial": json.dumps(initial),
    }


def read(model: onnx.ModelProto) -> Description:
    """What :func:`write` wrote, and what version 0.1 wrote.

    Raises:
        ExportError: incomplete, or of another kind than it must be.
    """
    properties = {item.key: item.value for item in model.metadata_props}
    try:
        found = Description(
            form=properties["hypr.form"],
            program_sha256=properties["hypr.program_sha256"],
            inputs=_inputs(properties),
            trace=_names(json.loads(properties["hypr.trace"])),
            outputs=_names(json.loads(properties.get("hypr.outputs", "[]"))),
            decision_output=json.loads(properties.get("hypr.decision", "{}")).get("output"),
            history=_history(json.loads(properties.get("hypr.history", "{}"))),
            initial=_initial(json.loads(properties.get("hypr.initial", "{}"))),
            most_spikes=_history(json.loads(properties.get("hypr.most_spikes", "{}"))),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, HardwareError):
        raise ExportError("the metadata of the ONNX graph is incomplete or damaged; export the network again") from None
    known = set(found.trace)
    sources = {item.name for item in found.inputs} | {name.partition("/")[2] for name in known}
    if (
        found.form not in FORMS
        or not {*found.outputs, *found.initial} <= known
        or (found.outputs and found.decision_output not in found.outputs)
        or not set(found.history) <= sources
    ):
        raise ExportError("the metadata of the ONNX graph contradicts itself; export the network again")
    return found


def _output_tensor(program: Program, name: str) -> str:
    population = program.population(name)
    return f"spikes/{name}" if population.spec.spiking else f"{population.spec.states[0]}/{name}"


def _short(value: np.ndarray) -> Any:
    """One integer where all neurons share it."""
    return int(value[0]) if (value == value[0]).all() else value.tolist()


def _inputs(properties: Mapping[str, str]) -> tuple[Input, ...]:
    single = json.loads(properties["hypr.input"]) if "hypr.input" in properties else None
    if "hypr.inputs" in properties:
        items = json.loads(properties["hypr.inputs"])
    else:  # version 0.1: one input without a name
        items = [{"name": "input", **json.loads(properties["hypr.input"])}]
    inputs = tuple(Input(item["name"], item["size"], item["low"], item["high"]) for item in items)
    if not inputs or len({item.name for item in inputs}) != len(inputs):
        raise ValueError
    if single is not None and [{"name": items[0]["name"], **single}] != items:
        raise ValueError
    return inputs


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(values)


def _history(values: Any) -> dict[str, int]:
    if not isinstance(values, dict) or not all(type(value) is int and value > 0 for value in values.values()):
        raise TypeError
    return values


def _initial(values: Any) -> dict[str, np.ndarray]:
    if not isinstance(values, dict):
        raise TypeError
    found = {name: np.atleast_1d(np.array(value, np.int32)) for name, value in values.items()}
    if any(value.ndim != 1 for value in found.values()):
        raise ValueError
    return found


def _sizes(items: Any) -> dict[str, tuple[int, int]]:
    found = {}
    for item in items:
        tensor = item.type.tensor_type
        last = tensor.shape.dim[-1] if tensor.shape.dim else None
        if tensor.elem_type not in (UINT8, INT32) or last is None or last.dim_value < 1:
            raise ExportError(f"tensor '{item.name}' of the ONNX graph has no known size; export the network again")
        found[item.name] = (int(tensor.elem_type), int(last.dim_value))
    return found
