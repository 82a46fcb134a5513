"""After every quantization: what was lost is refused or said, with layer, tensor and fix."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import export
from export.errors import ExportError
from export.interchange.discretise import discretise
from export.interchange.presets import reading_of
from export.interchange.steps import StepInput, StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import DenseWeights
from export.quantization.findings import FINDINGS_KEY, recorded_findings, summary
from hardware import emulate
from hardware.models import STATE_MAX
from hardware.program import Program
from tests.paths import cases_folder
from tests.random_networks import random_network


def _network(kind: str = "alif", size: int = 8, inputs: int = 8, seed: int = 0, **changes: float) -> StepNetwork:
    rng = np.random.default_rng(seed)
    values: dict[str, float] = {
        "alif": {"alpha": 0.9, "rho": 0.95, "beta": 0.5, "b0": 0.1},
        "lif": {"alpha": 0.9, "theta": 0.5, "gain": 1.0, "v_reset": 0.0, "leak": 0.0},
        "li": {"kappa": 0.9, "gain": 1.0, "leak": 0.0},
    }[kind]
    bias = np.full(size, changes.pop("bias", 0.0))
    low, high, scale = (changes.pop(key, value) for key, value in (("low", 0), ("high", 1), ("scale", 1.0)))
    parameters = {key: np.full(size, changes.get(key, value)) for key, value in values.items()}
    population = StepPopulation("hidden0", kind, bias, parameters, {"reset": "zero"} if kind == "lif" else {})
    weights = DenseWeights(rng.normal(0, 0.7, (size, inputs)))
    rule = "per_step" if kind == "li" else "spike_count"
    return StepNetwork(
        (StepInput("input", inputs, int(low), int(high), float(scale)),),
        (population,),
        (StepProjection("hidden0.input", "input", "hidden0", weights),),
        ("hidden0",),
        1e-3,
        {"rule": rule, "ignore_first": 0},
    )


def _spikes(inputs: int = 8, steps: int = 60, rate: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(7).random((4, steps, inputs)) < rate).astype(np.uint8)


def _warnings(program: Program) -> list[str]:
    found = recorded_findings(program)
    assert found is not None
    return list(found["warnings"])


def _says(program: Program, *patterns: str) -> None:
    lines = _warnings(program)
    for pattern in patterns:
        assert any(re.search(pattern, line) for line in lines), (pattern, lines)


def test_inputs_of_a_wide_range_that_leave_no_weight_are_refused_by_name() -> None:
    network = _network(low=-(2**15), high=2**15, scale=2.0**-15, alpha=0.999)
    with pytest.raises(ExportError, match=r"layer hidden0: all 64 weights of 'weight' round to 0.*narrow the range"):
        export.quantize(network, calibration=_spikes().astype(int) * 2**10)
    allowed = export.quantize(network, calibration=_spikes().astype(int) * 2**10, allow_zero="hidden0.weight")
    assert not allowed.projections[0].synapses.matrix().any()


@pytest.mark.parametrize("bits", [0, 1, 2])
def test_a_network_with_too_few_state_bits_is_refused_or_says_what_is_gone(bits: int) -> None:
    graph = export.read(cases_folder("reports") / "misc" / "std.nir")
    try:
        program = export.quantize(graph, reading=reading_of("nir", dt=1e-3), state_fraction_bits=bits)
    except ExportError as error:
        assert re.search(r"layer \w+.*round to 0", str(error))
    else:
        _says(program, r"layer \w+: .*round to 0")


def test_an_outlier_costs_its_own_row_alone_and_is_said() -> None:
    network = _network()
    matrix = network.projections[0].weights.table().copy()
    matrix[3, 3] = 100.0
    network = replace(network, projections=(replace(network.projections[0], weights=DenseWeights(matrix)),))
    whole = export.quantize(network, calibration=_spikes()).projections[0].synapses.matrix()
    others = np.delete(np.arange(8), 3)
    assert np.count_nonzero(whole[others]) >= 50
    crude = export.quantize(network, calibration=_spikes(), weight_scale="power_of_two", scale_choice="maximum")
    _says(crude, r"layer hidden0: .*'weight'.*outliers")


def test_a_leak_that_12_bits_cannot_hold_gets_more_and_16_that_cannot_are_said() -> None:
    kept = export.quantize(_network("lif", alpha=0.9999), calibration=_spikes())
    k = kept.populations[0].shifts["K"]
    assert k > 12 and np.all(kept.populations[0].parameters["A"] < 2**k)
    plain = export.quantize(_network("lif", alpha=0.9999), calibration=_spikes(), keep_leaks=False)
    _says(plain, r"layer hidden0: 8 neurons lose their leak: 'alpha'.*raise coefficient_bits")
    _says(export.quantize(_network("lif", alpha=1 - 1e-6), calibration=_spikes()), "hidden0: 8 neurons lose their leak")
    never = export.quantize(_network("lif", alpha=1.0), calibration=_spikes())
    assert never.populations[0].shifts["K"] == 12 and not any("leak" in line for line in _warnings(never))


def _resonators(b: float, omega: float, steps: int) -> Program:
    p = {"omega": omega, "b_offset": b, "dt": 0.1, "theta": 1.0, "gamma": 0.9}
    network = _network("li")
    population = replace(
        network.populations[0],
        kind="brf",
        options={"variant": "euler"},
        parameters={key: np.full(8, value) for key, value in p.items()},
    )
    network = replace(network, populations=(population,), decision={"rule": "spike_count", "ignore_first": 0})
    return export.quantize(network, calibration=_spikes(steps=steps))


def test_a_time_constant_far_longer_than_the_sequences_is_said_only_where_they_are_long_enough_to_feel_it() -> None:
    said = r"hidden0: the time constant of 'b_offset', neuron 0, is off by \d+ % \(after \d+ steps \d+ % .* are left"
    _says(_resonators(b=0.002, omega=1.0, steps=4000), said)
    short = _resonators(b=0.002, omega=1.0, steps=60)
    assert not any("time constant" in line for line in _warnings(short))
    found = recorded_findings(short)
    assert found is not None and found["layers"][0]["decays"]["b_offset"]["largest_error"] > 0.25


def test_a_rotation_that_is_gone_is_said_only_where_the_sequences_would_have_turned_by_it() -> None:
    _says(
        _resonators(b=0.5, omega=0.001, steps=2000), "hidden0: 8 values of 'omega' round to 0; raise coefficient_bits"
    )
    short = _resonators(b=0.5, omega=0.001, steps=60)
    assert not any("omega" in line for line in _warnings(short))
    found = recorded_findings(short)
    assert found is not None and found["layers"][0]["zeros"]["omega"] == 8


def test_a_calibration_on_silent_inputs_is_said() -> None:
    _says(export.quantize(_network(), calibration=_spikes() * 0), "all values are 0", "hidden0: no spike")


def test_a_readout_without_a_leak_is_said_before_it_sticks() -> None:
    _says(export.quantize(_network("li", kappa=1.0), calibration=_spikes()), r"hidden0: state 'u' has no leak")


def test_states_that_saturate_on_the_calibration_inputs_are_said() -> None:
    loud = _network("li", kappa=1.0)
    program = export.quantize(loud, calibration=_spikes(steps=400), state_fraction_bits=18)
    assert np.abs(emulate(program, _spikes(steps=400).transpose(1, 0, 2).astype(int), "all").states["u/hidden0"]).max()
    program = export.quantize(loud, calibration=_spikes(steps=500, rate=1.0), state_fraction_bits=19)
    _says(program, r"hidden0: state 'u' saturates on the calibration inputs \(\d+ of \d+ values\)")


@pytest.mark.parametrize(("key", "what"), [("bias", "its bias of"), ("theta", "its threshold")])
def test_what_is_too_large_is_blamed_by_name(key: str, what: str) -> None:
    huge: dict[str, Any] = {key: 1e9}
    network = _network("lif", **huge)
    with pytest.raises(ExportError, match=rf"layer hidden0: ({what}|states).*1e\+09|hidden0: {what}"):
        export.quantize(network, calibration=_spikes())


def test_time_constants_in_the_wrong_unit_are_said_to_be_silent() -> None:
    folder = cases_folder("reports") / "misc"
    inputs = np.load(folder / "x.npz")["input_spikes"].transpose(1, 0, 2)
    graph = export.read(folder / "ms.nir")
    _says(export.quantize(graph, calibration=inputs, reading=reading_of("nir", dt=1e-3)), "no spike.*time constants")


def test_warnings_go_to_the_log_and_a_line_for_each_layer_can_be_had(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="export"):
        program = export.quantize(_network(), calibration=_spikes() * 0)
    assert any("all values are 0" in record.message for record in caplog.records)
    found = recorded_findings(program)
    assert found is not None and FINDINGS_KEY in program.metadata
    assert [line.partition(":")[0] for line in summary(found)] == ["hidden0"]


def _extreme(rng: np.random.Generator) -> tuple[StepNetwork, np.ndarray, dict[str, Any]]:
    """A random network with something far out of the ordinary."""
    arrays = random_network(rng)
    steps = discretise(export.to_nir(arrays, dt=1e-3))
    populations = []
    for item in steps.populations:
        p = dict(item.parameters)
        for key in p:
            if key in ("alpha", "beta", "rho", "kappa", "alpha_syn", "alpha_mem") and rng.random() < 0.4:
                if (item.kind == "alif" and key == "beta") or (item.kind == "se_adlif" and key == "rho"):
                    continue
                p[key] = 1.0 - 10.0 ** rng.uniform(-9, -0.1, item.size)
            elif key in ("theta", "b0") and rng.random() < 0.3:
                p[key] = p[key] * 10.0 ** rng.uniform(-6, 6)
        bias = item.bias * 10.0 ** rng.uniform(-8, 6) if rng.random() < 0.3 else item.bias
        populations.append(replace(item, parameters=p, bias=bias))
    projections = []
    for joint in steps.projections:
        matrix = joint.weights.table() * 10.0 ** (rng.uniform(-7, 4) if rng.random() < 0.4 else 0.0)
        if rng.random() < 0.3 and matrix.size:
            matrix[tuple(rng.integers(0, n) for n in matrix.shape)] *= 10.0 ** rng.uniform(1, 6)
        projections.append(replace(joint, weights=DenseWeights(matrix)))
    steps = replace(steps, populations=tuple(populations), projections=tuple(projections))
    low, high = steps.input_format
    inputs = rng.integers(low, high + 1, (2, 40, steps.input_size)) * (rng.random() < 0.9)
    settings: dict[str, Any] = {"weight_bits": int(rng.integers(2, 9)), "synaptic_bias": "steady_state"}
    if rng.random() < 0.5:
        settings["weight_scale"] = str(rng.choice(["power_of_two", "per_layer", "per_row"]))
    if rng.random() < 0.3:
        settings["state_fraction_bits"] = int(rng.integers(0, 23))
    if rng.random() < 0.3:
        settings["keep_leaks"] = False
    return steps, inputs, settings


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_extreme_networks_lose_nothing_in_silence(count: int) -> None:
    """No tensor that is all 0, no leak that is gone, no state at its limit without a refusal or a warning by name."""
    seen = dict.fromkeys(("refused", "zero bias", "leak", "saturated", "quiet"), 0)
    for seed in range(count):
        rng = np.random.default_rng([20, seed])
        network, inputs, settings = _extreme(rng)
        try:
            program = export.quantize(network, calibration=inputs, **settings, log=False)
        except ExportError as error:
            assert re.search(r"layer |calibration|overflows|contract", str(error)), f"seed {seed}: {error}"
            seen["refused"] += 1
            continue
        _check_nothing_silent(seed, network, program, inputs, seen)
    assert all(found >= count // 100 for found in seen.values()), seen


def _check_nothing_silent(
    seed: int, network: StepNetwork, program: Program, inputs: np.ndarray, seen: dict[str, int]
) -> None:
    lines = _warnings(program)
    trace = emulate(program, inputs.transpose(1, 0, 2), "all")
    seen["quiet"] += not lines

    def told(name: str, what: str) -> bool:
        return any(f"layer {name}:" in line and re.search(what, line) for line in lines)

    for source, whole in zip(network.populations, program.populations, strict=True):
        for real, item in zip(network.into(source.name), program.into(source.name), strict=True):
            if real.weights.table().any():
                assert item.synapses.matrix().any(), f"seed {seed}: {item.name} is all 0"
        if source.bias.any() and not whole.bias.any():
            seen["zero bias"] += 1
            assert told(source.name, "'bias' round to 0"), f"seed {seed}: bias of {source.name}"
        for key, coefficient in {"alpha": "A", "kappa": "A"}.items():
            if key in source.parameters:
                decay, one = source.parameters[key], 2 ** whole.shifts["K"]
                gone = (decay < 1 - 1e-9) & (whole.parameters[coefficient] == one)
                seen["leak"] += bool(gone.any())
                assert not gone.any() or told(source.name, f"lose their leak: '{key}'"), f"seed {seed}: {source.name}"
        for state in whole.spec.states:
            values = trace.states[f"{state}/{source.name}"]
            if (whole.model, state) != ("cuba_lif", "u") and np.abs(values).max() >= STATE_MAX:
                seen["saturated"] += 1
                assert told(source.name, f"'{state}' saturates"), f"seed {seed}: {state} of {source.name}"


@pytest.mark.parametrize(("reset", "fires", "below"), [("subtract", "at", 0), ("zero", "above", 1)])
def test_a_threshold_that_fires_itself_is_whole_where_it_is_subtracted(reset: str, fires: str, below: int) -> None:
    """FP-3.8; where nothing is subtracted, one unit less says the same in the older clause."""
    file = cases_folder("tools") / "sinabs_12.nir"
    readings = [
        reading_of("sinabs", scheme="exponential", spikes="single", spike_at=at, reset=reset)
        for at in ("threshold", "above")
    ]
    found, plain = (export.quantize(export.read(file), reading=one, state_fraction_bits=10) for one in readings)
    pairs = [(a, b) for a, b in zip(found.populations, plain.populations, strict=True) if a.model == "lif"]
    assert pairs and json.loads(found.metadata[FINDINGS_KEY])["warnings"] == []
    for item, other in pairs:
        assert item.options["fires"] == fires
        assert np.array_equal(item.parameters["TH"], other.parameters["TH"] - below)
