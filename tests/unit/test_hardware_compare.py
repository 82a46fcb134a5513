"""Comparison names the first difference in the specified order, and decisions follow FP-4.1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware import Comparison, Decision, InputError, Trace, classify, compare, emulate
from hardware.compare import UPDATE_ORDER, Divergence, context
from hardware.models import MODELS
from hardware.random_programs import random_inputs, random_program


def run(seed: int = 1):
    rng = np.random.default_rng(seed)
    program = random_program(rng, layers=2, models=("brf",), output="li", sizes=(4, 6), border=False)
    return program, emulate(program, random_inputs(rng, program, 12, 3), "all", backend="numpy")


def first_of(found: Comparison) -> Divergence:
    assert found.first_divergence is not None
    return found.first_divergence


def changed(trace: Trace, *places: tuple[str, int, int, int]) -> Trace:
    states = {key: value.copy() for key, value in trace.states.items()}
    spikes = {key: value.copy() for key, value in trace.spikes.items()}
    for key, *where in places:
        array = spikes[key[7:]] if key.startswith("spikes/") else states[key]
        array[tuple(where)] ^= 1
    return replace(trace, states=states, spikes=spikes)


def test_equal_traces_have_no_divergence_and_count_every_integer_once() -> None:
    program, trace = run()
    found = compare(trace, trace, program)
    assert found.equal
    assert found.first_divergence is None
    assert found.compared == sum(value.size for value in (*trace.states.values(), *trace.spikes.values()))
    assert compare(trace, trace).compared == found.compared


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([("u/hidden0", 5, 0, 0), ("u/readout", 4, 2, 1)], ("readout", 4, "u", 2, 1)),
        ([("u/readout", 4, 0, 0), ("q/hidden0", 4, 2, 3)], ("hidden0", 4, "q", 2, 3)),
        ([("q/hidden0", 4, 0, 0), ("spikes/hidden0", 4, 2, 3)], ("hidden0", 4, "spikes", 2, 3)),
        ([("spikes/hidden0", 4, 0, 0), ("v/hidden0", 4, 2, 3)], ("hidden0", 4, "v", 2, 3)),
        ([("v/hidden0", 4, 0, 0), ("u/hidden0", 4, 2, 3)], ("hidden0", 4, "u", 2, 3)),
        ([("u/hidden0", 4, 1, 0), ("u/hidden0", 4, 0, 3)], ("hidden0", 4, "u", 0, 3)),
        ([("u/hidden0", 4, 1, 2), ("u/hidden0", 4, 1, 1)], ("hidden0", 4, "u", 1, 1)),
    ],
    ids=["step", "layer", "spike before q", "v before spike", "u before v", "sample", "neuron"],
)
def test_the_first_divergence_is_ordered(places: list, expected: tuple) -> None:
    program, trace = run()
    other = changed(trace, *places)
    found = compare(trace, other, program)
    first = first_of(found)
    assert (first.layer, first.step, first.state, first.sample, first.neuron) == expected
    assert found.differing == len(places)
    assert first.clause == ("FP-3.6" if first.layer == "readout" else "FP-3.1")
    assert first.value_a ^ first.value_b == 1 or first.value_a == -first.value_b
    assert f"step {first.step}" in str(first)


def test_the_update_order_names_every_result_of_every_model() -> None:
    for name, spec in MODELS.items():
        assert sorted(UPDATE_ORDER[name]) == sorted([*spec.states, *(["spikes"] if spec.spiking else [])])


def test_the_context_shows_the_neuron_before_it_diverges() -> None:
    program, trace = run()
    other = changed(trace, ("v/hidden0", 7, 1, 2))
    first = first_of(compare(trace, other, program))
    window = context(trace, other, first, before=3, after=1)
    assert set(window) == {"u/hidden0", "v/hidden0", "q/hidden0", "spikes/hidden0"}
    a, b = window["v/hidden0"]
    assert a.tolist() == trace.states["v/hidden0"][4:9, 1, 2].tolist()
    assert np.flatnonzero(a != b).tolist() == [3]


def test_only_common_arrays_are_compared_and_the_others_are_named() -> None:
    program, trace = run()
    less = replace(trace, states={"u/readout": trace.states["u/readout"]})
    found = compare(trace, less, program)
    assert found.not_compared == ("u/hidden0", "v/hidden0", "q/hidden0")
    assert found.compared == trace.spikes["hidden0"].size + trace.output.size
    bare = replace(trace, states={}, spikes={})
    assert compare(bare, bare, program).compared == trace.output.size
    wrong = replace(bare, output=trace.output + 1)
    assert first_of(compare(bare, wrong, program)).state == "output"
    assert isinstance(compare(bare, wrong), Comparison)


def test_what_cannot_be_compared_is_refused() -> None:
    program, trace = run()
    with pytest.raises(InputError, match="has shape"):
        compare(trace, replace(trace, spikes={"hidden0": trace.spikes["hidden0"][:5]}), program)
    with pytest.raises(InputError, match="not an integer type"):
        compare(trace, replace(trace, spikes={"hidden0": trace.spikes["hidden0"].astype(float)}), program)


def decide(
    rule: str, output: list, ignore_first: int = 0, multiplier: list | None = None, mask: list | None = None
) -> list:
    program = random_program(np.random.default_rng(0), layers=1, models=("li",), sizes=len(output[0][0]))
    factors = None if multiplier is None else np.array(multiplier, np.int32)
    program = replace(program, decision=Decision(rule, ignore_first, factors))
    return classify(program, np.array(output, np.int32), None if mask is None else np.array(mask)).tolist()


def test_the_lowest_index_wins_a_tie() -> None:
    assert decide("per_step", [[[5, 5, 5]], [[1, 7, 7]], [[-3, -2, -2]]]) == [[0], [1], [1]]
    assert decide("sum", [[[1, 2, 0]], [[2, 1, 3]]]) == [0]


def test_sums_skip_the_first_steps_and_masked_ones() -> None:
    output = [[[9, 0]], [[0, 1]], [[0, 1]], [[5, 0]]]
    assert decide("sum", output) == [0]
    assert decide("sum", output, ignore_first=1) == [0]
    assert decide("sum", output, ignore_first=1, mask=[[True], [True], [True], [False]]) == [1]


def test_multipliers_scale_before_the_argmax_without_overflow() -> None:
    assert decide("per_step", [[[3, 2]]], multiplier=[1, 2]) == [[1]]
    top = 2**23 - 1
    steps = [[[top, top - 1]]] * 1024
    assert decide("sum", steps, multiplier=[2**24 - 2, 2**24 - 1]) == [0]
    exact = [top * 1024 * (2**24 - 2), (top - 1) * 1024 * (2**24 - 1)]
    assert exact[0] > exact[1]
    wide = np.full((3, 1, 2), 2**31 - 1)
    wide[:, :, 1] -= 1
    assert decide("sum", np.repeat(wide, 200, axis=0).tolist(), multiplier=[1, 2**24 - 1]) == [1]


def test_unfit_outputs_are_refused() -> None:
    program = random_program(np.random.default_rng(0), layers=1, models=("li",), sizes=3)
    with pytest.raises(InputError, match="output must be"):
        classify(program, np.zeros((2, 2, 4), np.int32))
    with pytest.raises(InputError, match="output must be"):
        classify(program, np.zeros((2, 2, 3)))
    with pytest.raises(InputError, match="mask must be"):
        classify(program, np.zeros((2, 2, 3), np.int32), np.ones((2, 1), bool))
