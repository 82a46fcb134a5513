"""Engines that stored traces are compared with, and the comparison, for ``tests.graph_traces`` and
``tests.loihi_traces``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hardware import HardwareError, Program, Trace, emulate, reference

Run = Callable[[Program, Any], Trace]
LAVA_GROUP = 8
"""Programs that one Lava worker runs: starting it takes seconds."""


def _onnx(program: Program, inputs: Any) -> Trace:
    from export.onnx import runtime

    return runtime.run(program, inputs, "all")


def _onnx_step(program: Program, inputs: Any) -> Trace:
    from export.onnx.runtime import OnnxNetwork

    return OnnxNetwork.open(program, "step").run(inputs, "all")


def _torch(program: Program, inputs: Any) -> Trace:
    from hypr.integer import engine

    return engine.run(program, inputs, "all")


ENGINES: Mapping[str, Run] = {
    "reference": lambda program, inputs: reference.run(program, inputs, "all"),
    "numpy": lambda program, inputs: emulate(program, inputs, "all", backend="numpy"),
    "compiled": lambda program, inputs: emulate(program, inputs, "all", backend="numba"),
    "torch": _torch,
    "onnx": _onnx,
    "onnx-step": _onnx_step,
}
ALL = (*ENGINES, "lava")


def run_lava(jobs: Sequence[tuple[Program, Any]]) -> list[Trace | str]:
    """Traces of several programs in Lava, or the line that refuses one (no schedule)."""
    from hardware.lava import runtime
    from hardware.lava.job import Task

    results: dict[int, Trace | str] = {}
    accepted: list[tuple[int, Task]] = []
    for index, (program, inputs) in enumerate(jobs):
        task = Task(program, inputs, "all", "batched")
        try:
            runtime.check_task(task)
        except HardwareError as error:
            results[index] = str(error)
        else:
            accepted.append((index, task))
    for start in range(0, len(accepted), LAVA_GROUP):
        group = accepted[start : start + LAVA_GROUP]
        for (index, _), result in zip(group, runtime.run_many([task for _, task in group]), strict=True):
            results[index] = result.trace
    return [results[index] for index in range(len(jobs))]


def lava_ready() -> bool:
    from hardware.lava import paths

    return paths.status().installed


def differences(trace: Trace, expected: Mapping[str, np.ndarray]) -> Iterator[tuple[str, int, str]]:
    """(array, differing integers, where the first is) for every array that is not equal."""
    arrays = trace.arrays()
    for key, values in expected.items():
        found = arrays.get(key)
        if found is None or found.shape != values.shape:
            yield key, values.size, "not recorded" if found is None else f"shape {found.shape} for {values.shape}"
            continue
        wrong = np.argwhere(found.astype(np.int64) != values.astype(np.int64))
        if len(wrong):
            step, sample, neuron = (int(i) for i in wrong[0])
            pair = f"{int(found[step, sample, neuron])} against {int(values[step, sample, neuron])}"
            yield key, len(wrong), f"first at step {step}, sample {sample}, neuron {neuron}: {pair}"
