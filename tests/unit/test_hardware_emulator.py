"""The emulator's contract: arguments, recording, chunks, threads, and replaced steps."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

import hardware
from hardware import Emulator, InputError, NetworkState, compare, emulate, neurons, reference, teacher_forced
from hardware.fixed_point import mulsh, round_parameter, shz
from hardware.models import MODELS
from hardware.random_programs import random_inputs, random_program, random_state

BACKENDS = ("numpy", "numba")


def case(seed: int = 3, T: int = 20, B: int = 5, **options: object):
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {
        "layers": 2,
        "models": ("brf",),
        "output": "li",
        "sizes": (4, 9),
        "border": False,
        **options,
    }
    program = random_program(rng, **made)
    return program, random_inputs(rng, program, T, B), rng


def test_the_public_face_is_light() -> None:
    names = ("numba", "torch", "scipy", "nir", "onnx", "lava")
    code = f"import sys, hardware; print([m for m in {names} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_rounding_is_toward_zero_and_parameters_round_half_up() -> None:
    assert mulsh(np.array([3, 1, -1, -3, -4]), np.array(1), 1).tolist() == [1, 0, 0, -1, -2]
    assert shz(np.array([3, 1, -1, -3, -4]), 1).tolist() == [1, 0, 0, -1, -2]
    assert round_parameter(np.array([2.5, -2.5, -0.5, 0.49999999999999994])).tolist() == [3, -2, 0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_is_asked_for_is_recorded(backend: str) -> None:
    program, inputs, _ = case()
    hidden, out = (layer.name for layer in program.layers)
    assert set(emulate(program, inputs, backend=backend).arrays()) == {"output", f"spikes/{hidden}"}
    assert set(emulate(program, inputs, "q", backend=backend).states) == {f"q/{hidden}"}
    assert set(emulate(program, inputs, ("u",), backend=backend).states) == {f"u/{hidden}", f"u/{out}"}
    assert set(emulate(program, inputs, [f"u/{out}"], backend=backend).states) == {f"u/{out}"}
    everything = emulate(program, inputs, "all", backend=backend)
    assert set(everything.states) == {f"u/{hidden}", f"v/{hidden}", f"q/{hidden}", f"u/{out}"}
    assert np.array_equal(everything.output, everything.states[f"u/{out}"])
    assert emulate(program, inputs, backend=backend, keep_spikes=False).spikes == {}
    with pytest.raises(InputError, match="cannot record"):
        emulate(program, inputs, ("x",), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_unfit_inputs_are_refused(backend: str) -> None:
    program, inputs, _ = case()
    high = program.input.high
    for wrong, words in (
        (inputs.astype(np.float32), "must be integers"),
        (inputs[..., :-1], "must have shape"),
        (inputs[0], "must have shape"),
        (inputs[:0], "at least one step"),
        (np.full_like(inputs, high + 1), "rescale"),
    ):
        with pytest.raises(InputError, match=words):
            emulate(program, wrong, backend=backend)
    with pytest.raises(InputError, match="unknown backend"):
        emulate(program, inputs, backend="c")


def test_unfit_initial_states_are_refused() -> None:
    program, inputs, rng = case()
    good = random_state(rng, program, inputs.shape[1])
    name = program.layers[0].name
    for states, spikes, words in (
        ({}, good.spikes, "is missing"),
        (good.states, {}, "is missing"),
        ({**good.states, "x/y": good.states[f"u/{name}"]}, good.spikes, "unknown entry"),
        ({**good.states, f"u/{name}": good.states[f"u/{name}"][:1]}, good.spikes, "of shape"),
        (
            {**good.states, f"u/{name}": np.full_like(good.states[f"u/{name}"], 2**23)},
            good.spikes,
            "must be -8388607 to 8388607",
        ),
        (good.states, {name: np.full_like(good.spikes[name], 2)}, "must be 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            emulate(program, inputs, initial_state=NetworkState(states, spikes))


@pytest.mark.parametrize("backend", [*BACKENDS, "reference"])
def test_chunks_with_carried_state_equal_one_run(backend: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        program = random_program(rng)
        inputs = random_inputs(rng, program, 17, 3)

        def run(x, state=None, program=program):
            if backend == "reference":
                return reference.run(program, x, "all", state)
            return emulate(program, x, "all", state, backend=backend)

        whole, state = run(inputs), None
        before = {key: value.copy() for key, value in whole.arrays().items()}
        for first, last in ((0, 1), (1, 9), (9, 17)):
            part = run(inputs[first:last], state)
            state = part.final_state
            for key, value in part.arrays().items():
                assert np.array_equal(value, whole.arrays()[key][first:last]), f"seed {seed}, {key}"
        for key, value in whole.arrays().items():
            assert np.array_equal(value, before[key])  # later chunks wrote nothing into earlier results


def test_the_kernel_does_not_change_the_state_that_it_starts_from() -> None:
    program, inputs, rng = case()
    state = random_state(rng, program, inputs.shape[1])
    copies = {key: value.copy() for key, value in {**state.states, **state.spikes}.items()}
    emulate(program, inputs, initial_state=state, backend="numba")
    assert all(np.array_equal(value, copies[key]) for key, value in {**state.states, **state.spikes}.items())


def test_threads_blocks_and_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from hardware.compiled import blocks, run

    program, inputs, _ = case(seed=5, T=40, B=13, models=tuple(MODELS))
    expected = emulate(program, inputs, "all", backend="numpy")
    for lanes, chunk, threads in ((1, 2**24, 1), (16, 1, 2), (64, 5000, 3), (10_000, 2**24, 2)):
        monkeypatch.setattr(blocks, "LANES", lanes)
        monkeypatch.setattr(run, "CHUNK_BYTES", chunk)
        found = compare(expected, emulate(program, inputs, "all", backend="numba", threads=threads), program)
        assert found.equal, found.first_divergence


@pytest.mark.parametrize(
    ("cost", "grouped"),
    [((0.0, 1.0, 1.0), 0), ((1.0, 0.0, 0.0), 0), ((0.0, 1.0, 1.0), 64), ((1.0, 0.0, 0.0), 64), ((0.0, 1.0, 1.0), 20)],
    ids=["events", "product", "groups and events", "groups and product", "groups where they are small"],
)
def test_synapses_by_event_by_product_and_in_groups_are_equal(
    cost: tuple[float, float, float], grouped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardware.compiled import blocks, tables

    for name, value in zip(("EVENT_COST", "PRODUCT_COST", "OUTPUT_COST"), cost, strict=True):
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(tables, "GROUPED", grouped)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        program = random_program(rng, inputs=(1, 80), sizes=(1, 80))
        inputs = random_inputs(rng, program, 8, 3)
        found = compare(
            emulate(program, inputs, "all", backend="numpy"), emulate(program, inputs, "all", backend="numba"), program
        )
        assert found.equal, f"seed {seed}: {found.first_divergence}"


def test_a_floor_shift_in_a_copy_of_the_step_is_located() -> None:
    program, inputs, _ = case(T=40)

    def floors(n, states, spikes_before, drive):
        if n["model"] != "brf":
            return neurons.STEPS[n["model"]](n, states, spikes_before, drive)
        u, v, q = states
        (u_new, _, q_new), z = neurons.brf(n, states, spikes_before, drive)
        d = np.maximum(0, n["C"] - mulsh(q, n["D"], n["Kd"]))
        return (u_new, ((u * n["S"]) >> n["K"]) + ((v * d) >> n["K"]), q_new), z

    right = emulate(program, inputs, "all")
    wrong = Emulator(program, step=floors, engine="copy").run(inputs, "all")
    found = compare(right, wrong, program).first_divergence
    assert found is not None
    assert (found.layer, found.state, found.clause, found.value_a - found.value_b) == (
        program.layers[0].name,
        "v",
        "FP-3.1",
        1,
    )
    assert np.array_equal(
        right.states[f"v/{found.layer}"][: found.step], wrong.states[f"v/{found.layer}"][: found.step]
    )
    forced = compare(right, teacher_forced(program, right, inputs, Emulator(program, step=floors)), program)
    assert {key for key, count in forced.differing_by_array.items() if count} == {
        f"v/{found.layer}"
    }  # alone, the step only gets v wrong


@pytest.mark.parametrize("model", MODELS)
def test_teacher_forcing_repeats_an_equal_run(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.emulator.FORCED_BLOCK", 21)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        program = random_program(rng, models=(model,) if MODELS[model].spiking else ("lif", model))
        inputs = random_inputs(rng, program, 12, 3)
        right = reference.run(program, inputs, "all")
        found = compare(right, teacher_forced(program, right, inputs), program)
        assert found.equal, f"seed {seed}: {found.first_divergence}"
        assert found.compared == sum(value.size for value in (*right.states.values(), *right.spikes.values()))


def test_teacher_forcing_needs_all_states() -> None:
    program, inputs, _ = case()
    with pytest.raises(InputError, match="record all states"):
        teacher_forced(program, emulate(program, inputs, ("u",)), inputs)


def test_payloads_at_the_limits_of_the_range_run_exactly() -> None:
    layer = hardware.Layer(
        "readout", "li", hardware.Synapses(np.array([[127], [-127]], np.int8), 0), None, np.zeros(2, np.int32),
        {"A": np.full(2, 4096, np.int32)}, {"K": 12},
    )  # fmt: skip
    for low, high in ((0, 255), (0, 256), (-(2**24), 2**24), (3, 3)):
        if high == 2**24:
            with pytest.raises(hardware.ProgramError, match="FP-2"):
                hardware.Program.chain((layer,), hardware.InputFormat(1, low, high))
            continue
        program = hardware.Program.chain((layer,), hardware.InputFormat(1, low, high))
        inputs = np.array([low, high, high], np.int64).reshape(3, 1, 1)
        expected = reference.run(program, inputs)
        assert expected.output[:, 0, 0].tolist() == np.cumsum([127 * low, 127 * high, 127 * high]).tolist()
        for backend in BACKENDS:
            assert compare(expected, emulate(program, inputs, backend=backend), program).equal


def test_a_long_run_needs_memory_for_its_output_only() -> None:
    program, _, rng = case(T=1, sizes=(32, 32))
    inputs = random_inputs(rng, program, 20_000, 4).astype(np.uint8 if program.input.low >= 0 else np.int32)
    from hardware.compiled.run import CHUNK_BYTES

    emulate(program, inputs[:2], backend="numba")  # compiled before measuring
    tracemalloc.start()
    trace = emulate(program, inputs, backend="numba", keep_spikes=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    hidden_spikes = 20_000 * 4 * 32
    assert peak - trace.output.nbytes - inputs.nbytes < 2 * CHUNK_BYTES
    assert hidden_spikes * 3 * 8 > 3 * CHUNK_BYTES  # all states of the hidden layer would not have fitted
