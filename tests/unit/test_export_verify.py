"""Verification: what it compares, what it finds, and where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from export.errors import ExportError
from export.verification import engines
from export.verification.certificate import certificate, read_certificate, write_certificate
from export.verification.verify import describe, verify
from hardware import (
    Emulator,
    InputError,
    InputFormat,
    Layer,
    Program,
    RuntimeMissing,
    Synapses,
    Trace,
    content_hash,
    emulate,
)
from hardware.neurons import brf
from hardware.random_programs import random_inputs, random_program


def brf_program(seed: int = 0, size: int = 12) -> Program:
    """A resonator network in the style of the ECG task: recurrent BRF layer, leaky-integrator readout."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0.03, 0.3, size)
    damping = 0.01 * rng.uniform(0.1, 1.0, size)
    full = np.full(size, 1, np.int32)
    hidden = Layer(
        name="hidden0",
        model="brf",
        input=Synapses(rng.integers(-127, 128, (size, 4)).astype(np.int8), 4),
        recurrent=Synapses(rng.integers(-127, 128, (size, size)).astype(np.int8), 2),
        bias=np.zeros(size, np.int32),
        parameters={
            "C": np.floor((np.sqrt(1 - turn**2) - damping) * 4096).astype(np.int32),
            "S": np.floor(turn * 4096).astype(np.int32),
            "D": 655 * full,
            "R": 3686 * full,
            "TH": 1500 * full,
            "J": 1500 * full,
        },
        shifts={"K": 12, "Kd": 16, "KR": 12},
    )
    readout = Layer(
        name="readout",
        model="li",
        input=Synapses(rng.integers(-127, 128, (3, size)).astype(np.int8), 3),
        recurrent=None,
        bias=np.zeros(3, np.int32),
        parameters={"A": np.full(3, 3900, np.int32)},
        shifts={"K": 12},
    )
    return Program.chain((hidden, readout), InputFormat(4))


def spikes_in(seed: int = 0, steps: int = 80, batch: int = 5) -> np.ndarray:
    return (np.random.default_rng(seed).random((steps, batch, 4)) < 0.2).astype(np.uint8)


def floored_brf(n, states, spikes_before, drive):
    """BRF whose v floors where the specification rounds toward zero."""
    (u_new, _, q_new), z = brf(n, states, spikes_before, drive)
    u, v, q = states
    d = np.maximum(0, n["C"] - (np.abs(q) * n["D"] >> n["Kd"]) * np.sign(q))
    v_new = ((u * n["S"]) >> n["K"]) + ((v * d) >> n["K"])
    return (u_new, np.clip(v_new, -(2**23) + 1, 2**23 - 1), q_new), z


class FlooringEmulator:
    """A copy of the emulator with the wrong shift."""

    name = "flooring"

    def run(self, program: Program, inputs: np.ndarray, record) -> Trace:
        return Emulator(program, steps={"brf": floored_brf}, engine=self.name).run(inputs, record)


class Altered:
    """The emulator, with one integer of its trace changed afterwards."""

    name = "altered"

    def __init__(self, key: str, where: tuple[int, int, int]) -> None:
        self.key, self.where = key, where

    def run(self, program: Program, inputs: np.ndarray, record) -> Trace:
        trace = emulate(program, inputs, record)
        arrays = {name: value.copy() for name, value in trace.arrays().items()}
        arrays[self.key][self.where] += 1
        return Trace(
            engine=self.name,
            output=arrays["output"],
            spikes={name[7:]: value for name, value in arrays.items() if name.startswith("spikes/")},
            states={name: value for name, value in arrays.items() if name != "output" and name[:7] != "spikes/"},
        )


class Forgetful:
    """An engine that returns no states."""

    def run(self, program: Program, inputs: np.ndarray, record) -> Trace:
        return emulate(program, inputs)


def integers(program: Program, steps: int, samples: int) -> int:
    per_step = sum(layer.size * (len(layer.spec.states) + layer.spec.spiking) for layer in program.layers)
    return steps * samples * (per_step + program.output.size)


def test_all_engines_agree_and_every_integer_is_counted() -> None:
    program, inputs = brf_program(), spikes_in()
    result = verify(program, inputs, ("emulator", "onnx"))
    assert result.equal
    assert result.first_divergence is None
    assert {pair.engine: pair.compared for pair in result.pairs} == {
        "onnx": integers(program, 80, 5),
        "reference": integers(program, 80, 2),
    }
    assert all(pair.spikes > 100 for pair in result.pairs)  # a silent network would prove little
    assert {pair.engine: pair.samples for pair in result.pairs} == {"onnx": (0, 1, 2, 3, 4), "reference": (0, 4)}


