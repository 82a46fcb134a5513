"""Programs: what is valid, what is refused and how, and that files keep every integer."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hardware
from hardware import Decision, InputFormat, Layer, Program, ProgramError, Synapses
from hardware.program_file import content_hash, load, save
from hardware.random_programs import random_program


def brf_layer(n: int = 3, fan_in: int = 2) -> Layer:
    values = {"C": 4000, "S": 160, "D": 12, "R": 3686, "TH": 4096, "J": 4096}
    return Layer(
        name="hidden0",
        model="brf",
        input=Synapses(np.ones((n, fan_in), np.int8), 4),
        recurrent=Synapses(np.ones((n, n), np.int8), 2),
        bias=np.zeros(n, np.int32),
        parameters={name: np.full(n, value, np.int32) for name, value in values.items()},
        shifts={"K": 12, "Kd": 10, "KR": 12},
    )


def li_layer(n: int = 2, fan_in: int = 3) -> Layer:
    return Layer(
        "readout",
        "li",
        Synapses(np.ones((n, fan_in), np.int8), 3),
        None,
        np.zeros(n, np.int32),
        {"A": np.full(n, 3900, np.int32)},
        {"K": 12},
    )


def program() -> Program:
    return Program.chain((brf_layer(), li_layer()), InputFormat(2))


def with_hidden(**changes: Any) -> Program:
    return Program.chain((replace(brf_layer(), **changes), li_layer()), InputFormat(2))


def with_parameter(name: str, values: np.ndarray) -> Program:
    return with_hidden(parameters={**brf_layer().parameters, name: values})


NOT_A_STRING: Any = 1.0

REFUSED = {
    "no layers": (lambda: Program.chain((), InputFormat(2)), "at least one layer"),
    "weights of the wrong type": (lambda: with_hidden(input=Synapses(np.ones((3, 2), np.int16), 4)), "int8"),
    "weights of the wrong shape": (lambda: with_hidden(input=Synapses(np.ones((3, 5), np.int8), 4)), "(N, 2)"),
    "recurrent weights not square": (lambda: with_hidden(recurrent=Synapses(np.ones((3, 2), np.int8), 4)), "(3, 3)"),
    "weight -128": (
        lambda: with_hidden(input=Synapses(np.full((3, 2), -128, np.int8), 4)),
        "-127 to 127, got -128 at [0, 0]",
    ),
    "weight wider than declared": (lambda: with_hidden(input=Synapses(np.full((3, 2), 8, np.int8), 4, 4)), "-7 to 7"),
    "exponent": (lambda: with_hidden(input=Synapses(np.ones((3, 2), np.int8), 24)), "0 to 23"),
    "bias beyond a state": (lambda: with_hidden(bias=np.full(3, 2**23, np.int32)), "got 8388608 at neuron 0"),
    "float parameter": (lambda: with_parameter("TH", np.full(3, 4096.0)), "int32"),
    "negative parameter": (lambda: with_parameter("TH", np.array([1, -1, 1], np.int32)), "got -1 at neuron 1"),
    "decay above one": (lambda: with_parameter("C", np.full(3, 4097, np.int32)), "0 to 4096"),
    "unstable resonator": (lambda: with_parameter("C", np.full(3, 4096, np.int32)), "FP-5.1"),
    "missing parameter": (lambda: with_hidden(parameters={}), "parameter C is missing"),
    "unknown parameter": (lambda: with_parameter("Q", np.zeros(3, np.int32)), "parameter Q is unknown"),
    "missing shift": (lambda: with_hidden(shifts={"K": 12, "Kd": 10}), "KR is missing"),
    "shift out of range": (lambda: with_hidden(shifts={"K": 12, "Kd": 32, "KR": 12}), "0 to 31"),
    "bool shift": (lambda: with_hidden(shifts={"K": 12, "Kd": True, "KR": 12}), "must be an int"),
    "unknown option": (lambda: with_hidden(options={"reset": "zero"}), "option reset is unknown"),
    "unknown model": (lambda: with_hidden(model="izhikevich"), "unknown model"),
    "bad name": (lambda: with_hidden(name="a/b"), "letters"),
    "same name twice": (lambda: with_hidden(name="readout"), "occurs 2 times"),
    "non-spiking hidden layer": (
        lambda: Program.chain((replace(li_layer(2, 2), name="x"), li_layer(2, 2)), InputFormat(2)),
        "last layer",
    ),
    "current beyond 32 bits": (lambda: with_hidden(input=Synapses(np.full((3, 2), 127, np.int8), 23)), "FP-2.7"),
    "inputs upside down": (lambda: Program.chain((brf_layer(), li_layer()), InputFormat(2, 1, 0)), "swap"),
    "unknown decision": (lambda: replace(program(), decision=Decision("vote")), "rules are"),
    "spike count of a readout": (lambda: replace(program(), decision=Decision("spike_count")), "spiking output"),
    "multiplier zero": (lambda: replace(program(), decision=Decision("sum", 0, np.zeros(2, np.int32))), "multiplier"),
    "metadata not strings": (lambda: replace(program(), metadata=dict.fromkeys(["dt"], NOT_A_STRING)), "strings"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_program_is_refused_in_one_line(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(ProgramError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_cannot_change_after_validation() -> None:
    weight = np.ones((3, 2), np.int8)
    made = with_hidden(input=Synapses(weight, 4))
    weight[:] = -128
    assert made.layers[0].input.weight.max() == made.layers[0].input.weight.min() == 1
    with pytest.raises(ValueError, match="read-only"):
        made.layers[0].parameters["TH"][0] = -1


def test_files_keep_every_integer(tmp_path: Path) -> None:
    for seed in range(60):
        made = random_program(np.random.default_rng(seed))
        digest = save(made, tmp_path / "p.npz")
        read = load(tmp_path / "p.npz")
        assert content_hash(read) == digest == content_hash(made)
        assert read == made, f"seed {seed}"
        assert read.metadata == made.metadata
        assert [la.options for la in read.layers] == [la.options for la in made.layers]


def test_equal_programs_give_equal_bytes_and_metadata_stays_outside_the_hash(tmp_path: Path) -> None:
    save(program(), tmp_path / "a")
    save(program(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert content_hash(replace(program(), metadata={"dt": "0.01"})) == content_hash(program())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]  # no temporary file left


def test_every_changed_integer_changes_the_hash() -> None:
    base = content_hash(program())
    for name in brf_layer().parameters:
        values = brf_layer().parameters[name].copy()
        values[1] -= 1
        assert content_hash(with_parameter(name, values)) != base, name
    assert content_hash(with_hidden(bias=np.array([0, 0, 1], np.int32))) != base
    assert content_hash(with_hidden(shifts={"K": 12, "Kd": 11, "KR": 12})) != base
    assert content_hash(with_hidden(recurrent=None)) != base
    assert content_hash(replace(program(), decision=Decision("sum"))) != base
    assert content_hash(Program.chain((brf_layer(), li_layer()), InputFormat(2, 0, 2))) != base


def rewrite(path: Path, name: str, content: bytes | None = None, header: dict[str, object] | None = None) -> None:
    """Change one member (or the header's JSON) of a saved file, with valid checksums."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    if header is not None:
        head = members["header.npy"]
        start = head.index(b"{", 80)
        data = {**json.loads(head[start:]), **header}
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.frombuffer(json.dumps(data).encode(), np.uint8), version=(1, 0))
        members["header.npy"] = stream.getvalue()
    if content is not None:
        members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in members.items():
            archive.writestr(key, value)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=True)
    return stream.getvalue()


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(ProgramError) as caught:
        load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    assert_refused(path, "cannot be read")
    save(program(), path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path, "damaged or truncated")
    changed = bytearray(whole)
    changed[len(whole) // 3] ^= 1
    path.write_bytes(bytes(changed))
    assert_refused(path, str(path))


def test_edited_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    other = np.array([4096, 4096, 4095], np.int32)
    edits = {
        "SHA-256": lambda: rewrite(path, "layer0.parameter.TH.npy", npy(other)),
        "newer": lambda: rewrite(path, "", header={"format_version": 3}),
        "header is not": lambda: rewrite(path, "", header={"format": "zip"}),
        "got ": lambda: rewrite(path, "layer0.parameter.TH.npy", npy(other.astype(object))),
        "unknown member": lambda: rewrite(path, "layer9.bias.npy", npy(other)),
        "needs ": lambda: rewrite(path, "layer0.bias.npy", npy(other).replace(b"(3,)", b"(9,)")),
        "content does not match": lambda: rewrite(path, "", header={"content_sha256": None}),
        "not a valid": lambda: rewrite(path, "", header={"program": 3}),
    }
    for words, edit in edits.items():
        save(program(), path)
        edit()
        assert_refused(path, words)


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save(program(), path)
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
            assert read == program(), f"seed {seed}"  # only unused bytes of the archive were hit


def test_writing_into_a_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="cannot be written"):
        hardware.save(program(), tmp_path / "nowhere" / "p.npz")
