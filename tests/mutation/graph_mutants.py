"""Seeded mistakes about graphs (delays, order, projections, kinds of synapses, resets), each a textual change of the real
source, and the named checks that have to catch them.
"""

# ruff: noqa: E501 (a mutant is one line of the table)

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hardware import (
    Convolution,
    Decision,
    Program,
    ProgramBuilder,
    Trace,
    emulator,
    inputs,
    neurons,
    reference,
    synapses,
)
from hardware.models import MOST_SPIKES
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs
from tests.count_graphs import random_count_program

SEED = 31


@dataclass(frozen=True)
class GraphMutant:
    """One wrong line.

    Attributes:
        name: what is wrong.
        place: what is changed: a module, or ``module.Class.method``.
        old, new: the change; ``old`` must occur exactly once there.
        check: key of :data:`CHECKS` that must report a difference.
    """

    name: str
    place: str
    old: str
    new: str
    check: str


ARRIVES = "line[into.source][-into.delay] if into.delay else values[into.source]"
MUTANTS = (
    # delays
    GraphMutant("delays one step shorter", "emulator", "[-into.delay] if into.delay else", "[-max(1, into.delay - 1)] if into.delay else", "delays"),
    GraphMutant("a delay of 1 is no delay", "emulator", ARRIVES, "line[into.source][-into.delay] if into.delay > 1 else values.get(into.source, 0 * line[into.source][-1] if into.delay else None)", "feedback"),
    GraphMutant("every delay is the longest of its source", "emulator", "[-into.delay] if", "[0] if", "delays"),
    GraphMutant("newest and oldest step swapped", "emulator", "[-into.delay] if", "[into.delay - 1] if", "delays"),
    GraphMutant("delays of inputs ignored", "emulator", ARRIVES, "line[into.source][-into.delay] if into.delay and into.source not in given else values[into.source]", "delays"),
    GraphMutant("delays of populations are all 1", "emulator", ARRIVES, "line[into.source][-1 if into.source not in given else -into.delay] if into.delay else values[into.source]", "feedback"),
    GraphMutant("delays wrap at 32", "emulator", "[-into.delay] if", "[-(into.delay % 32 or into.delay)] if", "long delays"),
    GraphMutant("the first row is there before the first step", "emulator", "{name: list(value) for name, value in start.history.items()}", "{name: list(value) if name not in given else [given[name][0]] * len(value) for name, value in start.history.items()}", "delays"),
    GraphMutant("inputs before the first step are the lowest value", "inputs", "name: np.zeros((steps, batch, program.sizes[name]), np.uint8 if name in spikes else np.int32)", "name: np.full((steps, batch, program.sizes[name]), 0 if name in spikes else program.ranges[name][0], np.uint8 if name in spikes else np.int32)", "ranges without 0"),
    # projections and order
    GraphMutant("a population's last projection is dropped", "emulator", "for projection, values in arriving:", "for projection, values in arriving[:-1] or arriving:", "projections"),
    GraphMutant("projections between the same pair are one", "emulator", "for projection, values in arriving:", "for projection, values in {(p.source, p.target): (p, v) for p, v in arriving}.values():", "projections"),
    GraphMutant("feedback is dropped", "emulator", "for into in program.into(item.name)", "for into in program.into(item.name) if into.source != item.name", "feedback"),
    GraphMutant("populations hear each other one step late", "emulator", ARRIVES, "line[into.source][-into.delay] if into.delay else values[into.source] if into.source in given or t == 0 else spikes[into.source][t - 1]", "order"),
    GraphMutant("exponent of the first projection for all", "emulator", "drive = drive + self._drive(projection, values)", "drive = drive + (self._drive(projection, values) >> projection.exponent << arriving[0][0].exponent)", "projections"),
    GraphMutant("sums saturate at 24 bits", "emulator", "drive = drive + self._drive(projection, values)", "drive = np.clip(drive + self._drive(projection, values), -(2**23), 2**23)", "projections"),
    GraphMutant("initial states are ignored", "inputs", "np.repeat(item.start(state)[None], batch, axis=0)", "0 * np.repeat(item.start(state)[None], batch, axis=0)", "initial states"),
    # kinds of synapses
    GraphMutant("sparse rows one target later", "emulator", "running[:, synapses.indptr[1:]] - running[:, synapses.indptr[:-1]]", "np.roll(running[:, synapses.indptr[1:]] - running[:, synapses.indptr[:-1]], 1, axis=1)", "sparse"),
    GraphMutant("last synapse of a sparse row is lost", "emulator", "running[:, synapses.indptr[1:]] -", "running[:, np.maximum(synapses.indptr[1:] - 1, synapses.indptr[:-1])] -", "sparse"),
    GraphMutant("dense weights transposed", "emulator", "synapses.weight.T.astype(carrier)", "(synapses.weight if synapses.shape[0] == synapses.shape[1] else synapses.weight.T).astype(carrier)", "feedback"),
    GraphMutant("kernel flipped", "synapses.Convolution.apply", "kernel[out, :, a, b]", "kernel[out, :, -1 - a, -1 - b]", "convolutions"),
    GraphMutant("kernel's channels swapped", "synapses.Convolution.apply", "kernel[out, :, a, b]", "kernel[out, ::-1, a, b]", "convolutions"),
    GraphMutant("groups all hear the first", "synapses.Convolution.apply", "picture[:, g * per_group : (g + 1) * per_group,", "picture[:, :per_group,", "convolutions"),
    GraphMutant("stride one larger", "synapses.Convolution.tap", "start = first * stride + offset", "start = first * stride + offset - (first == 0 and offset > 0)", "convolutions"),
    GraphMutant("padding on one side only", "synapses.Convolution.tap", "offset = index * self.dilation[axis] - self.padding[axis]", "offset = index * self.dilation[axis]", "convolutions"),
    GraphMutant("dilation ignored", "synapses.Convolution.tap", "index * self.dilation[axis]", "index", "convolutions"),
    GraphMutant("height and width swapped in stride", "synapses.Convolution.tap", "self.in_shape[1 + axis], self.stride[axis]", "self.in_shape[1 + axis], self.stride[1 - axis]", "convolutions"),
    # resets of FP-3.7
    GraphMutant("the reset of the next step comes at once", "neurons", "x = np.where(spikes_before, after, x)\n        return x, x > edge", "return np.where(x > edge, after, x), x > edge", "next step"),
    GraphMutant("the next step tests before its reset", "neurons", "x = np.where(spikes_before, after, x)\n        return x, x > edge", "return np.where(spikes_before, after, x), x > edge", "next step"),
    GraphMutant("the next step resets the membrane of before", "neurons", '"subtract": sat(x - threshold)', '"subtract": sat((x_before if n["reset_at"] == "next" else x) - threshold)', "next step"),
    GraphMutant("the next step never resets", "neurons", 'if n["reset_at"] == "next":', 'if n["reset_at"] == "next" and not spikes_before.any():', "next step"),
    GraphMutant("a subtraction does not saturate", "neurons", '"subtract": sat(x - threshold)', '"subtract": x - threshold', "resets at the limits"),
    GraphMutant("carried over at the threshold", "neurons", "threshold * (x_before > edge)", "threshold * (x_before >= edge)", "resets at the limits"),
    GraphMutant("carried over where it spiked before", "neurons", "threshold * (x_before > edge)", "threshold * spikes_before", "carried over"),
    GraphMutant("nothing is carried over", "neurons", 'if n["reset_at"] == "carried" else x', 'if n["reset_at"] == "carries" else x', "carried over"),
    GraphMutant("what is carried over is taken from the membrane", "neurons", "return np.where(z, after, x), z", "return np.where(z, after, tested), z", "carried over"),
    GraphMutant("no reset is a reset to zero", "neurons", '"none": x}', '"none": np.zeros_like(x)}', "no reset"),
    GraphMutant("cuba_lif never subtracts", "neurons", 'v_new, z = fire(n, n["vth"] << 6', 'v_new, z = fire({**n, "reset": {"none": "none"}.get(n["reset"], "zero")}, n["vth"] << 6', "subtraction of cuba_lif"),
    GraphMutant("cuba_lif resets at its mantissa", "neurons", 'v_new, z = fire(n, n["vth"] << 6', 'v_new, z = fire(n, n["vth"]', "subtraction of cuba_lif"),
    # thresholds that fire themselves, several spikes per step: FP-3.8, FP-3.9
    GraphMutant("a threshold that fires itself does not", "neurons", 'n["fires"] == "at"', 'n["fires"] == "never"', "thresholds met"),
    GraphMutant("every threshold fires itself", "neurons", 'n["fires"] == "at"', 'n["fires"] != ""', "resets at the limits"),
    GraphMutant("what is carried over ignores that the threshold fires", "neurons", "threshold * (x_before > edge)", "threshold * (x_before > threshold)", "thresholds met"),
    GraphMutant("the reset takes what fires instead of the threshold", "neurons", '"subtract": sat(x - threshold)', '"subtract": sat(x - edge)', "thresholds met"),
    GraphMutant("counts lack their limit", "neurons", 'np.minimum(np.maximum(x, 0) // threshold, MOST_SPIKES[n["spikes"]])', "np.maximum(x, 0) // threshold & 255", "counts at the limits"),
    GraphMutant("the limit is one lower", "neurons", 'MOST_SPIKES[n["spikes"]]', 'MOST_SPIKES[n["spikes"]] - 1', "counts at the limits"),
    GraphMutant("a negative membrane counts", "neurons", "np.maximum(x, 0) // threshold", "np.abs(x) // threshold", "counts"),
    GraphMutant("counts are rounded", "neurons", "np.maximum(x, 0) // threshold", "(np.maximum(x, 0) + threshold // 2) // threshold", "counts"),
    GraphMutant("counts start above the threshold", "neurons", "np.maximum(x, 0) // threshold", "np.maximum(x - 1, 0) // threshold", "counts at the limits"),
    GraphMutant("a count subtracts one threshold", "neurons", "return x - count * threshold, count", "return x - (count > 0) * threshold, count", "counts"),
    GraphMutant("a count leaves the rest of the division", "neurons", "return x - count * threshold, count", "return np.where(x > 0, x % threshold, x), count", "counts at the limits"),
    GraphMutant("a count is sent as one spike", "neurons", "return x - count * threshold, count", "return x - count * threshold, count > 0", "counts"),
    GraphMutant("a count wraps at four bits", "neurons", "return x - count * threshold, count", "return x - count * threshold, count & 15", "counts"),
    GraphMutant("synapses hear one spike of a count", "emulator", "line[into.source][-into.delay] if into.delay else values[into.source]", "line[into.source][-into.delay] if into.delay else values[into.source] if into.source in given else values[into.source] > 0", "counts"),
    GraphMutant("delays keep one spike of a count", "emulator", "rows.append(values[name])", "rows.append(values[name] if name in given else values[name] > 0)", "counts with delays"),
)  # fmt: skip

