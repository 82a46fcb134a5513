"""Graph programs: what is valid, what files keep, rules of time, and the builder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware import (
    Convolution,
    Decision,
    Dense,
    HardwareError,
    Input,
    InputError,
    Program,
    ProgramBuilder,
    ProgramError,
    Sparse,
    compare,
    emulate,
    load,
    reference,
    save,
    teacher_forced,
)
from hardware.emulator import Emulator
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program, random_state
from hardware.ranges import analyse

LIF = {"A": 4096, "TH": 0}


def relay(delay: int, **kept: object) -> Program:
    """Two inputs copied by two neurons ``delay`` steps later: no leak, threshold 0, reset to zero."""
    graph = ProgramBuilder()
    graph.input("x", 2)
    graph.population("copy", 2, "lif", LIF, {"K": 12}, initial=kept or None)  # type: ignore[arg-type]
    graph.project("x", "copy", [[1, 0], [0, 1]], delay=delay)
    return graph.build(decision=Decision("spike_count"))


@pytest.mark.parametrize("delay", [0, 1, 2, 7, 62])
def test_a_delay_shifts_spikes_by_so_many_steps(delay: int) -> None:
    inputs = np.random.default_rng(0).integers(0, 2, (80, 3, 2))
    expected = np.concatenate([np.zeros((delay, 3, 2), int), inputs])[:80]
    for backend in ("numpy", "auto"):
        assert np.array_equal(emulate(relay(delay), inputs, backend=backend).output, expected)
    assert np.array_equal(reference.run(relay(delay), inputs).output, expected)


def test_a_state_may_start_above_threshold_and_fires_only_after_its_first_update() -> None:
    trace = emulate(relay(0, u=np.array([5, 0], np.int32)), np.zeros((3, 1, 2), int), "u")
    assert trace.output[:, 0].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert trace.states["u/copy"][:, 0].tolist() == [[0, 0]] * 3


def test_chains_keep_the_version_hash_and_file_of_the_first_specification(tmp_path: Path) -> None:
    for seed in range(30):
        program = random_program(np.random.default_rng(seed))
        rebuilt = Program(program.inputs, program.populations, program.projections, program.outputs, program.decision)
        assert rebuilt.is_chain
        assert rebuilt == program
        assert program.spec_version == "1.0"


def test_a_chain_that_only_intervals_admit_is_of_the_second_version(tmp_path: Path) -> None:
    graph = ProgramBuilder()
    graph.input("input", 2)
    graph.population("readout", 1, "li", {"A": 0}, {"K": 12})
    graph.project("input", "readout", [[127, -127]], exponent=23, name="layer0.input")
    program = graph.build()
    assert program.is_chain
    assert program.spec_version == "2.0"
    save(program, tmp_path / "p.npz")
    assert load(tmp_path / "p.npz") == program


def test_graph_files_keep_every_integer_and_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    for seed in range(60):
        made = random_graph(np.random.default_rng(seed))
        save(made, tmp_path / "a.npz")
        read = load(tmp_path / "a.npz")
        save(read, tmp_path / "b.npz")
        assert read == made, f"seed {seed}"
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        assert [item.shape for item in read.populations] == [item.shape for item in made.populations]


def test_every_part_of_a_graph_is_in_its_hash() -> None:
    base = relay(3)
    projection = base.projections[0]
    changed = [
        replace(base, projections=(replace(projection, delay=2),)),
        replace(base, projections=(replace(projection, exponent=1),)),
        replace(base, projections=(replace(projection, synapses=Dense(np.array([[1, 0], [1, 1]], np.int8))),)),
        replace(base, projections=(replace(projection, synapses=Sparse.from_matrix(np.eye(2, dtype=np.int8))),)),
        replace(base, inputs=(Input("x", 2, 0, 2),)),
        replace(base, decision=Decision("sum")),
        relay(3, u=np.array([0, 1], np.int32)),
    ]
    assert len({program.content_hash for program in [base, *changed]}) == len(changed) + 1


def test_random_damage_of_a_graph_file_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    made = random_graph(np.random.default_rng(3))
    save(made, path)
    whole = path.read_bytes()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        try:
            read = load(path)
        except ProgramError as error:
            assert "\n" not in str(error), f"seed {seed}"
        else:
            assert read == made, f"seed {seed}"


def test_all_kinds_of_synapses_mean_one_matrix() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for projection in random_graph(rng, populations=(1, 3)).projections:
            synapses = projection.synapses
            matrix = synapses.matrix().astype(np.int64)
            assert matrix.shape == synapses.shape
            values = rng.integers(-9, 9, (2, synapses.shape[1]))
            as_sparse = replace(projection, synapses=Sparse.from_matrix(matrix))
            drive = values @ matrix.T << projection.exponent
            from hardware.emulator import projection_drive

            assert np.array_equal(projection_drive(projection, values), drive), f"seed {seed}"
            assert np.array_equal(projection_drive(as_sparse, values), drive), f"seed {seed}"
            low, high = synapses.interval(-3, 5)
            assert np.array_equal(low, np.minimum(matrix * -3, matrix * 5).sum(1))
            assert np.array_equal(high, np.maximum(matrix * -3, matrix * 5).sum(1))


def test_chunks_states_and_teacher_forcing_agree_with_the_oracle() -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        program = random_graph(rng)
        inputs = random_inputs(rng, program, 12, 2)
        whole = reference.run(program, inputs, "all")
        assert compare(teacher_forced(program, whole, inputs), whole, program).equal, f"seed {seed}"
        start, parts = random_state(rng, program, 2), []
        expected = reference.run(program, inputs, "all", start)
        for window in (slice(0, 5), slice(5, 12)):
            cut = {k: v[window] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[window]
            parts.append(Emulator(program).run(cut, "all", start))
            assert parts[-1].final_state is not None
            start = parts[-1].final_state
        for key, value in expected.arrays().items():
            assert np.array_equal(np.concatenate([part.arrays()[key] for part in parts]), value), f"seed {seed}, {key}"


def test_no_trace_leaves_what_the_ranges_prove() -> None:
    checked = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        program = random_graph(rng)
        trace = emulate(program, random_inputs(rng, program, 30, 3), "all")
        for item in analyse(program, trace).states:
            values = trace.states[f"{item.state}/{item.layer}"].astype(np.int64)
            inside = (values <= item.high) & (values >= item.low)
            assert inside.all(), f"seed {seed} {item.layer} {item.state}"
            checked += int(item.proved.sum())
    assert checked > 1000


def test_several_inputs_are_given_by_name() -> None:
    graph = ProgramBuilder()
    graph.input("left", 2)
    graph.input("right", 1, 0, 9)
    graph.population("sum", 1, "li", {"A": 0}, {"K": 12})
    graph.project("left", "sum", [[1, 2]])
    graph.project("right", "sum", [[3]], name="again")
    program = graph.build()
    values = {"left": np.ones((4, 1, 2), int), "right": np.full((4, 1, 1), 2)}
    assert emulate(program, values).output[:, 0, 0].tolist() == [9] * 4
    refused: dict[str, Any] = {
        "several inputs": values["left"],
        "'right' is missing": {"left": values["left"]},
        "'up' is unknown": {**values, "up": values["left"]},
        "share steps and batch": {**values, "right": values["right"][:2]},
        "inputs 'right' must be 0 to 9": {**values, "right": values["right"] * 9},
    }
    for words, given in refused.items():
        with pytest.raises(InputError, match=words):
            emulate(program, given)


def test_the_builder_names_what_is_wrong() -> None:
    def graph() -> ProgramBuilder:
        made = ProgramBuilder()
        made.input("x", 2)
        made.population("a", 3, "lif", LIF, {"K": 12})
        return made

    def project(**changes: object) -> HardwareError:
        made, given = graph(), {"source": "x", "target": "a", "synapses": np.ones((3, 2), int), **changes}
        with pytest.raises(HardwareError) as caught:
            made.project(**given)  # type: ignore[arg-type]
            made.build()
        return caught.value

    assert "projection 'x.a.0': synapses must have shape (3, 2)" in str(project(synapses=np.ones((2, 3), int)))
    assert "projection 'x.a.63': delay must be 0 to 62" in str(project(delay=63))
    assert "projection 'a.a.0': delay 0 must go forward" in str(project(source="a", synapses=np.ones((3, 3), int)))
    assert "must be integers, got float64" in str(project(synapses=np.full((3, 2), 0.5)))
    assert "population 'b': parameter A must be one integer or 3" in str(_refused(graph(), {"A": [1, 2], "TH": 1}))
    assert "population 'b': parameter TH is missing" in str(_refused(graph(), {"A": 1}))


def _refused(graph: ProgramBuilder, parameters: dict[str, object]) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        graph.population("b", 3, "lif", parameters, {"K": 12})  # type: ignore[arg-type]
    return caught.value


def test_repeated_synapses_are_added_and_a_sum_that_does_not_fit_is_refused() -> None:
    made = Sparse.from_coo([1, 0, 1, 1], [0, 1, 0, 1], [60, 5, 60, -60], (2, 2))
    assert made.matrix().tolist() == [[0, 5], [120, -60]]
    assert Sparse.from_coo([0, 0], [0, 0], [5, -5], (1, 1)).weight.size == 0
    with pytest.raises(ProgramError, match=r"\[1, 0\] add up to 128"):
        Sparse.from_coo([1, 1], [0, 0], [64, 64], (2, 2))


def test_a_picture_s_convolution_computes_its_own_output_shape() -> None:
    made = Convolution.of(np.ones((4, 2, 3, 3), np.int8), (2, 34, 34), stride=(2, 2), padding=(1, 1))
    assert made.out_shape == (4, 17, 17)
    made.check("here")
