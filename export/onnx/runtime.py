"""Run integer graphs with ONNX Runtime: whole sequences, chunks that go on where the last one ended, single steps.

Graphs are built in :mod:`export.onnx.integer`, written and read in :mod:`export.onnx.model_file`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
import onnxruntime

from export.errors import ExportError
from export.onnx import description, forms, start
from export.onnx.builder import UINT8
from export.onnx.delays import HISTORY
from export.onnx.description import Description
from export.onnx.model_file import export_onnx, first_line, load, model, write_model
from hardware.errors import InputError
from hardware.inputs import Inputs, check_named
from hardware.program import Program
from hardware.trace import NetworkState, Trace

__all__ = ["OnnxNetwork", "export_onnx", "load", "model", "run", "write_model"]

CHUNK_BYTES = 2**28
"""Outputs of one call of the runtime stay below this many bytes; larger batches are run in parts."""

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OnnxNetwork:
    """An integer graph, ready to run.

    Attributes:
        graph: the model.
        about: what its metadata says.
        session: ONNX Runtime session.
        threads: of a session; 0 leaves the number to ONNX Runtime.
    """

    graph: onnx.ModelProto
    about: Description
    session: onnxruntime.InferenceSession
    threads: int = 0

    @classmethod
    def open(
        cls, source: Program | onnx.ModelProto | str | os.PathLike[str], form: str = "scan", threads: int = 0
    ) -> OnnxNetwork:
        """From a Program (compiled in memory), a model or a file; `threads` 0 leaves the number to ONNX Runtime."""
        if isinstance(source, Program):
            graph = model(source, form)
        else:
            graph = source if isinstance(source, onnx.ModelProto) else load(source)
        about = description.read(graph)
        about.sizes(graph.graph)
        return cls(graph, about, _session(graph, threads), threads)

    @property
    def form(self) -> str:
        """``scan`` or ``step``."""
        return self.about.form

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all spikes and states, as in a trace."""
        return self.about.trace

    @property
    def program_sha256(self) -> str:
        """Content hash of the Program that the graph was made from."""
        return self.about.program_sha256

    def run(self, inputs: Inputs, record: Sequence[str] | str = (), initial_state: NetworkState | None = None) -> Trace:
        """Run whole sequences: the ``scan`` form in one call, the ``step`` form in a loop over time.

        Where the outputs of the ``scan`` form would exceed :data:`CHUNK_BYTES`, the batch is run in parts.

        Args:
            inputs: (T, B, N_in) integers or bool; with several inputs a mapping by name.
            record: state names (``u``: of every population that has it; ``u/hidden0``: of one), or ``all``.
            initial_state: ``final_state`` of the chunk before; the program's initial states by default.

        Raises:
            InputError: inputs, record or initial state do not fit the graph. ExportError: the runtime fails.
        """
        given = check_named(self.about.inputs, inputs)
        _, batch, _ = next(iter(given.values())).shape
        states = self._wanted(record)
        wanted = ["output", *(name for name in self.names if name.startswith("spikes/")), *states]
        before = None if initial_state is None else start.from_state(self.about, self._sizes, initial_state, batch)
        compute = self._scan if self.form == "scan" else self._loop
        results, last = compute(given, wanted, before)
        return Trace(
            engine="onnx" if self.form == "scan" else "onnx-step",
            output=results["output"],
            spikes={name.split("/", 1)[1]: results[name] for name in wanted if name.startswith("spikes/")},
            states={name: results[name] for name in states},
            final_state=start.to_state(self.about, last),
        )

    def first(self, batch: int) -> dict[str, np.ndarray]:
        """What :meth:`step` takes as ``previous`` before the first step, for so many samples."""
        return start.first(self.about, self._sizes, batch)

    def step(self, inputs: Inputs, previous: Values) -> dict[str, np.ndarray]:
        """One step from given values (``step`` form).

        Args:
            inputs: (B, N_in) integers; with several inputs a mapping by name.
            previous: (B, N) of every spike and state of :attr:`names`, and (D, B, N) of ``history/<source>`` where a
                delay needs more than the step before: what :meth:`first` or the last step returned.

        Returns:
            ``output`` and every spike, state and history after the step.
        """
        names = self.about.handed_on
        missing = [name for name in names if name not in previous]
        if missing or self.form != "step":
            what = f"'{missing[0]}' of the step before is missing" if missing else f"this is the '{self.form}' form"
            raise InputError(f"cannot take a single step: {what}; give all of {', '.join(names)} to the step form")
        named = inputs if isinstance(inputs, Mapping) else {self.about.inputs[0].name: inputs}
        feed = self._feed(named)
        feed.update({forms.PREVIOUS + name: self._as_stored(forms.PREVIOUS + name, previous[name]) for name in names})
        return self._call(self.session, feed)

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        return self.about.sizes(self.graph.graph)

    @cached_property
    def _resumable(self) -> onnxruntime.InferenceSession:
        """The Scan form with the values before the first step as inputs; made when it is first needed."""
        return _session(forms.resumable(self.graph), self.threads)

    def _scan(
        self, given: Values, wanted: list[str], before: Values | None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        steps, batch, _ = next(iter(given.values())).shape
        # The Scan computes every output, asked for or not.
        shapes = [self._sizes[name] for name in ("output", *self.names)]
        row = sum(size * (1 if kind == UINT8 else 4) for kind, size in shapes)
        part = max(1, CHUNK_BYTES // max(1, steps * row))
        pieces, ends = [], []
        for first in range(0, batch, part):
            chosen = slice(first, first + part)
            found = self._call_scan({name: value[:, chosen] for name, value in given.items()}, before, chosen)
            pieces.append({name: found[name] for name in wanted})
            ends.append({name: found[name][-1].copy() for name in self.names} | _histories(found))
        return _joined(pieces, 1), _joined(ends, 0)

    def _call_scan(self, given: Values, before: Values | None, chosen: slice) -> dict[str, np.ndarray]:
        feed = self._feed(given)
        if before is None:
            return self._call(self.session, feed)
        for name, value in before.items():
            part = value[:, chosen] if name.startswith(HISTORY) else value[chosen]
            feed[forms.START + name] = self._as_stored(name, part)
        return self._call(self._resumable, feed)

    def _call(self, session: onnxruntime.InferenceSession, feed: Values) -> dict[str, np.ndarray]:
        """All outputs, with the shapes that they must have: nothing of a foreign graph is taken on trust."""
        names = ["output", *self.about.handed_on]
        try:
            found = dict(zip(names, session.run(names, feed), strict=True))
        except Exception as error:
            raise ExportError(f"ONNX Runtime failed ({first_line(error)}); export the network again") from None
        lead = next(iter(feed.values())).shape[:-1]  # of the first input
        for name, value in found.items():
            source = name.removeprefix(HISTORY)
            rows = lead if source == name else (self.about.histories[source], lead[-1])
            if value.shape != (*rows, self._sizes[name][1]):
                raise ExportError(f"the ONNX graph returns '{name}' of shape {value.shape}; export the network again")
        return found

    def _loop(
        self, given: Values, wanted: list[str], before: Values | None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        steps, batch, _ = next(iter(given.values())).shape
        now = self.first(batch) if before is None else dict(before)
        results = {}
        for name in wanted:
            kind, size = self._sizes[name]
            results[name] = np.empty((steps, batch, size), np.uint8 if kind == UINT8 else np.int32)
        for t in range(steps):
            now = self.step({name: value[t] for name, value in given.items()}, now)
            for name in wanted:
                results[name][t] = now[name]
        return results, now

    def _wanted(self, record: Sequence[str] | str) -> list[str]:
        """States to return: those asked for, and those that are outputs of the program."""
        every = [name for name in self.names if not name.startswith("spikes/")]
        asked = [record] if isinstance(record, str) else list(record)
        for item in asked:
            if item != "all" and not any(item in (name, name.split("/")[0]) for name in every):
                raise InputError(f"record: no state '{item}'; states are {', '.join(every)}")
        always = set(self.about.outputs) - {self.about.decision_output}
        return [
            name for name in every if "all" in asked or name in asked or name.split("/")[0] in asked or name in always
        ]

    def _feed(self, given: Values) -> dict[str, np.ndarray]:
        tensors = self.about.input_tensors.items()
        return {name: self._as_stored(name, given[item.name]) for name, item in tensors}

    def _as_stored(self, name: str, value: np.ndarray) -> np.ndarray:
        kind, _ = self._sizes[name]
        return np.ascontiguousarray(value, dtype=np.uint8 if kind == UINT8 else np.int32)


def run(
    source: Program | str | os.PathLike[str],
    inputs: Inputs,
    record: Sequence[str] | str = (),
    threads: int = 0,
    initial_state: NetworkState | None = None,
) -> Trace:
    """Run a Program or a file in ONNX Runtime; see :meth:`OnnxNetwork.run`."""
    return OnnxNetwork.open(source, "scan", threads).run(inputs, record, initial_state)


def _session(graph: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised, and reach the user as one line
    try:
        return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = first_line(error)
        raise ExportError(f"ONNX Runtime refuses the graph ({reason}); export the network again") from None


def _histories(found: Values) -> dict[str, np.ndarray]:
    return {name: value for name, value in found.items() if name.startswith(HISTORY)}


def _joined(pieces: list[dict[str, np.ndarray]], axis: int) -> dict[str, np.ndarray]:
    """Parts of a batch as one; histories have their steps in front."""
    if len(pieces) == 1:
        return pieces[0]
    return {
        name: np.concatenate([piece[name] for piece in pieces], axis=1 if name.startswith(HISTORY) else axis)
        for name in pieces[0]
    }
