"""Several spikes per step (FP-3.9) and thresholds that fire themselves (FP-3.8): versions and files, what is refused,
what bounds hold, and the way from a tool's network into integers and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import export
from export.errors import ExportError
from export.interchange.graph import read, write
from export.onnx.foreign import refuse_foreign_parts
from export.onnx.model_file import model as onnx_model
from export.onnx.runtime import OnnxNetwork
from export.quantization.dequantize import quantized_nir, requantize
from export.verification.verify import verify
from hardware import Program, ProgramBuilder, ProgramError, emulate, load, reference, save
from hardware.errors import InputError
from hardware.lava.assignment import assign
from hardware.mapping.activity import Activity
from hardware.models import MOST_SPIKES
from hardware.random_programs import random_inputs
from hardware.ranges import analyse
from tests.count_graphs import random_count_program
from tests.unit.hypr_triton import interpreted
from tests.unit.test_resets import tools_network

MODELS = {"lif": {"A": 4096, "TH": 10}, "cuba_lif": {"du": 4095, "dv": 0, "vth": 10}}


def single(model: str, weight: Any = 5, exponent: Any = 4, **options: Any) -> Program:
    graph = ProgramBuilder()
    graph.input("input", 1, 0, 100)
    shifts = {"K": 12} if model == "lif" else {}
    graph.population("out", 1, model, MODELS[model], shifts, options=options)
    graph.population("sum", 1, "li", {"A": 0}, {"K": 12})
    graph.project("input", "out", [[weight]], exponent=exponent)
    graph.project("out", "sum", [[3]])
    return graph.build()


def several(spikes: str) -> dict[str, str]:
    return {"reset": "subtract", "fires": "at", "spikes": spikes}


@pytest.mark.parametrize("model", MODELS)
def test_only_what_uses_a_clause_of_2_2_has_that_version(model: str, tmp_path: Path) -> None:
    plain = single(model, reset="zero")
    named = single(model, reset="zero", fires="above", spikes="one")
    assert named.content_hash == plain.content_hash and named.spec_version == plain.spec_version == "2.0"
    assert single(model, reset_at="next", fires="above").spec_version == "2.1"
    programs = [single(model, fires="at"), *(single(model, **several(name)) for name in list(MOST_SPIKES)[1:])]
    for program in programs:
        assert program.spec_version == "2.2"
        save(program, tmp_path / "p.npz")
        assert load(tmp_path / "p.npz") == program
        assert "FP-3.9" in str(interpreted("hypr.kernels.gpu.integer").why_in_torch(program))
    assert len({item.content_hash for item in programs}) == 4


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"fires": "above"}, {"reset_at": "next"}])
def test_counts_with_another_reset_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ProgramError, match=rf"with spikes 'up_to_31' option {next(iter(change))} must be .*FP-3.9"):
        single("lif", **{**several("up_to_31"), **change})


@pytest.mark.parametrize(("model", "name"), [("lif", "TH"), ("cuba_lif", "vth")])
def test_counts_of_a_threshold_of_0_are_refused(model: str, name: str) -> None:
    item = single(model, **several("up_to_31")).populations[0]
    with pytest.raises(ProgramError, match=rf"parameter {name} must be at least 1, got 0 at neuron 0"):
        replace(item, parameters={**item.parameters, name: np.zeros(1, np.int32)})


def test_what_the_limit_leaves_counts_at_the_next_step_and_synapses_hear_the_count() -> None:
    program = single("lif", weight=1, exponent=0, **several("up_to_15"))
    inputs = np.array([100, 90, 0, 9, 1], np.int32).reshape(-1, 1, 1)
    for trace in (reference.run(program, inputs, "all"), emulate(program, inputs, "all")):
        assert trace.spikes["out"].ravel().tolist() == [10, 9, 0, 0, 1]
        assert trace.states["u/sum"].ravel().tolist() == [30, 27, 0, 0, 3]
    program = single("lif", weight=2, exponent=0, **several("up_to_15"))
    trace = emulate(program, inputs, "all")
    assert trace.spikes["out"].ravel().tolist() == [15, 15, 8, 1, 1]
    assert trace.states["u/out"].ravel().tolist() == [50, 80, 0, 8, 0]


def test_bounds_hold_for_counts_and_a_current_that_only_spikes_fit_is_refused() -> None:
    checked = 0
    for seed in range(40):
        rng = np.random.default_rng([6, seed])
        program = random_count_program(rng, chain=seed % 2 == 0)
        trace = reference.run(program, random_inputs(rng, program, 30, 2), "all")
        for item in analyse(program).states:
            value, proved = trace.states[f"{item.state}/{item.layer}"], item.high < 2**23
            assert np.all(value.max((0, 1))[proved] <= item.high[proved]), (seed, item.layer)
            proved = item.low > -(2**23)
            assert np.all(value.min((0, 1))[proved] >= item.low[proved]), (seed, item.layer)
            checked += int(proved.sum())
    assert checked > 100
    made = single("lif", **several("up_to_255"))
    wide = replace(made.projections[1], exponent=22)
    assert replace(single("lif"), projections=(made.projections[0], wide)).ranges["out"] == (0, 1)
    with pytest.raises(ProgramError, match=r"FP-2\.7"):
        replace(made, projections=(made.projections[0], wide))


def test_a_state_may_hold_counts_up_to_the_limit() -> None:
    program = single("lif", **several("up_to_31"))
    inputs = np.full((3, 1, 1), 100, np.int32)
    state = emulate(program, inputs).final_state
    assert state is not None and state.spikes["out"].max() == 31
    network = OnnxNetwork.open(program, "step", threads=1)
    for run in (lambda s: emulate(program, inputs, "all", s), lambda s: network.run(inputs, "all", s)):
        assert np.array_equal(run(state).spikes["out"], reference.run(program, inputs, "all", state).spikes["out"])
        wrong = replace(state, spikes={"out": np.full((1, 1), 32, np.uint8)})
        with pytest.raises(InputError, match="must be 0 to 31, got 32"):
            run(wrong)


def test_lavas_own_lif_runs_none_and_a_chip_gets_one_message_for_a_count() -> None:
    assert assign(single("cuba_lif", **several("up_to_31")))[0].reason == "several spikes per step"
    assert assign(single("cuba_lif", fires="at"))[0].reason == "its threshold itself fires"
    program = single("lif", **several("up_to_31"))
    inputs = np.full((3, 1, 1), 100, np.int32)
    assert Activity.recorded(program, inputs, emulate(program, inputs)).rate("out", 1).tolist() == [1.0]


def reading(**more: Any) -> export.Reading:
    given = {"reset": "subtract", "spikes": "multi", "spike_at": "threshold", **more}
    return export.Reading(dt=1e-4, scheme="euler", **given)


@pytest.mark.parametrize("kind", ["lif", "cuba_lif"])
@pytest.mark.parametrize("limit", [None, "31"])
def test_a_tools_network_comes_into_integers_and_out_again(kind: str, limit: str | None, tmp_path: Path) -> None:
    graph = tools_network(kind)
    graph.nodes["n"].v_threshold = graph.nodes["n"].v_threshold * (0.5 if kind == "lif" else 5.0)
    spikes = (np.random.default_rng(1).random((60, 4, 8)) < 0.4).astype(np.int32)
    program = export.quantize(graph, calibration=spikes.transpose(1, 0, 2), reading=reading(max_spikes=limit))
    trace = emulate(program, spikes)
    most = int(trace.output.max())
    assert program.populations[0].most_spikes == (15 if limit is None else 31) and 1 < most < 8
    assert ("at most 15 spikes" in program.metadata.get("notes", "")) == (limit is None)
    result = verify(program, spikes, engines=("reference", "emulator", "onnx"))
    whole = next(pair for pair in result.pairs if len(pair.samples) == 4)
    assert result.equal and whole.spikes == int(trace.output.sum()) > np.count_nonzero(trace.output)
    assert requantize(graph, program, reading(max_spikes=limit)) == program
    write(quantized_nir(program, graph), tmp_path / "q.nir")
    again = read(tmp_path / "q.nir")
    assert export.quantize(again) == program
    with pytest.raises(ExportError, match="spikes 'single' contradicts 'multi' in the file's metadata"):
        export.quantize(again, reading=export.Reading(spikes="single"))


def test_a_limit_that_the_calibration_reaches_is_raised_and_the_last_one_refused() -> None:
    spikes = np.ones((20, 1, 8), np.int32)
    for scale, limit in ((0.05, 255), (0.005, None)):
        graph = tools_network("lif")
        graph.nodes["w"].weight = np.abs(graph.nodes["w"].weight)
        graph.nodes["n"].v_threshold = graph.nodes["n"].v_threshold * scale
        if limit is None:
            with pytest.raises(ExportError, match=r"layer n: it sends up to \d+ spikes in one step.*FP-3.9"):
                export.quantize(graph, calibration=spikes.transpose(1, 0, 2), reading=reading())
        else:
            program = export.quantize(graph, calibration=spikes.transpose(1, 0, 2), reading=reading())
            assert program.populations[0].most_spikes == limit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reset": "zero"}, "reset 'zero'"),
        ({"reset_timing": "next_step"}, "reset timing 'next_step'"),
        ({"spike_at": "above"}, "does not fire itself"),
    ],
)
def test_counts_that_no_clause_has_are_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(ExportError, match=rf"layer n: several spikes per step with .*{words}.*--float-only"):
        export.quantize(tools_network("lif"), calibration=np.ones((5, 1, 8), np.int32), reading=reading(**change))


def test_a_cuba_lif_that_fires_at_its_threshold_has_integers() -> None:
    given = export.Reading(dt=1e-4, scheme="euler", reset="zero", spike_at="threshold")
    spikes = (np.random.default_rng(2).random((40, 3, 8)) < 0.4).astype(np.int32)
    program = export.quantize(tools_network("cuba_lif"), calibration=spikes.transpose(1, 0, 2), reading=given)
    assert program.populations[0].options["fires"] == "at"
    assert verify(program, spikes, engines=("reference", "emulator", "onnx")).equal
    assert export.quantize(quantized_nir(program)) == program


def test_a_damaged_limit_in_a_file_is_one_line() -> None:
    graph = quantized_nir(
        export.quantize(tools_network("lif"), calibration=np.ones((5, 9, 8), np.int32), reading=reading())
    )
    assert isinstance(graph, nir.NIRGraph)
    graph.nodes["n"].metadata["max_spikes"] = "7"
    with pytest.raises(ExportError, match="max_spikes in its metadata is '7'; allowed: 15, 31, 255"):
        export.quantize(graph)


def test_readers_of_onnx_files_accept_every_operator_of_the_clauses() -> None:
    for model in MODELS:
        for options in ({"fires": "at"}, {"fires": "at", "reset_at": "next"}, several("up_to_31")):
            for form in ("scan", "step"):
                refuse_foreign_parts(onnx_model(single(model, **options), form))
