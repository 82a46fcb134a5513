"""``export.to_torch``: the module computes the integers of the Program, whatever torch is told to do around it."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export import to_torch, torch_network, torch_steps
from export.torch_steps import ProjectionModule, carrier_of
from hardware import Convolution, Dense, InputError, Program, Projection, Sparse, Trace, emulate
from hardware.emulator import projection_drive
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program
from hardware.synapses import Connections


def case(seed: int, steps: int = 40) -> tuple[Program, Any, Trace]:
    """A random graph, inputs (T, B, N) or a mapping of them, and the emulator's integers."""
    rng = np.random.default_rng([77, seed])
    program = random_graph(rng)
    inputs = random_inputs(rng, program, steps, 3)
    return program, inputs, emulate(program, inputs, "all", backend="numpy")


def batch_first(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: torch.from_numpy(value).transpose(0, 1) for name, value in inputs.items()}
    return torch.from_numpy(inputs).transpose(0, 1)


def at(x: Any, t: int) -> Any:
    """One step of inputs (B, T, N)."""
    return {name: value[:, t] for name, value in x.items()} if isinstance(x, dict) else x[:, t]


def same(found: Tensor, expected: np.ndarray) -> bool:
    """found (B, T, N), expected (T, B, N)."""
    return np.array_equal(found.transpose(0, 1).numpy(), expected) and found.numpy().dtype == expected.dtype


@pytest.mark.parametrize("seed", range(30))
def test_outputs_spikes_and_states_are_those_of_the_emulator(seed: int) -> None:
    program, inputs, expected = case(seed)
    module, x = to_torch(program), batch_first(inputs)
    assert same(module(x), expected.output)
    found = module.run(x, "all")
    assert same(found.output, expected.output)
    assert found.spikes.keys() == expected.spikes.keys() and found.states.keys() == expected.states.keys()
    assert all(same(value, expected.spikes[name]) for name, value in found.spikes.items())
    assert all(same(value, expected.states[name]) for name, value in found.states.items())


@pytest.mark.parametrize("seed", range(12))
def test_step_by_step_gives_the_same_integers_as_the_whole_sequence(seed: int) -> None:
    program, inputs, expected = case(seed, steps=70)
    module, x, state = to_torch(program), batch_first(inputs), None
    sizes = set()
    for t in range(70):
        output, state = module.step(at(x, t), state)
        assert np.array_equal(output.numpy(), expected.output[t]), f"seed {seed}, step {t}"
        sizes.add(sum(value.untyped_storage().nbytes() for value in state.values()))
    assert len(sizes) == 1, "the state of a stream does not grow"


def test_only_what_is_asked_for_is_recorded() -> None:
    program = random_program(np.random.default_rng(1), layers=2, models=("brf",), output="li", border=False)
    x = torch.zeros(2, 5, program.input.size, dtype=torch.uint8)
    hidden, out = program.populations
    assert to_torch(program).run(x).states == {}
    assert set(to_torch(program).run(x, "q").states) == {f"q/{hidden.name}"}
    assert set(to_torch(program).run(x, ["u"]).states) == {f"u/{hidden.name}", f"u/{out.name}"}


# ---- what torch may be told to do


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.half(),
        lambda module: module.double(),
        lambda module: module.bfloat16(),
        lambda module: copy.deepcopy(module),
        lambda module: module.eval(),
        lambda module: torch.load(_saved(module), weights_only=False),
    ],
    ids=["half", "double", "bfloat16", "deepcopy", "eval", "saved whole"],
)
def test_casting_copying_and_saving_a_module_changes_no_integer(change: Any) -> None:
    for seed in range(5):
        program, inputs, expected = case(seed)
        module = to_torch(program)
        module(batch_first(inputs))  # the floating copies of the weights exist now
        assert same(change(module)(batch_first(inputs)), expected.output)


def _saved(module: torch.nn.Module) -> io.BytesIO:
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    return stream


def test_reduced_products_change_no_integer() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for seed in range(10):
                program, inputs, expected = case(seed)
                assert same(to_torch(program)(batch_first(inputs)), expected.output)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_module_of_ours_can_stand_inside_another() -> None:
    program, inputs, expected = case(3)
    outer = torch.nn.ModuleDict({"inner": to_torch(program)})
    outer.load_state_dict(outer.state_dict())
    inner = outer["inner"]
    assert same(inner(batch_first(inputs)), expected.output)


