"""The float network as an ONNX graph in float32: the difference equations of :mod:`export.interchange.steps`,
nothing rounded to integers.

It shows what the network computed before quantization, in any ONNX runtime. Spikes are exact 0/1 (uint8); membranes
carry float32 rounding, so that a membrane within rounding of its threshold may spike one step earlier or later than in
another float engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from export.errors import UnsupportedError
from export.interchange.steps import STATES, StepLayer, StepNetwork
from export.onnx import forms
from export.onnx.builder import FLOAT, UINT8, GraphBuilder, Value
from export.onnx.forms import Recurrence, Tensor
from export.onnx.model_file import write_model
from hardware.trace import Trace


def export_float_onnx(network: StepNetwork, path: str | os.PathLike[str], form: str = "scan") -> None:
    """Write the float graph (opset 21): ``x (T, B, N_in)`` float32 -> ``output``, ``spikes/<layer>``,
    ``<state>/<layer>``.

    Raises:
        UnsupportedError: a neuron variant that the graph does not have. ExportError: unknown form, or the folder cannot
            be written.
    """
    write_model(float_model(network, form), path)


def float_model(network: StepNetwork, form: str = "scan") -> onnx.ModelProto:
    """The checked ONNX model of `network`; forms as in :func:`export.onnx.runtime.export_onnx`."""
    carried: dict[str, Tensor] = {}
    for layer in network.layers:
        _check_supported(layer)
        if layer.spiking:
            carried[f"spikes/{layer.name}"] = Tensor(UINT8, layer.size, doc=f"spikes of layer '{layer.name}'")
        for state in STATES[layer.kind]:
            doc = f"state {state} of layer '{layer.name}' ({layer.kind})"
            carried[f"{state}/{layer.name}"] = Tensor(FLOAT, layer.size, doc=doc)
    last = network.layers[-1]
    layers = ", ".join(f"{layer.name} ({layer.kind}, {layer.size})" for layer in network.layers)
    recurrence = Recurrence(
        inputs={"x": Tensor(FLOAT, network.input_size, doc="input, as the integer network takes it, in float32")},
        output=Tensor(UINT8 if last.spiking else FLOAT, last.size, doc=f"output, of layer '{last.name}'"),
        carried=carried,
        body=lambda graph, inputs, previous: _step(graph, network, inputs["x"], previous),
        doc=f"Float spiking network of hypr before quantization. Layers in order of evaluation: {layers}.",
    )
    metadata = {"hypr.arithmetic": "float32", "hypr.trace": json.dumps(list(carried))}
    return forms.build(recurrence, form, "float", metadata)


def has_float_graph(network: StepNetwork) -> bool:
    """Whether :func:`float_model` can express the network."""
    plain = network.is_chain and not any("recurrent_bias" in layer.parameters for layer in network.layers)
    return plain and not any({"spikes", "spike_at"} & set(population.options) for population in network.populations)


def run_float(model: onnx.ModelProto, inputs: np.ndarray) -> Trace:
    """Run a ``scan`` model on inputs (T, B, N_in); outputs and states are float32 here."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"x": np.ascontiguousarray(inputs, dtype=np.float32)}), strict=True))
    return Trace(
        engine="onnx-float",
        output=found["output"],
        spikes={name.split("/", 1)[1]: value for name, value in found.items() if name.startswith("spikes/")},
        states={name: value for name, value in found.items() if name != "output" and not name.startswith("spikes/")},
    )


def _check_supported(layer: StepLayer) -> None:
    if "recurrent_bias" in layer.parameters:
        raise UnsupportedError(
            f"layer {layer.name}: a recurrent bias that is missing in the first step has no float ONNX graph; fold it"
        )


def _step(
    graph: GraphBuilder, network: StepNetwork, x: Value, previous: Mapping[str, Value]
) -> tuple[Value, Mapping[str, Value]]:
    now: dict[str, Value] = {}
    pre = x if network.input_scale == 1.0 else x * graph.scalar(network.input_scale, "float32")
    result = pre
    for layer in network.layers:
        f = _Floats(graph, layer)
        z_old = previous[f"spikes/{layer.name}"].cast(FLOAT) if layer.spiking else None
        current = pre @ f.array("weight", layer.weight.T)
        if layer.recurrent_weight is not None and z_old is not None:
            current = current + z_old @ f.array("recurrent_weight", layer.recurrent_weight.T)
        if layer.kind != "cuba_lif":  # its bias enters the membrane
            current = current + f.array("bias", layer.bias)
        old = {state: previous[f"{state}/{layer.name}"] for state in STATES[layer.kind]}
        new, over = _STEPS[layer.kind](f, old, current, z_old)
        now.update({f"{state}/{layer.name}": value for state, value in new.items()})
        result = new[STATES[layer.kind][0]]
        if over is not None:
            result = now[f"spikes/{layer.name}"] = over.cast(UINT8)
            pre = over.cast(FLOAT)
    return result, now


