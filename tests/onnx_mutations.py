"""Run integer graphs with a constant, attribute, operator or connection changed, in a process of its own:
``python -m tests.onnx_mutations FOLDER FIRST END``

Each is refused in one line or runs; the process has little memory, prints what it found as JSON, and a crash or a hang
of the runtime is its own.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper

from export.errors import ExportError
from export.onnx.foreign import OPERATORS
from export.onnx.model_file import model, write_model
from export.onnx.runtime import OnnxNetwork
from hardware import HardwareError
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs

MEMORY_BYTES = 2**32
SLOW_S = 20.0
TRIALS = 20
"""Mutants of each graph."""

EXTREMES = (0, -1, 1, 2, 7, 2**15, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1)


def bodies(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [graph, *inner]


def change_constant(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    tensor = one_of(rng, graph.graph.initializer)
    values = numpy_helper.to_array(tensor).copy()
    if not values.size:
        return
    place = int(rng.integers(values.size))
    if values.dtype == np.int64:
        values.reshape(-1)[place] = one_of(rng, EXTREMES)
    elif values.dtype.kind == "f":
        values.reshape(-1)[place] = one_of(rng, (np.nan, np.inf, -1e300))
    else:
        values.reshape(-1)[place] = rng.choice([np.iinfo(values.dtype).min, np.iinfo(values.dtype).max])
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def change_shape(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    tensor = one_of(rng, graph.graph.initializer)
    if tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = one_of(rng, EXTREMES)


def change_attribute(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.INT:
            attribute.i = one_of(rng, EXTREMES)
        elif attribute.type == AttributeProto.INTS:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = one_of(rng, EXTREMES)


def change_operator(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    node.op_type = one_of(rng, sorted(OPERATORS))


def change_input(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    if node.input:
        names = [item.name for item in graph.graph.initializer] + [item.output[0] for item in graph.graph.node]
        node.input[int(rng.integers(len(node.input)))] = one_of(rng, names)


def drop_node(rng: np.random.Generator, graph: onnx.ModelProto, node: onnx.NodeProto) -> None:
    for inner in bodies(graph.graph):
        if node in inner.node:
            inner.node.remove(node)
            return


CHANGES = (change_constant, change_shape, change_attribute, change_operator, change_input, drop_node)


def one_of(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def main() -> int:
    folder, first, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    found: Counter[str] = Counter()
    wrong = []
    for seed in range(first, end):
        rng = np.random.default_rng([77, seed])
        program = random_graph(rng, populations=(1, 3), delays=(0, 5))
        inputs = random_inputs(rng, program, 3, 2)
        original = model(program, "scan" if seed % 2 else "step").SerializeToString()
        for trial in range(TRIALS):
            changed = onnx.ModelProto.FromString(original)
            change = CHANGES[trial % len(CHANGES)]
            change(rng, changed, one_of(rng, one_of(rng, bodies(changed.graph)).node))
            write_model(changed, folder / "mutant.onnx")
            print(f"seed {seed}, trial {trial}, {change.__name__}", file=sys.stderr)  # the last line names a crash
            started = time.monotonic()
            try:
                OnnxNetwork.open(folder / "mutant.onnx", threads=1).run(inputs, "all")
                found["ran"] += 1
            except (ExportError, HardwareError) as error:
                found["refused"] += 1
                if "\n" in str(error):
                    wrong.append(f"seed {seed}, trial {trial}: more than one line")
            if time.monotonic() - started > SLOW_S:
                wrong.append(f"seed {seed}, trial {trial}: took longer than {SLOW_S} s")
    print(json.dumps({**found, "wrong": wrong}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
