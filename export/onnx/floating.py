"""The float network as an ONNX graph in float32: the difference equations of :mod:`export.interchange.steps`,
nothing rounded to integers.

It shows what the network computed before quantization, in any ONNX runtime. Spikes are exact 0/1 (uint8); membranes
carry float32 rounding, so that a membrane within rounding of its threshold may spike one step earlier or later than in
another float engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from export.errors import UnsupportedError
from export.interchange.steps import STATES, StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import ConvolutionWeights, matrix_of
from export.onnx import forms
from export.onnx.builder import FLOAT, UINT8, GraphBuilder, Value
from export.onnx.delays import HISTORY, delayed, history_tensors, input_tensor, longest_delays, moved_on
from export.onnx.float_steps import STEPS, Floats
from export.onnx.forms import Recurrence, Tensor
from export.onnx.model_file import write_model
from hardware.trace import Trace

MAX_MATRIX = 2**26
"""Elements of a sparse projection's matrix, which is stored dense."""

_INPUT = "input, as the integer network takes it, in float32"


def export_float_onnx(network: StepNetwork, path: str | os.PathLike[str], form: str = "scan") -> None:
    """Write the float graph (opset 21): ``x (T, B, N_in)`` float32 -> ``output``, ``spikes/<population>``,
    ``<state>/<population>``; names and forms as in :func:`export.onnx.model_file.export_onnx`.

    Raises:
        UnsupportedError: what the graph does not have. ExportError: unknown form, or the folder cannot be written.
    """
    write_model(float_model(network, form), path)


def float_model(network: StepNetwork, form: str = "scan") -> onnx.ModelProto:
    """The checked ONNX model of `network`; forms as in :func:`export.onnx.model_file.export_onnx`."""
    problem = _problem(network)
    if problem is not None:
        raise UnsupportedError(problem)
    carried = {name: tensor for item in network.populations for name, tensor in _carried(item).items()}
    history = longest_delays((item.source, item.delay) for item in network.projections)
    sizes = {item.name: (FLOAT, item.size) for item in network.inputs}
    sizes.update({item.name: (UINT8, item.size) for item in network.populations})
    count, out = len(network.inputs), network.output
    recurrence = Recurrence(
        inputs={input_tensor(item.name, count): Tensor(FLOAT, item.size, doc=_INPUT) for item in network.inputs},
        output=Tensor(UINT8 if out.spiking else FLOAT, out.size, doc=f"output, of population '{out.name}'"),
        carried=carried,
        histories={
            HISTORY + name: Tensor(*sizes[name], steps, doc=f"last {steps} steps of '{name}', oldest first")
            for name, steps in history_tensors(history, carried).items()
        },
        body=lambda graph, inputs, previous: _Body(graph, network, previous, history).build(inputs),
        doc="Float spiking network of hypr before quantization. Populations in order of evaluation: "
        + ", ".join(f"{item.name} ({item.kind}, {item.size})" for item in network.populations),
    )
    return forms.build(recurrence, form, "float", _metadata(network, carried))


def has_float_graph(network: StepNetwork) -> bool:
    """Whether :func:`float_model` can express the network."""
    return _problem(network) is None


