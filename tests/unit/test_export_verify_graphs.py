"""Verification of programs that are graphs: several inputs, delays, initial states; and what bundles, manifests and
certificates say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.bundle.bundle import Bundle, write_bundle
from export.bundle.manifest import describe, network_of
from export.verification import engines
from export.verification.certificate import certificate
from export.verification.inputs import inputs_hash, inputs_shape
from export.verification.verify import verify
from hardware import InputError, Program, ProgramBuilder, Projection, Trace, emulate, reference
from hardware.emulator import Emulator
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program

ENGINES = ("emulator", "onnx")


def loop() -> Program:
    """Two inputs, delays on an input and between populations, feedback, initial states."""
    rng = np.random.default_rng(1)
    graph = ProgramBuilder()
    graph.input("left", 4)
    graph.input("right", 3, -20, 20)
    graph.population("a", 8, "lif", {"A": 3900, "TH": 300}, {"K": 12}, initial={"u": rng.integers(-99, 400, 8)})
    graph.population("b", 6, "cuba_lif", {"du": 500, "dv": 300, "vth": 200})
    graph.population("c", 3, "li", {"A": 3500}, {"K": 12}, initial={"u": 9})
    graph.project("left", "a", rng.integers(-127, 128, (8, 4)), 1)
    graph.project("right", "a", rng.integers(-9, 10, (8, 3)), delay=3)
    graph.project("a", "b", rng.integers(-20, 60, (6, 8)), 2, delay=2)
    graph.project("b", "a", rng.integers(-99, 60, (8, 6)), 0, delay=5)
    graph.project("b", "c", rng.integers(-127, 128, (3, 6)))
    return graph.build(outputs=("a", "c"))


def inputs_of(program: Program, steps: int = 40, batch: int = 6) -> Any:
    return random_inputs(np.random.default_rng(3), program, steps, batch)


class LateByOne:
    """The emulator with the longest delay of its program one step longer."""

    name = "late"

    def changed(self, program: Program) -> Program:
        chosen = max(program.projections, key=lambda item: item.delay)
        kept = tuple(replace(it, delay=it.delay + 1) if it is chosen else it for it in program.projections)
        return replace(program, projections=kept)

    def run(self, program: Program, inputs: Any, record: Any) -> Trace:
        return Emulator(self.changed(program), engine=self.name).run(inputs, record)


def late_step(program: Program, inputs: Any, previous: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """One step that reads the longest delay's source one row too early."""
    chosen: Projection = max(program.projections, key=lambda item: item.delay)
    key = f"history/{chosen.source}"
    wrong = {**previous, key: np.concatenate([previous[key][:1] * 0, previous[key][:-1]])}
    if f"spikes/{chosen.source}" in wrong:
        wrong[f"spikes/{chosen.source}"] = wrong[key][-1]
    return engines._emulator_step(program, inputs, wrong)


@pytest.mark.parametrize("teacher_forced", [False, True])
def test_a_graph_verifies_on_oracle_emulator_and_onnx(teacher_forced: bool) -> None:
    program = loop()
    result = verify(program, inputs_of(program), ENGINES, teacher_forced=teacher_forced)
    assert result.equal, result.rows()
    assert {pair.engine for pair in result.pairs} == {"onnx", "reference"}
    per_step = (
        sum(it.size * (len(it.spec.states) + it.spec.spiking) for it in program.populations) + program.output.size
    )
    assert {pair.engine: pair.compared for pair in result.pairs} == {"onnx": 240 * per_step, "reference": 80 * per_step}
    assert all(pair.spikes > 100 for pair in result.pairs)


def test_random_graphs_verify_free_running_and_teacher_forced() -> None:
    for seed in range(12):
        rng = np.random.default_rng([5, seed])
        program = random_graph(rng, delays=(0, 6))
        inputs = random_inputs(rng, program, 12, 3)
        for teacher_forced in (False, True):
            result = verify(program, inputs, ("onnx",), teacher_forced=teacher_forced)
            assert result.equal, f"seed {seed}, {teacher_forced}: {result.rows()}"


def test_teacher_forcing_starts_at_the_initial_states_and_reads_the_teachers_history() -> None:
    program = loop()
    inputs = inputs_of(program)
    free = verify(program, inputs, [LateByOne()], sample_limits={"reference": 0}).pairs[0]
    forced_engine = engines.Engine("late", LateByOne().run, step=late_step)
    forced = verify(program, inputs, [forced_engine], teacher_forced=True, sample_limits={"reference": 0}).pairs[0]
    assert free.first_divergence is not None and forced.first_divergence is not None
    assert free.first_divergence.layer == "a"  # the delayed projection's target
    assert free.first_divergence.step == forced.first_divergence.step >= 5
    assert 0 < forced.differing < free.differing
    assert forced.first_divergence.clause == "FP-3.4"


