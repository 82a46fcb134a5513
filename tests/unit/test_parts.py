"""Verification and runs divided over processes, threads or a cluster give what one process gives."""

from __future__ import annotations

import importlib.util
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from export.errors import ExportError
from export.verification import engines
from export.verification.engines import Engine
from export.verification.parts import engine_of_part, run_in_parts
from export.verification.verify import verify
from hardware import Program, emulate
from hardware.lava import request
from hardware.lava.synapses import fits_dense
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program
from hardware.trace import Trace

SAMPLES = 7


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


@contextmanager
def cluster() -> Iterator[Executor]:
    """Two worker processes of dask on this machine, spoken to over TCP as those of a cluster."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("distributed is not installed (pip install -e '.[cluster]')")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
            Client(local) as client,
        ):
            assert all(address.startswith("tcp://") for address in client.scheduler_info()["workers"])
            yield client.get_executor()


class Counting(Executor):
    """Passes on to another executor and counts."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.calls = inner, 0

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self.calls += 1
        return self.inner.submit(call, *arguments, **options)


EXECUTORS = {"processes": processes, "threads": threads, "dask": cluster}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_an_executor_verifies_and_runs_what_one_process_does(kind: str) -> None:
    rng = np.random.default_rng(17)
    program = random_program(rng, layers=2, models=("brf", "li"), sizes=6)
    graph = random_graph(rng, delays=(0, 5))
    seen: list[tuple[int, int, str]] = []
    with EXECUTORS[kind]() as inner:
        for one in (program, graph):
            inputs = random_inputs(rng, one, T=20, B=SAMPLES)
            executor = Counting(inner)
            expected = verify(one, inputs, ("onnx",))
            found = verify(one, inputs, ("onnx",), executor=executor, jobs=3)
            assert [comparable(pair) for pair in found.pairs] == [comparable(pair) for pair in expected.pairs]
            assert found.equal and executor.calls == 3 + 2  # two samples of the oracle
            trace = run_in_parts(
                engines.get("emulator"),
                one,
                inputs,
                "all",
                jobs=3,
                executor=executor,
                progress=lambda *at: seen.append(at),
            )
            assert executor.calls == 5 + 3 and seen[-1] == (SAMPLES, SAMPLES, "emulator")
            assert_same(trace, emulate(one, inputs, "all"))
        inner.submit(int).result()  # it was not shut down


def comparable(pair: Any) -> Any:
    return replace(pair, seconds=0.0, baseline_seconds=0.0)


def assert_same(found: Trace, expected: Trace) -> None:
    one, other = found.arrays(), expected.arrays()
    assert one.keys() == other.keys() and found.engine == expected.engine
    assert found.final_state is not None and expected.final_state is not None
    for part in ("states", "spikes", "history"):
        mine, theirs = getattr(found.final_state, part), getattr(expected.final_state, part)
        one |= {f"final {part} {key}": value for key, value in mine.items()}
        other |= {f"final {part} {key}": value for key, value in theirs.items()}
    for key, value in other.items():
        assert one[key].dtype == value.dtype and np.array_equal(one[key], value), key


def test_processes_of_ones_own_number_run_a_batch() -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng, layers=2, sizes=5)
    inputs = random_inputs(rng, program, T=15, B=5)
    for jobs in (1, 2, 9):
        assert_same(
            run_in_parts(engines.get("emulator"), program, inputs, "all", jobs=jobs), emulate(program, inputs, "all")
        )


def failing(program: Program, inputs: Any, record: Any) -> Trace:
    if inputs.any():
        raise OSError("board 2 is off")
    return emulate(program, inputs, record)


def test_the_error_of_a_part_comes_through_and_parts_that_wait_are_dropped() -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng, layers=1, sizes=3, models=("lif",))
    inputs = np.ones((4, 40, program.input.size), np.int32)
    with threads() as pool, pytest.raises(OSError, match="board 2 is off"):
        executor = Counting(pool)
        run_in_parts(Engine("boards", failing), program, inputs, executor=executor, jobs=40)
    assert executor.calls == 40


def test_what_cannot_be_divided_is_refused() -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng, layers=1, sizes=3)
    inputs = random_inputs(rng, program, T=4, B=3)
    with pytest.raises(ExportError, match="jobs is 0"):
        run_in_parts(engines.get("emulator"), program, inputs, jobs=0)
    with pytest.raises(ExportError, match="cannot be sent to another process"):
        run_in_parts(Engine("local", lambda p, x, r: emulate(p, x, r)), program, inputs, jobs=2)


def test_parts_on_lava_run_as_many_samples_through_its_own_dense_as_one_run_does() -> None:
    rng = np.random.default_rng(5)
    programs = (random_program(rng, layers=2, models=("brf", "li"), sizes=4) for _ in range(50))
    program = next(program for program in programs if fits_dense(program))
    whole = request.dense_samples(program, 3000, 20, "auto")
    assert 0 < whole < 20
    for size in (1, 3, 7, 19, 20):
        counts = []
        for first in range(0, 20, size):
            part = engine_of_part(engines.get("lava"), program, (3000, 20), first, min(size, 20 - first))
            counts.append(whole if size == 20 else part.run.keywords["connections"])  # type: ignore[attr-defined]
            assert size == 20 or isinstance(part.run, partial)
        assert sum(counts) == whole
        assert all(abs(count - whole * size / 20) < 1 for count in counts[:-1])
    assert engine_of_part(engines.get("onnx"), program, (3000, 20), 0, 3) is engines.get("onnx")