def test_a_floor_in_place_of_a_shift_toward_zero_is_found_and_located() -> None:
    program, inputs = brf_program(), spikes_in()
    result = verify(program, inputs, ("emulator", FlooringEmulator()))
    assert not result.equal
    right, wrong = emulate(program, inputs, "all"), FlooringEmulator().run(program, inputs, "all")
    different = right.states["v/hidden0"] != wrong.states["v/hidden0"]
    step = int(np.argmax(different.any(axis=(1, 2))))
    sample, neuron = (int(i) for i in np.argwhere(different[step])[0])
    pair = next(pair for pair in result.pairs if pair.engine == "flooring")
    found = pair.first_divergence
    assert found is not None
    assert (found.layer, found.state, found.step, found.sample, found.neuron) == ("hidden0", "v", step, sample, neuron)
    assert found.value_a == right.states["v/hidden0"][step, sample, neuron]
    assert found.value_b == wrong.states["v/hidden0"][step, sample, neuron]
    assert found.value_a - found.value_b == 1  # the floor of a negative lies one below
    assert found.clause == "FP-3.1"
    text = str(describe(pair))
    for part in ("hidden0", "step", "neuron", str(found.value_a), str(found.value_b), "FP-3.1", "flooring"):
        assert part in text
    assert next(pair for pair in result.pairs if pair.engine == "reference").equal


@pytest.mark.parametrize(
    ("key", "state"),
    [("u/hidden0", "u"), ("v/hidden0", "v"), ("q/hidden0", "q"), ("spikes/hidden0", "spikes"), ("output", "output")],
)
@pytest.mark.parametrize("memory_bytes", [2**29, 1], ids=["at once", "one sample at a time"])
def test_a_single_wrong_integer_is_found_wherever_it_is(key: str, state: str, memory_bytes: int) -> None:
    program, inputs = brf_program(), spikes_in(batch=3)
    sample = 2 if memory_bytes > 1 else 0  # run one at a time, the change is in every part; the first is reported
    result = verify(program, inputs, [Altered(key, (79, sample, 1))], memory_bytes=memory_bytes)
    found = next(pair for pair in result.pairs if pair.engine == "altered")
    assert found.differing == (1 if memory_bytes > 1 else 3)
    assert found.first_divergence is not None
    d = found.first_divergence
    assert (d.state, d.step, d.sample, d.neuron, d.value_b - d.value_a) == (state, 79, sample, 1, 1)


def test_memory_bound_and_jobs_change_neither_result_nor_samples() -> None:
    program, inputs = brf_program(), spikes_in()
    whole = verify(program, inputs, ("onnx",))
    for memory, jobs in ((1, 1), (2**29, 2)):
        other = verify(program, inputs, ("onnx",), memory_bytes=memory, jobs=jobs)
        for a, b in zip(whole.pairs, other.pairs, strict=True):
            assert (a.engine, a.samples, a.compared, a.differing) == (b.engine, b.samples, b.compared, b.differing)


def test_the_first_divergence_is_the_same_in_parts_and_in_processes() -> None:
    program, inputs = brf_program(), spikes_in()
    found = []
    for memory, jobs in ((2**29, 1), (1, 1), (2**29, 2)):
        first = verify(program, inputs, [FlooringEmulator()], memory_bytes=memory, jobs=jobs).first_divergence
        assert first is not None
        found.append(first[1])
    assert found[0] == found[1] == found[2]


def test_teacher_forcing_confines_a_wrong_step_to_where_it_is_wrong() -> None:
    program, inputs = brf_program(), spikes_in()
    onnx = verify(program, inputs, ("onnx",), teacher_forced=True)
    assert onnx.equal
    assert {pair.engine for pair in onnx.pairs} == {"onnx", "reference"}
    flooring = engines.Engine(name="flooring", run=FlooringEmulator().run, step=flooring_step)
    forced = verify(program, inputs, [flooring], teacher_forced=True).pairs[0]
    free = verify(program, inputs, [flooring]).pairs[0]
    assert 0 < forced.differing < free.differing
    assert forced.first_divergence == free.first_divergence


def flooring_step(program, inputs, previous):
    emulator = Emulator(program, steps={"brf": floored_brf})
    trace = emulator.run(inputs[np.newaxis], "all", engines._state(previous))
    return engines._as_one_step(trace)


def test_teacher_forced_equals_the_oracle_on_random_programs() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        program = random_program(rng, layers=(1, 3), sizes=(1, 6))
        result = verify(program, random_inputs(rng, program, 10, 2), ("onnx",), teacher_forced=True)
        assert result.equal, f"seed {seed}: {result.rows()}"


def test_an_engine_without_single_steps_cannot_be_teacher_forced() -> None:
    with pytest.raises(ExportError, match="cannot start from given states"):
        verify(brf_program(), spikes_in(), [FlooringEmulator()], teacher_forced=True)