def test_state_dict_holds_the_integers_of_the_program_and_comes_back() -> None:
    program, inputs, expected = case(2)
    module = to_torch(program)
    held = module.state_dict()
    assert all(not value.is_floating_point() for value in held.values())
    for index, projection in enumerate(program.projections):
        names = ("kernel",) if isinstance(projection.synapses, Convolution) else ("weight",)
        for name in names:
            found = held[f"projections.{index}.{name}"].numpy()
            assert np.array_equal(found, getattr(projection.synapses, name)) and found.dtype == np.int8
    for index, population in enumerate(program.populations):
        assert np.array_equal(held[f"populations.{index}.bias"].numpy(), population.bias)
    other = to_torch(program)
    other.load_state_dict(held)
    assert same(other(batch_first(inputs)), expected.output)


def test_a_state_dict_of_other_integers_is_refused_by_name() -> None:
    program = case(2)[0]
    module = to_torch(program)
    held = {name: value.clone() for name, value in module.state_dict().items()}
    held["populations.0.bias"][0] += 1
    with pytest.raises(InputError, match=r"populations\.0\.bias.*other integers"):
        module.load_state_dict(held)
    assert module.state_dict()["populations.0.bias"][0] == held["populations.0.bias"][0] - 1


# ---- arguments


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: x.float(), "tensor of integers, got torch.float32"),
        (lambda x: x.numpy(), "tensor of integers, got ndarray"),
        (lambda x: x[0], "must have shape"),
        (lambda x: x[:, :0], "at least one sample and step"),
        (lambda x: x[:, :, :-1], "must have shape"),
        (lambda x: torch.full_like(x, 2**24), "rescale"),
        (lambda x: {"other": x}, "inputs are input, got other"),
    ],
)
def test_unfit_inputs_are_refused_in_one_line(spoil: Any, says: str) -> None:
    program = random_program(np.random.default_rng(0), inputs=(2, 4))
    x = torch.full((2, 3, program.input.size), program.input.high)
    with pytest.raises(InputError, match=says) as caught:
        to_torch(program)(spoil(x))
    assert "\n" not in str(caught.value)


def test_several_inputs_are_taken_by_name_alone() -> None:
    for seed in range(30):
        program, inputs, _ = case(seed)
        if isinstance(inputs, dict):
            break
    x = batch_first(inputs)
    first, second = program.inputs
    with pytest.raises(InputError, match="give a mapping"):
        to_torch(program)(x[first.name])
    with pytest.raises(InputError, match="share batch and steps"):
        to_torch(program)({first.name: x[first.name], second.name: x[second.name][:, 1:]})


def test_a_state_of_another_program_or_batch_is_refused() -> None:
    program, inputs, _ = case(4)
    module, x = to_torch(program), batch_first(inputs)
    state = module.initial_state(3)
    name = next(iter(state))
    for wrong, says in (
        ({**state, "u/other": state[name]}, "missing or unknown"),
        ({key: value for key, value in state.items() if key != name}, "missing or unknown"),
        (module.initial_state(2), "must be torch"),
        ({**state, name: state[name].float()}, "must be torch"),
    ):
        with pytest.raises(InputError, match=says):
            module.run(x, state=wrong)


# ---- synapses and their carriers


def wide(synapses: Connections) -> Projection:
    return Projection("p", "in", "out", synapses, 3)


def some_synapses(rng: np.random.Generator) -> list[Connections]:
    matrix = rng.integers(-127, 128, (9, 12)).astype(np.int8)
    thin = np.where(rng.random((9, 12)) < 0.2, matrix, 0).astype(np.int8)
    kernel = rng.integers(-127, 128, (4, 3, 2, 3)).astype(np.int8)
    return [
        Dense(matrix),
        Sparse.from_matrix(thin),
        Convolution.of(kernel, (6, 4, 5), (2, 1), (1, 2), (1, 2), groups=2),
        Convolution.of(kernel[:, :, :1], (6, 1, 7), (1, 2), (0, 1), groups=2),
    ]


