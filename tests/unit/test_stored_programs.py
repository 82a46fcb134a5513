"""Program files of version 0.1 load, keep their content hash and give the same integers, for ever."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

import hardware
from hardware import reference
from tests.stored.reading import V01, arrays, expected, names

PROGRAMS = V01 / "programs"


def start_of(stored: dict[str, np.ndarray]) -> hardware.NetworkState | None:
    """States and spikes that the stored run began with, or None for rest."""
    start = {key.removeprefix("start/"): value for key, value in stored.items() if key.startswith("start/")}
    if not start:
        return None
    spikes = {key.removeprefix("spikes/"): start.pop(key).astype(np.uint8) for key in list(start) if "spikes/" in key}
    return hardware.NetworkState({key: value.astype(np.int32) for key, value in start.items()}, spikes)


def assert_same_integers(found: hardware.Trace, stored: dict[str, np.ndarray], where: str) -> None:
    """Every array of the stored run is in the trace and equal; the trace has no other one."""
    kept = {key for key in stored if key not in ("input_spikes", "decision") and not key.startswith("start/")}
    results = found.arrays()
    assert set(results) == kept, where
    for key in kept:
        assert np.array_equal(results[key], stored[key]), f"{where}: {key}"


@pytest.mark.parametrize("name", names("programs"))
def test_a_stored_program_has_the_content_hash_that_was_recorded(name):
    program = hardware.load(PROGRAMS / f"{name}.npz")
    assert hardware.content_hash(program) == expected()["programs"][name]["content_sha256"]


@pytest.mark.parametrize("name", names("programs"))
def test_a_stored_program_gives_the_integers_that_were_recorded(name):
    program = hardware.load(PROGRAMS / f"{name}.npz")
    stored = arrays(PROGRAMS / f"{name}.trace.npz")
    inputs, start = stored["input_spikes"].astype(np.int32), start_of(stored)
    runs = {"oracle": reference.run(program, inputs, "all", start)}
    runs |= {
        backend: hardware.emulate(program, inputs, "all", start, backend=backend) for backend in ("numpy", "numba")
    }
    for engine, trace in runs.items():
        assert_same_integers(trace, stored, f"{name}, {engine}")
        assert np.array_equal(hardware.classify(program, trace.output), stored["decision"]), (name, engine)


@pytest.mark.parametrize("name", names("programs"))
def test_a_stored_program_goes_on_from_its_own_state(name):
    program = hardware.load(PROGRAMS / f"{name}.npz")
    stored = arrays(PROGRAMS / f"{name}.trace.npz")
    inputs, state = stored["input_spikes"].astype(np.int32), start_of(stored)
    parts = []
    for piece in (inputs[:5], inputs[5:6], inputs[6:]):
        trace = hardware.emulate(program, piece, "all", state)
        state = trace.final_state
        parts.append(trace.arrays())
    for key in parts[0]:
        assert np.array_equal(np.concatenate([part[key] for part in parts]), stored[key]), f"{name}: {key}"


@pytest.mark.parametrize("name", names("programs"))
def test_a_stored_program_is_the_same_after_it_was_saved_again(name, tmp_path):
    program = hardware.load(PROGRAMS / f"{name}.npz")
    digest = hardware.save(program, tmp_path / "again.npz")
    again = hardware.load(tmp_path / "again.npz")
    assert again == program and digest == hardware.content_hash(program)
    assert dict(again.metadata) == dict(program.metadata)


def test_stored_programs_cover_the_contract_of_version_1():
    seen: dict[str, set] = {"model": set(), "bits": set(), "layers": set(), "rule": set(), "low": set()}
    multiplied = started = 0
    for name in names("programs"):
        program = hardware.load(PROGRAMS / f"{name}.npz")
        seen["layers"].add(len(program.layers))
        seen["rule"].add(program.decision.rule)
        seen["low"].add(int(np.sign(program.input.low)))
        multiplied += program.decision.multiplier is not None
        started += any(key.startswith("start/") for key in arrays(PROGRAMS / f"{name}.trace.npz"))
        for layer in program.layers:
            options = layer.spec.written(layer.options)
            seen["model"].add((layer.model, *sorted(options.values()), layer.recurrent is not None))
            seen["bits"].add(layer.input.weight_bits)
    spiking = {("brf",), ("alif",), ("cuba_lif",), ("se_adlif", "current"), ("se_adlif", "previous")}
    spiking |= {("lif", "zero"), ("lif", "subtract")}
    assert seen["model"] == {(*kind, fed_back) for kind in spiking for fed_back in (True, False)} | {("li", False)}
    assert seen["bits"] == set(range(2, 9)) and seen["layers"] == {1, 2, 3} and seen["low"] == {-1, 0, 1}
    assert seen["rule"] == {"per_step", "sum", "spike_count"}
    assert multiplied >= 5 and started >= 5
    recorded = expected()["programs"].values()
    assert sum(entry["spikes"] > 0 for entry in recorded) > 30  # silent networks would prove little
    assert sum(entry["saturated"] > 0 for entry in recorded) > 20


@pytest.mark.parametrize("name", ["brf-recurrent", "random-00", "limit-cuba_lif"])
def test_a_stored_program_that_was_edited_is_refused(name, tmp_path):
    edited = tmp_path / "edited.npz"
    with zipfile.ZipFile(PROGRAMS / f"{name}.npz") as source, zipfile.ZipFile(edited, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry == "layer0.bias.npy":
                array = np.load(io.BytesIO(content))
                array[-1] ^= 1
                content = buffer_of(array)
            target.writestr(entry, content)
    with pytest.raises(hardware.ProgramError, match="SHA-256"):
        hardware.load(edited)


def buffer_of(array: np.ndarray) -> bytes:
    """The bytes of an ``.npy`` file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
