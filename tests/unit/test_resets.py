"""Resets of FP-3.7: what files and hashes say of them, which Process and kernels run them, what bounds hold, and
the way from a tool's network into integers and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import export
from export.errors import ExportError
from export.interchange import float_engine
from export.interchange.discretise import discretise
from export.interchange.graph import read, write
from export.quantization.dequantize import integer_steps, quantized_nir
from export.verification.verify import verify
from hardware import Program, ProgramBuilder, ProgramError, emulate, load, reference, save
from hardware.lava.assignment import assign
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program
from hardware.ranges import analyse
from tests.unit.hypr_triton import interpreted

TIMINGS = {"same_step": "same", "next_step": "next", "carried_over": "carried"}
MODELS = {"lif": {"A": 3500, "TH": 400}, "cuba_lif": {"du": 500, "dv": 300, "vth": 400}}


def single(model: str, **options: str) -> Program:
    graph = ProgramBuilder()
    graph.input("input", 3)
    shifts = {"K": 12} if model == "lif" else {}
    graph.population("out", 3, model, MODELS[model], shifts, options=options, bias=np.array([5, -5, 0], np.int32))
    graph.project("input", "out", np.array([[9, 2, -7], [4, 4, 4], [-3, 8, 8]]), exponent=4, name="layer0.input")
    return graph.build()


@pytest.mark.parametrize("model", MODELS)
def test_an_option_at_its_default_is_not_written_and_leaves_version_and_hash(model: str) -> None:
    plain = single(model)
    named = single(model, reset="zero", reset_at="same")
    assert plain.spec_version == named.spec_version == "1.0" and plain.content_hash == named.content_hash
    assert plain.description[0]["layers"][0]["options"] == ({"reset": "zero"} if model == "lif" else {})


@pytest.mark.parametrize("model", MODELS)
def test_every_other_reset_is_of_version_2_1_and_has_a_hash_of_its_own(model: str, tmp_path: Path) -> None:
    changes = [{"reset_at": "next"}, {"reset_at": "carried"}, {"reset": "none"}]
    changes += [{"reset": "subtract", "reset_at": at} for at in ("next", "carried")]
    changes += [{"reset": "subtract"}] if model == "cuba_lif" else []
    programs = [single(model, **options) for options in changes]
    for program, options in zip(programs, changes, strict=True):
        assert program.spec_version == "2.1"
        written = program.description[0]["populations"][0]["options"]
        assert written == ({"reset": "zero", **options} if model == "lif" else options)
        save(program, tmp_path / "p.npz")
        assert load(tmp_path / "p.npz") == program
        assert "FP-3.7" in str(interpreted("hypr.kernels.gpu.integer").why_in_torch(program))
    assert len({item.content_hash for item in [single(model), *programs]}) == len(programs) + 1


def test_random_graphs_with_resets_keep_every_integer_in_their_files(tmp_path: Path) -> None:
    versions = set()
    for seed in range(40):
        made = random_graph(np.random.default_rng(seed), resets=True)
        plain = random_graph(np.random.default_rng(seed))
        save(made, tmp_path / "p.npz")
        assert load(tmp_path / "p.npz") == made
        assert made.projections[0].synapses.shape == plain.projections[0].synapses.shape
        versions.add(made.spec_version)
        assert plain.spec_version in ("1.0", "2.0")
    assert versions >= {"2.0", "2.1"}
    assert {random_program(np.random.default_rng(seed)).spec_version for seed in range(40)} == {"1.0"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("at", ["next", "carried"])
def test_no_reset_at_another_time_is_refused(model: str, at: str) -> None:
    with pytest.raises(ProgramError, match=rf"reset 'none' has no reset_at '{at}' \(FP-3.7\)"):
        single(model, reset="none", reset_at=at)


def test_lavas_own_lif_runs_none_of_them() -> None:
    assert assign(single("cuba_lif"))[0].lavas_own
    for options, reason in (
        ({"reset": "subtract"}, "reset by subtraction"),
        ({"reset": "none"}, "no reset"),
        ({"reset_at": "next"}, "reset at the next step"),
        ({"reset_at": "carried"}, "carried-over reset"),
    ):
        found = assign(single("cuba_lif", **options))[0]
        assert (found.process, found.lavas_own, found.reason) == ("CubaLIF", False, reason)


def test_states_stay_within_what_is_proved_of_them() -> None:
    checked = 0
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        program = random_graph(rng, models=("lif", "cuba_lif"), resets=True, border=False)
        trace = reference.run(program, random_inputs(rng, program, 60, 2), "all")
        for item in analyse(program).states:
            value = trace.states[f"{item.state}/{item.layer}"]
            proved = item.high < 2**23
            assert np.all(value.max((0, 1))[proved] <= item.high[proved]), (seed, item.layer)
            proved = item.low > -(2**23)
            assert np.all(value.min((0, 1))[proved] >= item.low[proved]), (seed, item.layer)
            checked += int(proved.sum())
    assert checked > 500


def test_a_late_subtraction_reaches_below_its_drive() -> None:
    graph = ProgramBuilder()
    graph.input("x", 1)
    graph.population("out", 1, "lif", {"A": 0, "TH": 100}, {"K": 12}, options={"reset": "subtract", "reset_at": "next"})
    graph.project("x", "out", [[127]])
    program = graph.build()
    trace = emulate(program, np.array([1, 0, 1], np.int32).reshape(3, 1, 1), "all")
    assert trace.states["u/out"].ravel().tolist() == [127, -100, 127]
    state = analyse(program).states[0]
    assert (int(state.low[0]), int(state.high[0])) == (-100, 127)


def tools_network(kind: str, seed: int = 0) -> nir.NIRGraph:
    rng = np.random.default_rng(seed)
    size = 6
    tau = rng.uniform(3e-4, 2e-3, size)
    one, zero = np.ones(size), np.zeros(size)
    if kind == "lif":
        neuron: Any = nir.LIF(tau=tau, r=tau / 1e-4, v_leak=zero, v_threshold=one, v_reset=zero)
    else:
        syn = rng.uniform(3e-4, 2e-3, size)
        neuron = nir.CubaLIF(
            tau_syn=syn, tau_mem=tau, r=tau / 1e-4, v_leak=zero, v_threshold=one, v_reset=zero, w_in=syn / 1e-4
        )
    nodes = {
        "input": nir.Input(input_type={"input": np.array([8])}),
        "w": nir.Affine(weight=rng.normal(0.1, 0.3, (size, 8)), bias=zero),
        "n": neuron,
        "output": nir.Output(output_type={"output": np.array([size])}),
    }
    return nir.NIRGraph(nodes=nodes, edges=[("input", "w"), ("w", "n"), ("n", "output")])


CASES = [
    (kind, how, timing)
    for kind in ("lif", "cuba_lif")
    for timing in TIMINGS
    for how in (("zero", "subtract", "none") if timing == "same_step" else ("zero", "subtract"))
]


def conventions(how: str, timing: str, **more: Any) -> export.Reading:
    return export.Reading(dt=1e-4, scheme="euler", reset=how, reset_timing=timing, **more)


@pytest.mark.parametrize(("kind", "how", "timing"), CASES)
def test_a_tools_network_comes_into_integers_and_out_again(kind: str, how: str, timing: str, tmp_path: Path) -> None:
    graph, reading = tools_network(kind), conventions(how, timing)
    spikes = (np.random.default_rng(1).random((60, 4, 8)) < 0.3).astype(np.int32)
    program = export.quantize(graph, calibration=spikes.transpose(1, 0, 2), reading=reading)
    population = program.populations[0]
    rewritten = (kind, how, timing) == ("lif", "subtract", "next_step")  # a self-connection says it since 1.0
    dropped = timing == "carried_over" and how == "zero"  # nothing is left above the threshold
    at = "same" if rewritten or dropped else TIMINGS[timing]
    assert (population.options["reset"], population.options["reset_at"]) == (how, at)
    result = verify(program, spikes, engines=("reference", "emulator", "onnx"))
    assert result.equal
    write(quantized_nir(program, graph), tmp_path / "q.nir")
    again = export.quantize(read(tmp_path / "q.nir"))
    assert again.content_hash == program.content_hash
    exact, real = integer_steps(program), discretise(graph, reading)
    outputs = [float_engine.run(network, spikes).output for network in (exact, real)]
    integers = emulate(program, spikes).output
    assert real.populations[0].options["reset"] == how and integers.sum() > 50
    assert np.mean(outputs[0] != integers) < 0.05 and np.mean(outputs[1] != integers) < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spike_at": "threshold"}, "spikes at its threshold"),
        ({"v_reset": 0.2}, "v_reset other than 0"),
        ({"lag": 1}, "bias that is absent at the first step"),
    ],
)
def test_a_carried_over_reset_that_no_clause_has_is_refused(change: dict[str, Any], words: str) -> None:
    graph = tools_network("lif")
    shift = change.pop("v_reset", 0.0)
    graph.nodes["n"].v_reset = graph.nodes["n"].v_reset + (1.5 if shift else 0.0)
    graph.nodes["w"].bias = np.full(6, 0.1)
    reading = conventions("zero" if shift else "subtract", "carried_over", **change)
    with pytest.raises(ExportError, match=f"layer n: a carried-over reset with a.*{words}.*--float-only"):
        export.quantize(graph, calibration=np.ones((5, 1, 8), np.int32), reading=reading)


def test_the_timing_of_a_quantized_file_may_not_be_contradicted(tmp_path: Path) -> None:
    spikes = np.ones((20, 1, 8), np.int32)
    program = export.quantize(
        tools_network("cuba_lif"), calibration=spikes.transpose(1, 0, 2), reading=conventions("subtract", "next_step")
    )
    graph = quantized_nir(program)
    with pytest.raises(ExportError, match="reset_timing 'same_step' contradicts 'next_step' in the file's metadata"):
        export.quantize(graph, reading=export.Reading(reset_timing="same_step"))
    graph.nodes["n"].metadata["reset_timing"] = "sometimes"
    with pytest.raises(ExportError, match="reset_timing in its metadata is 'sometimes'; allowed: same_step"):
        export.quantize(graph)


def test_other_options_of_a_population_are_refused() -> None:
    program = single("lif")
    with pytest.raises(ProgramError, match="option reset_at must be one of same, next, carried, got 'later'"):
        replace(program.populations[0], options={"reset": "zero", "reset_at": "later"})