def run_float(model: onnx.ModelProto, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Trace:
    """Run a ``scan`` model on inputs (T, B, N_in), by name where there are several; outputs and states are float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs() if not item.name.startswith(HISTORY)]
    named = {f"x/{name}": value for name, value in inputs.items()} if isinstance(inputs, Mapping) else {"x": inputs}
    feed = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in named.items()}
    found = dict(zip(names, session.run(names, feed), strict=True))
    return Trace(
        engine="onnx-float",
        output=found["output"],
        spikes={name.split("/", 1)[1]: value for name, value in found.items() if name.startswith("spikes/")},
        states={name: value for name, value in found.items() if name != "output" and not name.startswith("spikes/")},
    )


def _problem(network: StepNetwork) -> str | None:
    """What has no float graph, in one line."""
    for population in network.populations:
        if population.late_bias:
            return (
                f"layer {population.name}: a recurrent bias that is missing in the first step has no float ONNX graph; "
                "fold it"
            )
        if {"spikes", "spike_at"} & set(population.options):
            return (
                f"layer {population.name}: spikes at the threshold, or several in one step, have no float ONNX graph; "
                "run the float engine"
            )
    for item in network.projections:
        if item.weights.kind == "sparse" and item.weights.shape[0] * item.weights.shape[1] > MAX_MATRIX:
            return f"projection {item.name}: a matrix of {item.weights.shape} is too large for a float ONNX graph"
    return None


def _carried(population: StepPopulation) -> dict[str, Tensor]:
    name, what = population.name, f"of population '{population.name}' ({population.kind})"
    found = {f"spikes/{name}": Tensor(UINT8, population.size, doc=f"spikes {what}")} if population.spiking else {}
    for state in STATES[population.kind]:
        start = _start(population, state)
        found[f"{state}/{name}"] = Tensor(FLOAT, population.size, start=start, doc=f"state {state} {what}")
    return found


def _start(population: StepPopulation, state: str) -> np.ndarray | None:
    """(N,) float32, None for zeros."""
    start = np.asarray(population.initial.get(state, 0.0), np.float32)
    return np.broadcast_to(start, (population.size,)) if start.any() else None


def _metadata(network: StepNetwork, carried: Mapping[str, Tensor]) -> dict[str, str]:
    items = [{"name": item.name, "size": item.size, "low": item.low, "high": item.high} for item in network.inputs]
    return {
        "hypr.arithmetic": "float32",
        "hypr.trace": json.dumps(list(carried)),
        "hypr.inputs": json.dumps(items),
        "hypr.initial": json.dumps({n: t.start.tolist() for n, t in carried.items() if t.start is not None}),
    }


@dataclass(frozen=True)
class _Body:
    """One step of a network in a graph; ``history``: source -> its longest delay."""

    graph: GraphBuilder
    network: StepNetwork
    previous: Mapping[str, Value]
    history: Mapping[str, int]

    def build(self, inputs: Mapping[str, Value]) -> tuple[Value, Mapping[str, Value]]:
        """All populations of one step."""
        network = self.network
        now: dict[str, Value] = {}
        count = len(network.inputs)
        values = {
            item.name: inputs[input_tensor(item.name, count)] for item in network.inputs
        }  # as histories hold them
        numbers = {item.name: self.scaled(values[item.name], item.scale) for item in network.inputs}
        for population in network.populations:
            name, f = population.name, Floats(self.graph, population)
            z_old = self.previous[f"spikes/{name}"].cast(FLOAT) if population.spiking else None
            current = self.current(population, numbers, z_old)
            current = f.number(0.0) if current is None else current
            if population.kind != "cuba_lif":  # its bias enters the membrane
                current = current + f.array("bias", population.bias)
            old = {state: self.previous[f"{state}/{name}"] for state in STATES[population.kind]}
            new, over = STEPS[population.kind](f, old, current, z_old)
            now.update({f"{state}/{name}": value for state, value in new.items()})
            if over is not None:
                values[name] = now[f"spikes/{name}"] = over.cast(UINT8)
                numbers[name] = over.cast(FLOAT)
        now.update(moved_on(self.graph, self.previous, self.history, values))
        out = network.output
        return now[f"spikes/{out.name}" if out.spiking else f"{STATES[out.kind][0]}/{out.name}"], now

    def current(self, population: StepPopulation, numbers: Mapping[str, Value], z_old: Value | None) -> Value | None:
        """Sum of what all projections bring, float32 (B, N); None where there are none.

        Args:
            numbers: source -> its values of this step. z_old: the population's own of the step before.
        """
        total = None
        for item in self.network.into(population.name):
            if not item.delay:
                given = numbers[item.source]
            elif z_old is not None and (item.source, item.delay) == (population.name, 1):
                given = z_old
            else:
                earlier = delayed(self.graph, self.previous, self.history, item.source, item.delay).cast(FLOAT)
                given = self.scaled(earlier, self.network.scale_of(item.source))
            part = self.product(item, given)
            total = part if total is None else total + part
        return total

    def scaled(self, x: Value, scale: float) -> Value:
        return x if scale == 1.0 else x * self.graph.scalar(scale, "float32")

    def product(self, item: StepProjection, values: Value) -> Value:
        """``W s``, float32 (B, N_target); names of a chain's constants are those of version 0.1."""
        graph, weights, prefix = self.graph, item.weights, f"{item.name}:"
        if self.network.is_chain:
            prefix = f"{item.target}:recurrent_" if item.delay else f"{item.target}:"
        if not isinstance(weights, ConvolutionWeights):
            return values @ graph.constant(f"{prefix}weight", matrix_of(weights).T.astype(np.float32))
        shape = graph.constant(f"{prefix}in_shape", np.array([0, *weights.in_shape], np.int64))  # 0: batch as it is
        picture = graph.node(
            "Conv",
            graph.node("Reshape", values, shape),
            graph.constant(f"{prefix}kernel", weights.kernel.astype(np.float32)),
            strides=list(weights.stride),
            pads=[*weights.padding, *weights.padding],
            dilations=list(weights.dilation),
            group=weights.groups,
        )
        return graph.node("Flatten", picture, axis=1)
