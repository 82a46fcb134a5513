"""The named checks that mutants have to fail: each compares an emulator with the scalar oracle on programs made for one
kind of mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from hardware import reference
from hardware.chain import InputFormat, Layer, Synapses
from hardware.compare import Divergence, compare
from hardware.emulator import Emulator
from hardware.models import MODELS, STATE_MAX
from hardware.program import Program
from hardware.random_programs import random_inputs, random_program, random_state
from hardware.trace import NetworkState, Trace

Case = tuple[Program, np.ndarray, "NetworkState | None"]
SEED = 20


def _one_step(model: str) -> Iterator[Case]:
    """Random programs, random states of all magnitudes, one step."""
    for seed in range(24):
        rng = np.random.default_rng([SEED, seed])
        program = random_program(rng, layers=1, models=(model,), sizes=(6, 10))
        yield program, random_inputs(rng, program, 1, 8), random_state(rng, program, 8)


def _run_from_zero(model: str) -> Iterator[Case]:
    """Random recurrent programs of moderate parameters, a dozen steps from zero."""
    for seed in range(12):
        rng = np.random.default_rng([SEED, 1, seed])
        program = random_program(rng, layers=2, models=(model, "li"), sizes=(5, 8), border=False, recurrent=1.0)
        yield program, random_inputs(rng, program, 12, 2), None


def _saturation(model: str) -> Iterator[Case]:
    """Every state at one end of its range, inputs of both signs."""
    for seed in range(24):
        rng = np.random.default_rng([SEED, 2, seed])
        program = random_program(rng, layers=1, models=(model,), sizes=(6, 10))
        state = random_state(rng, program, 8)
        ends = {
            key: np.where(rng.random(v.shape) < 0.5, -STATE_MAX, STATE_MAX).astype(np.int32)
            for key, v in state.states.items()
        }
        yield program, random_inputs(rng, program, 3, 8), replace(state, states=ends)


def _threshold_tie(model: str) -> Iterator[Case]:
    """No input; biases one below, at and one above the threshold, so that the first step meets it exactly."""
    layer = _silent_layer(model, size=3)
    threshold = {"alif": "B0", "cuba_lif": "vth"}.get(model, "TH")
    level = 100 << 6 if model == "cuba_lif" else 100
    parameters = {**layer.parameters, threshold: np.full(3, 100, np.int32)}
    layer = replace(layer, bias=np.array([level - 1, level, level + 1], np.int32), parameters=parameters)
    yield Program.chain((layer,), InputFormat(1)), np.zeros((1, 1, 1), np.int32), None


def _wrap_edge(model: str) -> Iterator[Case]:
    """CubaLIF currents at and around both ends of the wrap, without decay."""
    ends = [2**23 - 1, 2**23, 2**23 + 1, -(2**23) + 1, -(2**23), -(2**23) - 1]
    layer = _silent_layer(model, size=len(ends))
    layer = replace(layer, parameters={**layer.parameters, "du": np.full(len(ends), -1, np.int32)})
    state = {"u/readout": np.array([ends], np.int32), "v/readout": np.zeros((1, len(ends)), np.int32)}
    yield (
        Program.chain((layer,), InputFormat(1)),
        np.zeros((1, 1, 1), np.int32),
        NetworkState(state, {"readout": np.zeros((1, len(ends)), np.uint8)}),
    )


def _silent_layer(model: str, size: int) -> Layer:
    spec = MODELS[model]
    zeros = np.zeros(size, np.int32)
    return Layer(
        name="readout",
        model=model,
        input=Synapses(np.zeros((size, 1), np.int8), 0),
        recurrent=None,
        bias=zeros,
        parameters=dict.fromkeys(spec.parameters, zeros),
        shifts=dict.fromkeys(spec.shifts, 12),
    )


CHECKS: dict[str, Callable[[str], Iterator[Case]]] = {
    "one step": _one_step,
    "run from zero": _run_from_zero,
    "saturation": _saturation,
    "threshold tie": _threshold_tie,
    "wrap edge": _wrap_edge,
}


@cache
def expected(check: str, model: str) -> tuple[tuple[Case, Trace], ...]:
    """The cases of a check and what the oracle says about them."""
    return tuple((case, reference.run(case[0], case[1], "all", case[2])) for case in CHECKS[check](model))


def first_difference(check: str, model: str, engine: Callable[[Program], Emulator]) -> Divergence | None:
    """The first difference that a check finds in an engine, or None."""
    for (program, inputs, state), right in expected(check, model):
        found = compare(right, engine(program).run(inputs, "all", state), program).first_divergence
        if found is not None:
            return found
    return None
