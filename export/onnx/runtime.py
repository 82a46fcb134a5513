"""ONNX: write the integer graph of a Program, and run it with ONNX Runtime.

The graph itself is built in :mod:`export.onnx.integer`, :mod:`export.onnx.neurons` and :mod:`export.onnx.forms`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from export.errors import ExportError
from export.files import write_atomically
from export.onnx import forms, integer
from hardware.chain import InputFormat
from hardware.errors import InputError
from hardware.program import SPEC_VERSIONS, Program
from hardware.trace import Trace

MAX_FILE_BYTES = 2**30
CHUNK_BYTES = 2**28
"""Outputs of one call of the runtime stay below this many bytes; larger batches are run in parts."""


def export_onnx(program: Program, path: str | os.PathLike[str], form: str = "scan") -> None:
    """Write the integer graph (opset 21); the file appears whole or not at all.

    Args:
        program: any valid Program.
        path: file to write.
        form: ``scan``: ``x (T, B, N_in) -> output, spikes/<layer>, <state>/<layer>`` for all steps, states starting at
            0; or ``step``:
            ``x (B, N_in)`` and ``previous/<name>`` of every spike and state ``-> output`` and every new one.

    Raises:
        ExportError: unknown form, or the folder cannot be written.
    """
    write_model(model(program, form), path)


def model(program: Program, form: str = "scan") -> onnx.ModelProto:
    """The ONNX model of `program`, checked by ONNX's checker and shape inference; forms as in :func:`export_onnx`."""
    return forms.build(integer.recurrence(program), form, "integer", integer.metadata(program))