MODULES = {"emulator": emulator, "inputs": inputs, "neurons": neurons, "synapses": synapses}
Case = tuple[Program, Any]


def _graphs(wanted: Callable[[Program], bool], seed: int, count: int, steps: int = 12, **choice: Any) -> Iterator[Case]:
    found = 0
    for number in range(50 * count):
        rng = np.random.default_rng([SEED, seed, number])
        program = random_graph(rng, border=False, **choice)
        if wanted(program):
            yield program, random_inputs(rng, program, steps, 2)
            found += 1
            if found == count:
                return


def _delays(program: Program) -> list[int]:
    return [item.delay for item in program.projections if item.delay]


def _convolutions() -> Iterator[Case]:
    """Single convolutions of every geometry into a linear readout, so that every wrong product is seen."""
    rng = np.random.default_rng([SEED, 9])
    for stride in ((1, 2), (2, 1)):
        for padding in ((0, 2), (1, 0)):
            for dilation in ((1, 2), (2, 1)):
                for groups in (1, 2):
                    kernel = rng.integers(-9, 9, (4, 4 // groups, 2, 3)).astype(np.int8)
                    made = Convolution.of(kernel, (4, 6, 7), stride, padding, dilation, groups)
                    graph = ProgramBuilder()
                    graph.input("x", (4, 6, 7), -3, 3)
                    graph.population("out", made.out_shape, "li", {"A": 2048}, {"K": 12})
                    graph.project("x", "out", made, exponent=4)
                    program = graph.build(decision=Decision("sum"))
                    yield program, random_inputs(rng, program, 3, 2)


def _limits_of_resets() -> Iterator[Case]:
    """Membranes that move by whole thresholds, so that they meet them exactly, and subtractions that leave 24 bits."""
    rng = np.random.default_rng([SEED, 10])
    for at in ("same", "next", "carried"):
        for threshold, exponent in ((2, 0), (8_000_000, 17)):
            graph = ProgramBuilder()
            graph.input("x", 6, -1, 1)
            values, options = {"A": 4096, "TH": threshold}, {"reset": "subtract", "reset_at": at}
            graph.population("out", 6, "lif", values, {"K": 12}, options=options)
            graph.project("x", "out", np.diag([1, 1, 2, 2, 3, 3] if exponent == 0 else [127] * 6), exponent=exponent)
            program = graph.build()
            yield program, rng.integers(-1, 2, (40, 2, 6)).astype(np.int32)


def _resets(name: str, value: str, *models: str) -> Iterator[Case]:
    choice = {"models": models or ("lif", "cuba_lif"), "resets": True, "delays": (0, 3)}
    return _graphs(lambda p: any(i.options[name] == value for i in p.populations), 11, 20, 20, **choice)


def _met() -> Iterator[Case]:
    """Membranes that move by whole thresholds, in steps small against 24 bits."""
    rng = np.random.default_rng([SEED, 12])
    for at in ("same", "next", "carried"):
        graph = ProgramBuilder()
        graph.input("x", 6, -1, 1)
        options = {"reset": "subtract", "reset_at": at, "fires": "at"}
        graph.population("out", 6, "lif", {"A": 4096, "TH": 2}, {"K": 12}, options=options)
        graph.project("x", "out", np.diag([1, 1, 2, 2, 3, 3]))
        yield graph.build(), rng.choice([-1, 0, 1], (60, 2, 6), p=[0.2, 0.3, 0.5]).astype(np.int32)


def _limits_of_counts() -> Iterator[Case]:
    """Membranes of exactly M - 1, M, M + 1 and many thresholds, and one below."""
    for spikes, most in MOST_SPIKES.items():
        if most == 1:
            continue
        for threshold in (1, 3):
            graph = ProgramBuilder()
            graph.input("x", 1, -(2**20), 2**20)
            options = {"reset": "subtract", "fires": "at", "spikes": spikes}
            graph.population("out", 1, "lif", {"A": 4096, "TH": threshold}, {"K": 12}, options=options)
            graph.population("next", 1, "li", {"A": 0}, {"K": 12})
            graph.project("x", "out", [[1]])
            graph.project("out", "next", [[1]])
            around = [k * threshold + d for k in (1, 2, most - 1, most, most + 1, 3 * most) for d in (-1, 0, 1)]
            values = [0, *around, *(-x for x in around), 2**20, 0, 0]
            yield graph.build(), np.array(values, np.int32).reshape(-1, 1, 1)


def _counts(delays: tuple[int, int] | None = None) -> Iterator[Case]:
    """Random graphs and chains whose populations send several spikes in a step."""
    found = 0
    for number in range(400):
        rng = np.random.default_rng([SEED, 13, number])
        program = random_count_program(rng, chain=number % 4 == 0)
        sending = {item.name for item in program.populations if item.most_spikes > 1}
        wanted = [item for item in program.projections if item.source in sending]
        if delays is not None:
            wanted = [item for item in wanted if delays[0] <= item.delay <= delays[1]]
        if wanted:
            yield program, random_inputs(rng, program, 12, 2)
            found += 1
            if found == 30:
                return


def _started(program: Program) -> bool:
    return any(value.any() for item in program.populations for value in item.initial.values())


def _kind(kind: str) -> Callable[[Program], bool]:
    return lambda program: any(item.synapses.kind == kind for item in program.projections)


CHECKS: dict[str, Callable[[], Iterator[Case]]] = {
    "delays": lambda: _graphs(lambda p: len(set(_delays(p))) > 1, 0, 20, delays=(0, 6)),
    "long delays": lambda: _graphs(lambda p: any(32 < d < 50 for d in _delays(p)), 1, 6, 70, delays=(33, 49)),
    "feedback": lambda: _graphs(lambda p: any(i.source == i.target for i in p.projections), 2, 30, 20, delays=(1, 5)),
    "order": lambda: _graphs(lambda p: len(p.populations) > 2, 3, 20),
    "projections": lambda: _graphs(lambda p: len(p.projections) > len(p.populations) + 1, 4, 20),
    "ranges without 0": lambda: _graphs(lambda p: any(d for d in _delays(p)), 5, 40, delays=(1, 5)),
    "initial states": lambda: _graphs(_started, 6, 10),
    "sparse": lambda: _graphs(_kind("sparse"), 7, 10),
    "convolutions": _convolutions,
    "next step": lambda: _resets("reset_at", "next"),
    "carried over": lambda: _resets("reset_at", "carried"),
    "no reset": lambda: _resets("reset", "none"),
    "subtraction of cuba_lif": lambda: _resets("reset", "subtract", "cuba_lif"),
    "resets at the limits": _limits_of_resets,
    "thresholds met": _met,
    "counts": _counts,
    "counts with delays": lambda: _counts((1, 6)),
    "counts at the limits": _limits_of_counts,
}


@cache
def _expected(check: str) -> list[tuple[Program, Any, Trace]]:
    return [(program, given, reference.run(program, given, "all")) for program, given in CHECKS[check]()]


def caught(check: str, run: Callable[[Program, Any], Trace]) -> str | None:
    """What the check reports of a way of running programs, None where all integers are those of the oracle."""
    for program, given, expected in _expected(check):
        try:
            arrays = run(program, given).arrays()
        except (ValueError, IndexError) as error:
            return f"{type(error).__name__} {error}"
        for key, values in expected.arrays().items():
            if not np.array_equal(arrays[key], values):
                return f"{key} differs"
    return None


@contextmanager
def mutated(mutant: GraphMutant) -> Iterator[Callable[[Program, Any], Trace]]:
    """A NumPy emulator with the one change in it."""
    module_name, *path = mutant.place.split(".")
    module = MODULES[module_name]
    owner = getattr(module, path[0]) if path else None
    original = getattr(owner, path[1]) if owner is not None else None
    source = textwrap.dedent(inspect.getsource(original or module))
    if source.count(mutant.old) != 1:
        raise AssertionError(f"'{mutant.name}': {mutant.old!r} occurs {source.count(mutant.old)} times")
    code = compile(source.replace(mutant.old, mutant.new), f"<mutant {mutant.name}>", "exec")
    if owner is not None:
        namespace = dict(vars(module))
        exec(code, namespace)
        setattr(owner, path[1], namespace[path[1]])
        try:
            yield lambda program, given: emulator.Emulator(program).run(given, "all")
        finally:
            setattr(owner, path[1], original)
        return
    changed = types.ModuleType(module.__name__)
    exec(code, changed.__dict__)
    if module is neurons:
        yield lambda program, given: emulator.Emulator(program, steps=changed.STEPS).run(given, "all")
        return
    if module is emulator:
        yield lambda program, given: changed.Emulator(program).run(given, "all")
        return
    yield lambda program, given: emulator.Emulator(program).run(given, "all", changed.start_state(program, 2))
