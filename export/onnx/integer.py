"""A Program as a recurrence of ONNX operators.

Elements are uint8 (spikes, and inputs within 0 to 255) and int32 (states, other inputs); all arithmetic between them
runs in int64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from export.onnx.builder import BOOL, DOUBLE, INT32, INT64, UINT8, GraphBuilder, Value
from export.onnx.forms import Recurrence, Tensor
from export.onnx.neurons import STEPS, Arithmetic, Current
from hardware.chain import Layer, Synapses
from hardware.program import Program
from hardware.program_file import content_hash

MAX_MATMUL_INTEGER_INPUT = 127
"""Without VNNI, x86 kernels of MatMulInteger add pairs of uint8 x int8 products in 16 saturating bits: exact while 2 *
127 * input < 2^15."""


def recurrence(program: Program) -> Recurrence:
    """`program` for :func:`export.onnx.forms.build`."""
    unsigned = program.input.low >= 0 and program.input.high <= 255
    carried = {}
    for layer in program.layers:
        if layer.spec.spiking:
            carried[f"spikes/{layer.name}"] = Tensor(UINT8, layer.size)
        carried.update({f"{state}/{layer.name}": Tensor(INT32, layer.size) for state in layer.spec.states})
    return Recurrence(
        x=Tensor(UINT8 if unsigned else INT32, program.input.size),
        output=Tensor(UINT8 if program.output.spec.spiking else INT32, program.output.size),
        carried=carried,
        body=lambda graph, x, previous: _step(graph, program, x, previous),
    )


def metadata(program: Program) -> dict[str, str]:
    """What a reader of the file needs to know."""
    return {
        "hypr.arithmetic": "integer",
        "hypr.spec_version": program.spec_version,
        "hypr.program_sha256": content_hash(program),
        "hypr.input": json.dumps({"size": program.input.size, "low": program.input.low, "high": program.input.high}),
        "hypr.trace": json.dumps(list(recurrence(program).carried)),
        "hypr.timing": "layer l reads layer l - 1 at the same step, its own spikes one step late; states start at 0",
    }


def _step(
    graph: GraphBuilder, program: Program, x: Value, previous: Mapping[str, Value]
) -> tuple[Value, Mapping[str, Value]]:
    """All layers of one step (FP-2.3)."""
    now: dict[str, Value] = {}
    pre = x
    small = program.input.low >= 0 and program.input.high <= MAX_MATMUL_INTEGER_INPUT
    for layer in program.layers:
        z_old = previous.get(f"spikes/{layer.name}")
        old = {state: previous[f"{state}/{layer.name}"].cast(INT64) for state in layer.spec.states}
        current = _current(graph, layer, pre, z_old, small)
        spiked = None if z_old is None else z_old.cast(BOOL)
        new, z = STEPS[layer.model](Arithmetic(graph, layer), old, current, spiked, layer.options)
        now.update({f"{state}/{layer.name}": new[state].cast(INT32) for state in layer.spec.states})
        pre, small = now[f"{layer.spec.states[0]}/{layer.name}"], True
        if z is not None:
            pre = now[f"spikes/{layer.name}"] = z.cast(UINT8)
    return pre, now


def _current(graph: GraphBuilder, layer: Layer, pre: Value, z_old: Value | None, small: bool) -> Current:
    """FP-2.1."""
    synaptic = _synapses(graph, f"{layer.name}:input", layer.input, pre, small)
    if layer.recurrent is not None and z_old is not None:
        synaptic = synaptic + _synapses(graph, f"{layer.name}:recurrent", layer.recurrent, z_old, small=True)
    return Current(synaptic, graph.constant(f"{layer.name}:bias", layer.bias.astype(np.int64)))


def _synapses(graph: GraphBuilder, name: str, synapses: Synapses, pre: Value, small: bool) -> Value:
    """``(W pre) << G`` as int64.

    A Program bounds the sum over a row of |weight| times the largest input by 2^31 (FP-2.1). So the int32 accumulator
    of MatMulInteger cannot wrap; and where inputs do not fit its 8-bit operand, a float64 product is exact, every
    partial sum being an integer far below 2^53.
    """
    if small:
        sums = graph.node("MatMulInteger", pre, graph.constant(f"{name}_weight", synapses.weight.T)).cast(INT64)
    else:
        sums = (pre.cast(DOUBLE) @ graph.constant(f"{name}_weight", synapses.weight.T.astype(np.float64))).cast(INT64)
    return sums * graph.scalar(1 << synapses.exponent) if synapses.exponent else sums
