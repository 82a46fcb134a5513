"""Verification: the same Program and inputs through several engines, every integer of every step compared.

Each engine is compared with a baseline (the emulator), and the baseline with the scalar oracle on a few samples, so
that all of them are tied to the specification. Samples are independent of each other: they are run in parts that fit
into memory, on as many processes as asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from export.errors import ExportError
from export.quantization.findings import saturated
from export.verification import engines as engine_registry
from export.verification.engines import Engine, Runner
from export.verification.guarded import run_guarded, sizes
from export.verification.inputs import as_engines_take_them, inputs_hash, inputs_shape, inputs_shapes, of_samples
from export.verification.parts import check_transferable, completed, engine_of_part, parts_of
from export.verification.result import PairResult, VerificationResult, describe, merged
from export.verification.steps import run_forced
from hardware.compare import Divergence, compare
from hardware.inputs import Inputs
from hardware.program import Program
from hardware.program_file import content_hash
from hardware.trace import Trace

DEFAULT_LIMITS: Mapping[str, int] = {"reference": 2, "lava": 16}
"""How many samples the slow engines run, unless told otherwise."""

MEMORY_BYTES = 2**29
"""Traces held at one time by one process."""

__all__ = ["PairResult", "VerificationResult", "compare_traces", "describe", "verify"]

Progress = Callable[[int, int, str], None]
"""``progress(done, total, label)``: sample runs finished, sample runs in all, the engines at work or just finished."""


@dataclass(frozen=True)
class _Task:
    """Some engines on some samples, against one run of the baseline; what one process does at a time."""

    engines: tuple[Engine, ...]
    samples: tuple[int, ...]


def verify(
    program: Program,
    inputs: Inputs,
    engines: Sequence[str | Engine | Runner] = ("emulator", "onnx", "lava"),
    baseline: str | Engine | Runner = "emulator",
    *,
    teacher_forced: bool = False,
    sample_limits: Mapping[str, int] | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    memory_bytes: int = MEMORY_BYTES,
    progress: Progress | None = None,
) -> VerificationResult:
    """Run all engines on the same inputs and compare every spike and state at every step.

    Args:
        inputs: (T, B, N_in) integers or bool within the Program's input range; with several inputs a mapping by name.
        engines: names, or objects with ``run(program, inputs, record) -> Trace``. The oracle ``reference`` is added
            unless its limit is 0.
        baseline: what the others are compared with.
        teacher_forced: start every step from the baseline's states instead of the engine's own (engines that can take a
            single step).
        sample_limits: engine name -> most samples, spread evenly over the batch; default :data:`DEFAULT_LIMITS`.
        jobs: processes (each a fresh interpreter: a script needs its ``__main__`` guard); a caller's own engine must
            then be defined in a module.
        executor: runs the parts instead of processes of this machine: any of ``concurrent.futures``, of a cluster too
            (:mod:`export.verification.parts`); give it as many ``jobs`` as it has workers. It is not shut down.
        memory_bytes: bound on traces held per process; decides how many samples run at once.
        progress: see :data:`Progress`.

    Raises:
        ExportError: unknown engine, nothing to compare. RuntimeMissing: an engine is not installed. InputError: unfit
            inputs.
    """
    started = time.perf_counter()
    inputs = as_engines_take_them(program, inputs)
    if jobs < 1:
        raise ExportError(f"jobs is {jobs}; it must be at least 1")
    if not engines:
        raise ExportError("no engine is named; give one at least, for example emulator")
    for name, limit in (sample_limits or {}).items():
        if limit < 0:
            raise ExportError(f"'{name}' is to run {limit} samples; give 0 or more")
    base = engine_registry.get(baseline).require()
    limits = {**DEFAULT_LIMITS, **(sample_limits or {})}
    compared = _compared_engines(engines, base, limits)
    shape = inputs_shape(inputs)
    plan = list(_plan(program, shape[:2], compared, limits, jobs, memory_bytes))
    pairs = _run_plan(program, inputs, base, plan, teacher_forced, jobs, executor, progress)
    return VerificationResult(
        pairs=tuple(merged(program, [p for p in pairs if p.engine == engine.name]) for engine in compared),
        program_sha256=content_hash(program),
        spec_version=program.spec_version,
        inputs_sha256=inputs_hash(inputs),
        inputs_shape=shape,
        teacher_forced=teacher_forced,
        versions={engine.name: engine.versions() for engine in (base, *compared)},
        seconds=time.perf_counter() - started,
        inputs_shapes=inputs_shapes(inputs),
        own_engines={
            engine.name: {"place": engine.place, "sources": dict(engine.sources)}
            for engine in (base, *compared)
            if engine.own
        },
    )


def _compared_engines(
    engines: Sequence[str | Engine | Runner], base: Engine, limits: Mapping[str, int]
) -> list[Engine]:
    named: dict[str, Engine] = {}
    for engine in map(engine_registry.get, engines):
        if named.setdefault(engine.name, engine) != engine or (engine.name == base.name and engine != base):
            raise ExportError(f"two different engines are called '{engine.name}'; give one of them another name")
    if limits.get("reference", 0) > 0:
        named.setdefault("reference", engine_registry.get("reference"))
    named.pop(base.name, None)
    chosen = [engine for name, engine in named.items() if limits.get(name, 1) > 0]
    if not chosen:
        raise ExportError(
            f"nothing to compare '{base.name}' with; name another engine or allow a sample of 'reference'"
        )
    return [engine.require() for engine in chosen]


def _plan(
    program: Program,
    shape: tuple[int, int],
    engines: Sequence[Engine],
    limits: Mapping[str, int],
    jobs: int,
    memory_bytes: int,
) -> Iterator[_Task]:
    """Slow engines first, each on its few samples; then the others together, so that they share the baseline's run."""
    steps, batch = shape
    fit = max(1, memory_bytes // (2 * steps * _bytes_per_step(program)))
    everything = tuple(range(batch))
    for engine in engines:
        if engine.name in limits:
            chosen = _spread(batch, limits[engine.name])
            # The oracle is slow: one sample at a time; a start of Lava's runtime serves as many as there are.
            size = min(fit, 1 if engine.name == "reference" else -(-len(chosen) // jobs))
            for first in range(0, len(chosen), size):
                part = chosen[first : first + size]
                yield _Task((engine_of_part(engine, program, (steps, len(chosen)), first, len(part)),), part)
    unlimited = tuple(engine for engine in engines if engine.name not in limits)
    if unlimited:
        size = min(fit, -(-batch // jobs))
        yield from (_Task(unlimited, part) for part in parts_of(everything, size))


def _spread(batch: int, limit: int) -> tuple[int, ...]:
    """`limit` sample indices, evenly over the batch, first and last included."""
    return tuple(sorted({round(i) for i in np.linspace(0, batch - 1, min(batch, limit))}))


def _bytes_per_step(program: Program) -> int:
    """Bytes of a full trace per step and sample."""
    neurons = sum(item.size * (4 * len(item.spec.states) + 1) for item in program.populations)
    return neurons + 4 * program.output.size


def _run_plan(
    program: Program,
    inputs: Inputs,
    base: Engine,
    plan: Sequence[_Task],
    teacher_forced: bool,
    jobs: int,
    executor: Executor | None,
    progress: Progress | None,
) -> list[PairResult]:
    total = sum(len(task.samples) * len(task.engines) for task in plan)
    done, results = 0, []

    def finished(pairs: list[PairResult]) -> None:
        nonlocal done
        results.extend(pairs)
        done += sum(len(pair.samples) for pair in pairs)
        if progress is not None:
            progress(done, total, _names(pairs))

    def call_of(task: _Task) -> Callable[[], list[PairResult]]:
        part = of_samples(inputs, task.samples)
        return functools.partial(_run_task, program, part, base, task, teacher_forced)

    if executor is None and (jobs == 1 or len(plan) == 1):
        for task in plan:
            if progress is not None:
                progress(done, total, _names(task.engines))
            finished(call_of(task)())
        return results
    if executor is None:
        check_transferable((base, *(engine for task in plan for engine in task.engines)))
    for _, pairs in completed([call_of(task) for task in plan], jobs, executor):
        finished(pairs)
    return results


def _names(items: Sequence[Engine] | Sequence[PairResult]) -> str:
    return ", ".join(item.name if isinstance(item, Engine) else item.engine for item in items)


def _run_task(program: Program, inputs: Inputs, base: Engine, task: _Task, teacher_forced: bool) -> list[PairResult]:
    expected, base_seconds = _timed(functools.partial(run_guarded, base, program, inputs))
    spikes = {name: int(value.sum(dtype=np.int64)) for name, value in expected.spikes.items()}
    pairs = []
    for engine in task.engines:
        run = functools.partial(run_guarded, engine, program, inputs)
        if teacher_forced:
            run = functools.partial(run_forced, engine, program, inputs, expected)
        actual, seconds = _timed(run)
        compared, differing, first = compare_traces(program, base.name, expected, engine.name, actual)
        if first is not None:
            first = dataclasses.replace(first, sample=task.samples[first.sample])
        pairs.append(
            PairResult(
                engine=engine.name,
                baseline=base.name,
                samples=task.samples,
                steps=inputs_shape(inputs)[0],
                compared=compared,
                differing=differing,
                seconds=seconds,
                baseline_seconds=base_seconds,
                first_divergence=first,
                spikes=sum(spikes.values()),
                ran_as=engine.name if engine.own else actual.engine,
                saturated=saturated(program, expected),
                spikes_by_layer=spikes,
            )
        )
    return pairs


def compare_traces(
    program: Program, name_a: str, a: Trace, name_b: str, b: Trace
) -> tuple[int, int, Divergence | None]:
    """Integers compared, integers differing and the first divergence of two full traces.

    Raises:
        ExportError: a trace lacks an array; equality of the rest would say too little.
    """
    for name, trace in ((name_a, a), (name_b, b)):
        missing = sorted(set(sizes(program)) - set(trace.arrays()))
        if missing:
            raise ExportError(f"engine '{name}' returned no '{missing[0]}'; verification needs every spike and state")
    inner = compare(a, b, program)
    # The output is an array of its own in a trace, though it repeats a population.
    outer = compare(Trace(a.engine, a.output), Trace(b.engine, b.output), program)
    first = inner.first_divergence or outer.first_divergence
    return inner.compared + outer.compared, inner.differing + outer.differing, first


def _timed(work: Callable[[], Trace]) -> tuple[Trace, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