@dataclass(frozen=True)
class _Floats:
    """float32 constants of one layer inside a graph."""

    graph: GraphBuilder
    layer: StepLayer

    def array(self, name: str, value: np.ndarray) -> Value:
        return self.graph.constant(f"{self.layer.name}:{name}", np.asarray(value, dtype=np.float32))

    def get(self, name: str) -> Value:
        """Parameter `name` of the layer."""
        return self.array(name, self.layer.parameters[name])

    def one_minus(self, name: str) -> Value:
        return self.array(f"one_minus_{name}", 1.0 - self.layer.parameters[name])

    def number(self, value: float) -> Value:
        return self.graph.scalar(value, "float32")


_Old = Mapping[str, Value]
_New = tuple[dict[str, Value], Value | None]


def _brf(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    p = f.layer.parameters
    u_old, v_old, q_old = old["u"], old["v"], old["q"]
    if f.layer.options["variant"] == "euler":
        undamped = (np.sqrt(1.0 - (p["dt"] * p["omega"]) ** 2) - 1.0) / p["dt"] - p["b_offset"]
        diagonal = f.number(1.0) + f.get("dt") * (f.array("undamped", undamped) - q_old)
        turn = f.array("dt_omega", p["dt"] * p["omega"])
        u = diagonal * u_old - turn * v_old + f.get("dt") * current
        v = turn * u_old + diagonal * v_old
    else:
        decay = f.graph.node("Exp", f.get("dt") * (f.array("undamped", -p["b_offset"]) - q_old))
        cosine = f.array("cosine", np.cos(p["dt"] * p["omega"]))
        sine = f.array("sine", np.sin(p["dt"] * p["omega"]))
        u = decay * (cosine * u_old - sine * v_old) + f.get("dt") * current
        v = decay * (sine * u_old + cosine * v_old)
    over = (u - f.get("theta") - q_old) > f.number(0.0)
    return {"u": u, "v": v, "q": f.get("gamma") * q_old + over.cast(FLOAT)}, over


def _se_adlif(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    assert z_old is not None
    one = f.number(1.0)
    u = f.get("alpha") * old["u"] + f.one_minus("alpha") * (current - old["w"])
    over = u > f.get("theta")
    z = over.cast(FLOAT)
    z_star = z if f.layer.options["adaptation_spike"] == "current" else z_old
    drive = f.get("a") * u * (one - z) + f.get("b") * z_star
    w = f.get("beta") * old["w"] + f.one_minus("beta") * drive * f.get("rho")
    return {"u": u * (one - z), "w": w}, over  # recorded after the reset, as by the other engines


def _alif(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    assert z_old is not None
    a = f.get("rho") * old["a"] + f.one_minus("rho") * z_old
    threshold = f.get("b0") + f.get("beta") * a
    u = f.get("alpha") * old["u"] + f.one_minus("alpha") * current - threshold * z_old
    return {"a": a, "u": u}, u > threshold


def _lif(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    u = _reset_before(f, f.get("alpha") * old["u"] + f.get("gain") * current + f.get("leak"), z_old)
    over = u > f.get("theta")
    return {"u": _reset_after(f, u, over)}, over


def _cuba_lif(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    u = f.get("alpha_syn") * old["u"] + f.get("syn_gain") * (current + f.get("b_syn"))
    v = f.get("alpha_mem") * old["v"] + f.get("mem_gain") * u + f.array("bias", f.layer.bias)
    v = _reset_before(f, v, z_old)
    over = v > f.get("theta")
    return {"u": u, "v": _reset_after(f, v, over)}, over


def _li(f: _Floats, old: _Old, current: Value, z_old: Value | None) -> _New:
    return {"u": f.get("kappa") * old["u"] + f.get("gain") * current + f.get("leak")}, None


def _reset_after(f: _Floats, membrane: Value, over: Value) -> Value:
    """Reset by the spike of this step."""
    return _reset(f, membrane, over) if f.layer.options.get("reset_timing", "same_step") == "same_step" else membrane


def _reset_before(f: _Floats, membrane: Value, z_old: Value | None) -> Value:
    """Reset by the spike of the step before, where that is the layer's convention."""
    if z_old is None or f.layer.options.get("reset_timing", "same_step") == "same_step":
        return membrane
    return _reset(f, membrane, z_old > f.number(0.0))


def _reset(f: _Floats, membrane: Value, over: Value) -> Value:
    reset = f.layer.options["reset"]
    if reset == "none":
        return membrane
    after = f.get("v_reset") if reset == "zero" else membrane - f.get("theta")
    return f.graph.where(over, after, membrane)


_STEPS: Mapping[str, Callable[[_Floats, _Old, Value, Value | None], _New]] = {
    "brf": _brf,
    "se_adlif": _se_adlif,
    "alif": _alif,
    "lif": _lif,
    "cuba_lif": _cuba_lif,
    "li": _li,
}