def test_memory_bound_and_jobs_change_nothing_of_a_graph_with_several_inputs() -> None:
    program = loop()
    inputs = inputs_of(program)
    whole = verify(program, inputs, ("onnx",))
    for memory, jobs in ((1, 1), (2**29, 2)):
        other = verify(program, inputs, ("onnx",), memory_bytes=memory, jobs=jobs)
        assert other.inputs_sha256 == whole.inputs_sha256
        for a, b in zip(whole.pairs, other.pairs, strict=True):
            assert (a.engine, a.samples, a.compared, a.differing) == (b.engine, b.samples, b.compared, b.differing)


def test_engines_get_an_array_for_one_input_and_a_mapping_for_several() -> None:
    seen: list[Any] = []

    class Watching:
        name = "watching"

        def run(self, program: Program, inputs: Any, record: Any) -> Trace:
            seen.append(inputs)
            return emulate(program, inputs, record)

    single = random_program(np.random.default_rng(0))
    verify(single, {single.inputs[0].name: inputs_of(single)}, [Watching()])
    program = loop()
    verify(program, inputs_of(program), [Watching()])
    assert isinstance(seen[0], np.ndarray)
    assert isinstance(seen[1], dict) and list(seen[1]) == ["left", "right"]


def test_unfit_inputs_of_a_graph_are_refused_in_one_line() -> None:
    program = loop()
    inputs = inputs_of(program)
    for wrong in ({"left": inputs["left"]}, inputs["left"], {**inputs, "right": inputs["right"] + 100}):
        with pytest.raises(InputError) as caught:
            verify(program, wrong, ("onnx",))
        assert "\n" not in str(caught.value)


# ---- hash of inputs


def test_the_hash_of_one_input_is_that_of_version_0_1() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    expected = hashlib.sha256(b"(2, 3, 4)" + values.astype("<i4").tobytes()).hexdigest()
    assert inputs_hash(values) == inputs_hash(values.astype(np.uint8)) == expected


def test_the_hash_of_several_inputs_names_each_and_ignores_their_order() -> None:
    a, b = np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.int64)
    first = inputs_hash({"a": a, "b": b})
    assert first == inputs_hash({"b": b.astype(np.int32), "a": a})
    assert len({first, inputs_hash({"a": b, "b": a}), inputs_hash({"a": a, "c": b}), inputs_hash(a)}) == 4
    assert inputs_shape({"a": a, "b": b}) == (2, 3, 8)


def test_the_certificate_gives_the_shape_of_each_input() -> None:
    program = loop()
    content = certificate(verify(program, inputs_of(program), ("onnx",)), inputs_name="random")
    assert content["inputs"]["shape"] == [40, 6, 7]
    assert content["inputs"]["shapes"] == {"left": [40, 6, 4], "right": [40, 6, 3]}
    assert content["equal"] is True
    single = random_program(np.random.default_rng(0))
    assert "shapes" not in certificate(verify(single, inputs_of(single), ("onnx",)))["inputs"]


# ---- bundles


def test_a_bundle_of_a_graph_holds_both_forms_and_verifies_from_its_files(tmp_path: Path) -> None:
    program = loop()
    bundle = write_bundle(None, program, tmp_path / "out", ("onnx",))
    assert set(bundle.manifest["files"]) == {"program.npz", "integer_scan.onnx", "integer_step.onnx"}
    assert all(bundle.checks().values())
    opened = Bundle.open(tmp_path / "out")
    chosen = [opened.engine(name) for name in ("emulator", "onnx", "onnx-step")]
    result = verify(opened.program, inputs_of(program), chosen)
    assert result.equal
    assert {pair.engine for pair in result.pairs} == {"onnx", "onnx-step", "reference"}
    assert verify(opened.program, inputs_of(program), chosen[:2], teacher_forced=True).equal


def test_a_manifest_names_layers_of_a_chain_and_populations_of_a_graph() -> None:
    said = describe(loop())
    assert said["inputs"][1] == {"name": "right", "size": 3, "low": -20, "high": 20}
    assert said["populations"][0] == {"name": "a", "model": "lif", "size": 8}
    assert said["projections"][1] == {
        "name": "right.a.3",
        "source": "right",
        "target": "a",
        "kind": "dense",
        "delay": 3,
    }
    assert said["outputs"] == ["a", "c"]
    assert list(network_of(said)) == ["populations"]
    chain = random_program(np.random.default_rng(0))
    assert set(describe(chain)) == {"input", "layers"}
    assert list(network_of(describe(chain))) == ["layers"]


def test_single_steps_of_the_registered_engines_agree_from_a_teachers_history() -> None:
    program = loop()
    inputs = inputs_of(program, 9, 2)
    teacher = reference.run(program, inputs, "all")
    middle = reference.run(program, {name: value[:8] for name, value in inputs.items()}).final_state
    assert middle is not None
    previous = {**middle.states, **{f"spikes/{name}": value for name, value in middle.spikes.items()}}
    previous.update({f"history/{name}": value for name, value in middle.history.items()})
    now = {name: value[8] for name, value in inputs.items()}
    for step in (engines._reference_step, engines._emulator_step, engines._onnx_step):
        found = step(program, now, previous)
        for name, value in teacher.arrays().items():
            assert np.array_equal(found[name], value[8]), (step, name)