def test_an_engine_that_hides_its_states_is_refused() -> None:
    with pytest.raises(ExportError, match="returned no 'q/hidden0'"):
        verify(brf_program(), spikes_in(), [Forgetful()])


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int, str]] = []
    verify(brf_program(), spikes_in(), ("onnx",), progress=lambda *item: seen.append(item))
    assert seen[-1][0] == seen[-1][1] == 7
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_bad_requests_get_one_line() -> None:
    program, inputs = brf_program(), spikes_in()
    with pytest.raises(ExportError, match="did you mean 'onnx'"):
        verify(program, inputs, ("onx",))
    with pytest.raises(ExportError, match="nothing to compare"):
        verify(program, inputs, ("emulator",), sample_limits={"reference": 0})
    with pytest.raises(ExportError, match="no engine"):
        verify(program, inputs, (object(),))  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="jobs is 0"):
        verify(program, inputs, jobs=0)
    with pytest.raises(ExportError, match="two different engines are called 'emulator'"):
        verify(program, inputs, (engines.Engine("emulator", FlooringEmulator().run),))
    with pytest.raises(ExportError, match="two different engines"):
        verify(program, inputs, (FlooringEmulator(), engines.Engine("flooring", emulate)))
    with pytest.raises(ExportError, match="another process"):
        verify(program, inputs, (engines.Engine("local", lambda p, x, r: emulate(p, x, r)),), jobs=2)
    with pytest.raises(InputError, match="shape"):
        verify(program, inputs[:, :, :3], ("onnx",))


def test_a_missing_engine_names_its_install_line() -> None:
    absent = engines.Engine("absent", emulate, install="pip install absent", probe=lambda: "module absent is not there")
    with pytest.raises(RuntimeMissing, match="pip install absent") as caught:
        verify(brf_program(), spikes_in(), [absent])
    assert "\n" not in str(caught.value)


def test_status_lists_every_engine_with_versions_or_install_line() -> None:
    rows = {row["name"]: row for row in engines.status()}
    assert list(rows) == ["reference", "emulator", "onnx", "lava"]
    assert rows["onnx"]["available"]
    assert rows["onnx"]["versions"]["onnxruntime"].count(".") == 2
    assert rows["lava"]["available"] or "hypr lava install" in rows["lava"]["install"]


def test_the_certificate_says_what_was_compared_and_what_it_does_not_say(tmp_path: Path) -> None:
    program, inputs = brf_program(), spikes_in()
    path = tmp_path / "inputs.npz"
    np.savez(path, input_spikes=inputs)
    result = verify(program, inputs, ("onnx",))
    target = tmp_path / "certificate.json"
    write_certificate(certificate(result, {"inputs.npz": path}, "random spikes"), target)
    content = read_certificate(target)
    assert content["equal"] is True
    assert "silicon was not checked" in content["statement"]
    assert "Lava 0.10" in content["statement"]
    assert content["program_sha256"] == content_hash(program)
    assert len(content["files"]["inputs.npz"]) == 64
    assert content["inputs"] == {"name": "random spikes", "sha256": result.inputs_sha256, "shape": [80, 5, 4]}
    assert content["versions"]["onnx"]["onnxruntime"]
    by_name = {item["engine"]: item for item in content["comparisons"]}
    assert by_name["reference"]["sample_ranges"] == [[0, 0], [4, 4]]
    assert by_name["onnx"]["sample_ranges"] == [[0, 4]]
    assert by_name["onnx"]["integers_compared"] == integers(program, 80, 5)


def test_the_certificate_of_a_difference_says_so(tmp_path: Path) -> None:
    result = verify(brf_program(), spikes_in(), [FlooringEmulator()])
    content = certificate(result)
    assert content["equal"] is False
    assert "differs" in content["statement"]
    first = content["comparisons"][0]["first_divergence"]
    assert first["value_against"] - first["value_engine"] == 1
    assert json.loads(json.dumps(content)) == content
    # A further check that fails is a difference too.
    equal = verify(brf_program(), spikes_in(), ("onnx",))
    assert certificate(equal, checks={"quantized.nir gives this program": False})["equal"] is False


def test_damaged_certificates_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    for content in ("{", "[]", '{"format": "hypr-certificate", "format_version": 99}'):
        path.write_text(content)
        with pytest.raises(ExportError) as caught:
            read_certificate(path)
        assert "\n" not in str(caught.value)


def test_inputs_hash_depends_on_values_and_shape_not_on_type() -> None:
    program, inputs = brf_program(), spikes_in()
    same = verify(program, inputs.astype(np.int64), ("onnx",)).inputs_sha256
    assert same == verify(program, inputs.astype(bool), ("onnx",)).inputs_sha256
    assert same != verify(program, inputs[:, ::-1], ("onnx",)).inputs_sha256