@pytest.mark.parametrize("ratio", [0, 32], ids=["sparse products", "matrix products"])
@pytest.mark.parametrize("block", [1, 100, 2**24])
@pytest.mark.parametrize("carrier", ["float32", "float64", "int64"])
def test_each_carrier_of_each_kind_gives_the_sums_of_the_emulator(
    ratio: int, block: int, carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    float32, float64 = {"float32": (2**24, 2**53), "float64": (0, 2**53), "int64": (0, 0)}[carrier]
    for name, value in (("DENSE_RATIO", ratio), ("BLOCK", block), ("EXACT_FLOAT32", float32)):
        monkeypatch.setattr(torch_steps, name, value)
    monkeypatch.setattr(torch_steps, "EXACT_FLOAT64", float64)
    rng = np.random.default_rng(5)
    low, high = (-256, 200) if float32 else (-(2**24), 2**24)
    for synapses in some_synapses(rng):
        projection = wide(synapses)
        module = ProjectionModule(projection, low, high)
        assert module.carrier == carrier
        values = rng.integers(low, high, (6, 2, synapses.shape[1]), endpoint=True)
        values[0] = np.where(rng.random(values[0].shape) < 0.5, low, high)
        expected = np.stack([projection_drive(projection, row) for row in values])
        for kind in (torch.int64, torch.int32):
            assert np.array_equal(module(torch.from_numpy(values).to(kind)).numpy(), expected), synapses.kind


def test_carriers_are_chosen_at_the_border_of_what_is_proved() -> None:
    """127 times 132,104 is the last sum below 2^24 by so many spikes; 16,777,216 is one too many."""
    most = np.full((1, 132_104), 127, np.int8)
    assert int(most.astype(np.int64).sum()) == 2**24 - 8
    for last, expected in ((7, "float32"), (8, "float64")):
        weight = np.concatenate([most, [[last]]], axis=1).astype(np.int8)
        assert carrier_of(wide(Dense(weight)), 1) == expected
        assert carrier_of(wide(Sparse.from_matrix(weight)), 1) == expected
    kernel = np.full((1, 1, 1, 2), 64, np.int8)
    assert carrier_of(wide(Convolution.of(kernel, (1, 1, 4))), 256) == "float32"
    assert carrier_of(wide(Convolution.of(kernel, (1, 1, 4))), 257) == "float64"  # reduced products hold 8 bits
    assert carrier_of(wide(Dense(np.full((1, 4), 127, np.int8))), 2**24) == "float64"


def test_a_float32_carrier_beyond_its_proof_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The border is needed: one type less, and sums are off."""
    projection = wide(Dense(np.full((1, 5), 127, np.int8)))
    values = np.array([[2**24, 1, 1, 1, 1]])
    expected = projection_drive(projection, values)
    assert np.array_equal(ProjectionModule(projection, 0, 2**24)(torch.from_numpy(values)).numpy(), expected)
    monkeypatch.setattr(torch_steps, "carrier_of", lambda *_: "float32")
    assert not np.array_equal(ProjectionModule(projection, 0, 2**24)(torch.from_numpy(values)).numpy(), expected)


def test_populations_that_do_not_hear_each_other_are_run_apart() -> None:
    """Each part after those that it reads, and no two populations of a part without a way back."""
    sizes = []
    for seed in range(60):
        program = random_graph(np.random.default_rng([9, seed]))
        parts = torch_network._components(program)
        names = [item.name for item in program.populations]
        assert sorted(index for part in parts for index in part.populations) == list(range(len(names)))
        done: set[str] = set()
        for part in parts:
            own = {names[index] for index in part.populations}
            reads = {p.source for p in program.projections if p.target in own} & set(names)
            assert reads <= done | own, f"seed {seed}"
            done |= own
            sizes.append(len(own))
    assert 1 in sizes and max(sizes) > 2


def test_a_chain_is_run_layer_by_layer() -> None:
    program = random_program(np.random.default_rng(3), layers=3)
    assert [part.populations for part in torch_network._components(program)] == [(0,), (1,), (2,)]


def test_a_boolean_input_of_a_wide_range_keeps_its_history() -> None:
    """A first chunk with payloads, a second one of spikes only, given as bool."""
    rng = np.random.default_rng(0)
    graph = next(
        program
        for program in (random_graph(np.random.default_rng([3, s]), inputs=1, delays=(3, 9)) for s in range(100))
        if program.inputs[0].high > 3 and program.inputs[0].low <= 0 and program.inputs[0].name in program.history
    )
    x = torch.from_numpy(random_inputs(rng, graph, 30, 2)).transpose(0, 1).clone()
    x[:, 12:] = (x[:, 12:] > 0).to(x.dtype)
    whole = to_torch(graph).run(x, "all")
    first = to_torch(graph).run(x[:, :12], "all")
    second = to_torch(graph).run(x[:, 12:] > 0, "all", first.state)
    for name, value in whole.states.items():
        assert torch.equal(value, torch.cat([first.states[name], second.states[name]], 1)), name


def test_a_program_without_metadata_and_with_a_copy_of_itself_is_the_same_module() -> None:
    program = case(1)[0]
    again = to_torch(replace(program, metadata={})).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in to_torch(program).state_dict().items())