def write_model(graph: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model; equal models give equal files."""
    content = graph.SerializeToString(deterministic=True)

    def write(part: Path) -> None:
        part.write_bytes(content)

    write_atomically(path, write)


def load(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read an integer graph that :func:`export_onnx` wrote.

    Raises:
        ExportError: not readable, damaged, refers to other files, uses foreign operators, or made for another
            specification version.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ExportError(
                f"{path}: {size} bytes, the limit is {MAX_FILE_BYTES}; this is no integer graph of hypr export"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    try:
        loaded = onnx.ModelProto.FromString(content)
    except Exception:  # protobuf has a class of its own for this
        raise ExportError(f"{path}: damaged or not an ONNX file; export the network again") from None
    properties = {item.key: item.value for item in loaded.metadata_props}
    if properties.get("hypr.arithmetic") != "integer":
        raise ExportError(
            f"{path}: no integer graph of hypr export (its metadata says so); give integer_scan.onnx of a bundle"
        )
    if properties.get("hypr.spec_version") not in SPEC_VERSIONS:
        found = properties.get("hypr.spec_version")
        raise ExportError(
            f"{path}: made for specification version {found}, known are {', '.join(SPEC_VERSIONS)}; export again"
        )
    _refuse_foreign_parts(loaded, path)
    try:
        onnx.checker.check_model(loaded, full_check=True)
    except Exception as error:
        raise ExportError(f"{path}: not a valid ONNX graph ({_first_line(error)}); export the network again") from None
    return loaded


@dataclass(frozen=True)
class OnnxNetwork:
    """An integer graph, ready to run.

    Attributes:
        session: ONNX Runtime session.
        form: ``scan`` or ``step``.
        input: accepted input integers.
        names: names of all spikes and states, as in a trace.
        program_sha256: content hash of the Program that the graph was made from.
    """

    session: onnxruntime.InferenceSession
    form: str
    input: InputFormat
    names: tuple[str, ...]
    program_sha256: str

    @classmethod
    def open(
        cls, source: Program | onnx.ModelProto | str | os.PathLike[str], form: str = "scan", threads: int = 0
    ) -> OnnxNetwork:
        """From a Program (compiled in memory), a model or a file; `threads` 0 leaves the number to ONNX Runtime."""
        if isinstance(source, Program):
            graph = model(source, form)
        else:
            graph = source if isinstance(source, onnx.ModelProto) else load(source)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        try:
            content = graph.SerializeToString()
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            reason = _first_line(error)
            raise ExportError(f"ONNX Runtime refuses the graph ({reason}); export the network again") from None
        return cls(session, **_description(graph))

    def run(self, inputs: np.ndarray, record: Sequence[str] | str = ()) -> Trace:
        """Run whole sequences: the ``scan`` form in one call, the ``step`` form in a loop over time.

        Where the outputs of the ``scan`` form would exceed :data:`CHUNK_BYTES`, the batch is run in parts.

        Args:
            inputs: (T, B, N_in) integers or bool.
            record: state names (``u``: of every layer that has it; ``u/hidden0``: of one), or ``all``.
        """
        spikes = [name for name in self.names if name.startswith("spikes/")]
        states = self._wanted(record)
        compute = self._outputs if self.form == "scan" else self._loop
        results = compute(check_inputs(self.input, inputs), ["output", *spikes, *states])
        return Trace(
            engine="onnx" if self.form == "scan" else "onnx-step",
            output=results["output"],
            spikes={name.split("/", 1)[1]: results[name] for name in spikes},
            states={name: results[name] for name in states},
        )

    def step(self, inputs: np.ndarray, previous: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One step from given values (``step`` form).

        Args:
            inputs: (B, N_in) integers.
            previous: (B, N) of every spike and state of :attr:`names`.

        Returns:
            ``output`` and every spike and state after the step.
        """
        missing = [name for name in self.names if name not in previous]
        if missing or self.form != "step":
            what = f"'{missing[0]}' of the step before is missing" if missing else f"this is the '{self.form}' form"
            raise InputError(f"cannot take a single step: {what}; give all of {', '.join(self.names)} to the step form")
        feed: dict[str, Any] = {"x": self._as_input(inputs)}
        for item in self.session.get_inputs():
            if item.name != "x":
                kind = np.uint8 if item.type == "tensor(uint8)" else np.int32
                value = previous[item.name.removeprefix(forms.PREVIOUS)]
                feed[item.name] = np.ascontiguousarray(value, dtype=kind)
        names = ["output", *self.names]
        return self._call(names, feed)

    def _outputs(self, inputs: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        steps, batch = inputs.shape[:2]
        widths = {
            item.name: item.shape[-1] * (1 if item.type == "tensor(uint8)" else 4)
            for item in self.session.get_outputs()
        }
        # The Scan computes every output, asked for or not.
        part = max(1, CHUNK_BYTES // max(1, steps * sum(widths.values())))
        pieces = [self._call(names, {"x": self._as_input(inputs[:, i : i + part])}) for i in range(0, batch, part)]
        return pieces[0] if len(pieces) == 1 else {n: np.concatenate([p[n] for p in pieces], axis=1) for n in names}

    def _call(self, names: list[str], feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return dict(zip(names, self.session.run(names, feed), strict=True))
        except Exception as error:
            raise ExportError(f"ONNX Runtime failed ({_first_line(error)}); export the network again") from None

    def _loop(self, inputs: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        steps, batch = inputs.shape[:2]
        items = {item.name: item for item in self.session.get_outputs()}
        kinds = {name: np.uint8 if items[name].type == "tensor(uint8)" else np.int32 for name in items}
        results = {name: np.empty((steps, batch, items[name].shape[-1]), kinds[name]) for name in names}
        now = {name: np.zeros((batch, items[name].shape[-1]), kinds[name]) for name in self.names}
        for t in range(steps):
            now = self.step(inputs[t], now)
            for name in names:
                results[name][t] = now[name]
        return results

    def _wanted(self, record: Sequence[str] | str) -> list[str]:
        every = [name for name in self.names if not name.startswith("spikes/")]
        if record == "all" or tuple(record) == ("all",):
            return every
        asked = [record] if isinstance(record, str) else list(record)
        for item in asked:
            if not any(item in (name, name.split("/")[0]) for name in every):
                raise InputError(f"record: no state '{item}'; states are {', '.join(every)}")
        return [name for name in every if name in asked or name.split("/")[0] in asked]

    def _as_input(self, inputs: np.ndarray) -> np.ndarray:
        kind = next(item.type for item in self.session.get_inputs() if item.name == "x")
        return np.ascontiguousarray(inputs, dtype=np.uint8 if kind == "tensor(uint8)" else np.int32)


def run(
    source: Program | str | os.PathLike[str], inputs: np.ndarray, record: Sequence[str] | str = (), threads: int = 0
) -> Trace:
    """Run a Program or a file in ONNX Runtime; see :meth:`OnnxNetwork.run`."""
    return OnnxNetwork.open(source, "scan", threads).run(inputs, record)


def check_inputs(accepted: InputFormat, inputs: np.ndarray) -> np.ndarray:
    """Inputs as an integer array (T, B, N_in) within the range that the graph declares (FP-2.2).

    A graph from a file stands alone; there is no Program at hand whose own check could be used.

    Raises:
        InputError: wrong type, shape or range.
    """
    inputs = np.asarray(inputs)
    if inputs.dtype.kind not in "biu":
        raise InputError(
            f"inputs: type {inputs.dtype}, must be integer or bool; encode as spikes or integer payloads first"
        )
    if inputs.ndim != 3 or inputs.shape[2] != accepted.size or 0 in inputs.shape:
        raise InputError(f"inputs: shape {inputs.shape}, must be (T, B, {accepted.size}) with T and B at least 1")
    low, high = int(inputs.min()), int(inputs.max())
    if low < accepted.low or high > accepted.high:
        raise InputError(f"inputs: values {low} to {high}, the Program takes {accepted.low} to {accepted.high}")
    return inputs


def _description(graph: onnx.ModelProto) -> dict[str, Any]:
    """What the metadata says of a graph, checked against its outputs."""
    properties = {item.key: item.value for item in graph.metadata_props}
    try:
        found = {
            "form": properties["hypr.form"],
            "input": InputFormat(**json.loads(properties["hypr.input"])),
            "names": tuple(json.loads(properties["hypr.trace"])),
            "program_sha256": properties["hypr.program_sha256"],
        }
    except (KeyError, TypeError, ValueError):
        raise ExportError("the metadata of the ONNX graph is incomplete or damaged; export the network again") from None
    outputs = {item.name for item in graph.graph.output}
    if found["form"] not in forms.FORMS or outputs != {"output", *found["names"]}:
        raise ExportError("the metadata of the ONNX graph does not fit its outputs; export the network again")
    return found


def _refuse_foreign_parts(loaded: onnx.ModelProto, path: Path) -> None:
    """External data could name any file of this machine; other operator domains have no meaning here."""
    if loaded.functions:
        raise ExportError(f"{path}: defines operators of its own, which is not run here; export the network again")
    graphs = [loaded.graph]
    while graphs:
        graph = graphs.pop()
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        tensors = [*graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t"))]
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
            raise ExportError(f"{path}: keeps weights in other files, which is not read here; export the network again")
        for node in graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise ExportError(
                    f"{path}: operator {node.domain}.{node.op_type} is not standard ONNX; export the network again"
                )
        graphs += [attribute.g for attribute in attributes if attribute.HasField("g")]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
