"""Work in parts, on processes of this machine or on any ``concurrent.futures.Executor``: that of dask
(``Client(...).get_executor()``), of mpi4py (``MPIPoolExecutor``), of the standard library.

Samples are independent of each other, so what the parts give, put together in their order, is what one process gives.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import TypeVar

from export.errors import ExportError
from export.verification import pool_ends
from export.verification.engines import Engine, Record
from export.verification.inputs import as_engines_take_them, inputs_shape, of_samples
from export.verification.result import joined_names
from hardware.inputs import Inputs
from hardware.lava.endings import start_tracker
from hardware.lava.request import dense_samples
from hardware.program import Program
from hardware.trace import Trace, side_by_side

Result = TypeVar("Result")


def completed(
    calls: Sequence[Callable[[], Result]], jobs: int, executor: Executor | None = None
) -> Iterator[tuple[int, Result]]:
    """``(index, result)`` of every call, in the order in which they are done.

    Args:
        calls: must be sendable to another process, unless the executor has threads.
        jobs: fresh interpreters to start where no executor is given.
        executor: runs the calls instead; it is not shut down.

    Raises:
        ExportError: a process ended abruptly. What a call raises comes through; calls that have not begun are dropped.
    """
    pool: ProcessPoolExecutor | None = None
    with ExitStack() as stack:
        if executor is None:
            # A fresh interpreter per process: forking one that has run threads (ONNX Runtime, BLAS) can deadlock.
            context = multiprocessing.get_context("spawn")
            start_tracker()
            with pool_ends.own_semaphores():
                pool = ProcessPoolExecutor(
                    min(jobs, len(calls)), context, initializer=pool_ends.initialise, initargs=(os.getpid(),)
                )
            calls = [partial(pool_ends.run, call) for call in calls]
            executor = stack.enter_context(pool)
        waiting: dict[Future[Result], int] = {executor.submit(call): index for index, call in enumerate(calls)}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenExecutor:
            raise ExportError(
                "a verification process ended abruptly, perhaps for lack of memory; lower jobs or memory_bytes"
            ) from None
        except BaseException:
            if pool is not None:
                pool_ends.end(pool)  # each with what it started
            raise
        finally:
            for future in waiting:
                future.cancel()  # what has not started need not run any more


def check_transferable(engines: Sequence[Engine]) -> None:
    """Raises ExportError for an engine that no other process can be given."""
    for engine in engines:
        try:
            ForkingPickler.dumps(engine)
        except Exception:
            raise ExportError(
                f"engine '{engine.name}' cannot be sent to another process; define it in a module, or use jobs=1"
            ) from None


def parts_of(samples: tuple[int, ...], size: int) -> Iterator[tuple[int, ...]]:
    """Samples in parts of at most ``size``."""
    return (samples[i : i + size] for i in range(0, len(samples), size))


def engine_of_part(engine: Engine, program: Program, shape: tuple[int, int], first: int, count: int) -> Engine:
    """The engine for ``count`` samples from ``first`` on of a batch that is run in parts.

    Lava runs some samples of a batch through its own Dense, one after another, which is slow: as many in all parts
    together as in one run of the whole, and in each its share.

    Args:
        shape: steps and samples of the whole batch.
    """
    if engine.own or engine.name != "lava" or count == shape[1] or _connections_of(engine) != "auto":
        return engine
    dense, samples = dense_samples(program, *shape, "auto"), shape[1]
    share = dense * (first + count) // samples - dense * first // samples
    return replace(engine, run=partial(engine.run, connections=share))


def _connections_of(engine: Engine) -> object:
    """What the caller asked Lava for."""
    if isinstance(engine.run, partial):
        return engine.run.keywords.get("connections", "auto")
    return getattr(engine.run, "connections", "auto")


def run_in_parts(
    engine: Engine,
    program: Program,
    inputs: Inputs,
    record: Record = (),
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Trace:
    """One engine on a batch, its samples divided over processes.

    Args:
        engine: of :func:`export.verification.engines.get`. program: what to run.
        inputs: (T, B, N_in), with several inputs a mapping by name.
        record: states to keep, as for ``hardware.emulate``.
        jobs: parts, and the processes that run them. executor: runs the parts instead; give it as many ``jobs`` as it
            has workers.
        progress: called with samples done, samples in all and the engine's name.

    Returns:
        The trace that one process gives.

    Raises:
        As the engine. ExportError: ``jobs`` below 1, an engine that cannot be sent to another process.
    """
    if jobs < 1:
        raise ExportError(f"jobs is {jobs}; it must be at least 1")
    if executor is None and jobs == 1:
        return engine.run(program, inputs, record)
    inputs = as_engines_take_them(program, inputs)
    steps, batch, _ = inputs_shape(inputs)
    parts = list(parts_of(tuple(range(batch)), -(-batch // jobs)))
    if executor is None:
        check_transferable([engine])
    calls = [
        partial(
            engine_of_part(engine, program, (steps, batch), part[0], len(part)).run,
            program,
            of_samples(inputs, slice(part[0], part[-1] + 1)),
            record,
        )
        for part in parts
    ]
    traces: dict[int, Trace] = {}
    for index, trace in completed(calls, jobs, executor):
        traces[index] = trace
        if progress is not None:
            progress(sum(len(parts[done]) for done in traces), batch, engine.name)
    ordered = [traces[index] for index in range(len(parts))]
    names = joined_names([(trace.engine, len(part)) for trace, part in zip(ordered, parts, strict=True)])
    return side_by_side(names, ordered)
