"""What programs, synapses and program files refuse, each in one line that names it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from hardware import Convolution, ProgramBuilder, ProgramError, Sparse, load, save
from tests.mapping_networks import PARAMETERS, ones, recurrent_chain

SPARSE = Sparse.from_matrix(np.array([[1, 0, 2], [0, 3, 0]], np.int8), 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (2, 3, 1)}, "must be"),
        ({"indptr": SPARSE.indptr.astype(np.int64)}, "indptr must be int32"),
        ({"weight": SPARSE.weight[None]}, "weight must be int8 of one dimension"),
        ({"indptr": SPARSE.indptr[:-1]}, "indptr must have 3 elements"),
        ({"indices": SPARSE.indices[:-1]}, "2 indices but 3 weights"),
        ({"weight": np.array([1, 0, 3], np.int8)}, "a zero is stored at synapse 1"),
    ],
)
def test_sparse_synapses_that_are_none(changes, words):
    with pytest.raises(ProgramError, match=words) as caught:
        replace(SPARSE, **changes).check("projection 'a'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "source", "weight", "words"),
    [
        ([0, 1], [0], [1, 1], "equally long lists"),
        ([0.5], [0], [1], "target must be integers"),
        ([0], [3], [1], "source must be 0 to 2"),
        ([-1], [0], [1], "target must be 0 to 1"),
    ],
)
def test_lists_of_synapses_that_are_none(target, source, weight, words):
    with pytest.raises(ProgramError, match=words):
        Sparse.from_coo(np.array(target), np.array(source), np.array(weight), (2, 3), 8)


def test_kernels_that_are_none():
    with pytest.raises(ProgramError, match="kernel of 4 dimensions"):
        Convolution.of(np.ones((2, 2), np.int8), (1, 3, 3))
    kernel = Convolution.of(np.ones((2, 1, 2, 2), np.int8), (1, 3, 3), (1, 1), (0, 0))
    for changes, words in (
        ({"kernel": kernel.kernel.astype(np.int16)}, "kernel must be int8"),
        ({"stride": (1, 1, 1)}, "stride must hold 2 ints"),
        ({"out_shape": (3, 2, 2)}, "out_shape has 3 channels, the kernel 2"),
    ):
        with pytest.raises(ProgramError, match=words):
            replace(kernel, **changes).check("projection 'a'")


def test_a_program_says_what_it_has():
    chain, graph = recurrent_chain([3, 4, 2]), ProgramBuilder()
    for name in ("left", "right"):
        graph.input(name, 3)
    graph.population("one", 2, "cuba_lif", PARAMETERS["cuba_lif"])
    for name in ("left", "right"):
        graph.project(name, "one", ones(2, 3), name=name)
    two = graph.build()
    assert "in 3 -> hidden0 cuba_lif 4" in repr(chain)
    for call, words in (
        (lambda: two.layers, "a graph, not a chain"),
        (lambda: two.input, "several inputs, left, right"),
        (lambda: two.population("three"), "no population 'three'; populations are one"),
    ):
        with pytest.raises(ProgramError, match=words):
            call()


def rewritten(path, change):
    """A program file with another header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    array = np.load(path)["header"]
    header = json.loads(array.tobytes())
    change(header)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name != "header.npy":
                archive.writestr(name, content)
        with archive.open("header.npy", "w") as stream:
            np.lib.format.write_array(stream, text, version=(1, 0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header: header.update(format="another"), "not that of a Program"),
        (lambda header: header.update(format_version=True), "is not a positive int"),
        (lambda header: header.update(format_version=0), "is not a positive int"),
        (lambda header: header.update(format_version=99), "newer than"),
    ],
)
def test_program_files_with_another_header(change, words, tmp_path):
    path = tmp_path / "program.npz"
    save(recurrent_chain([3, 4, 2]), path)
    assert load(path) == recurrent_chain([3, 4, 2])
    rewritten(path, change)
    with pytest.raises(ProgramError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_metadata_that_no_header_holds_is_refused_before_a_file_is_written(tmp_path):
    program = replace(recurrent_chain([3, 4, 2]), metadata={"long": "x" * 2**22})
    with pytest.raises(ProgramError, match="metadata is too large"):
        save(program, tmp_path / "program.npz")
    assert not list(tmp_path.iterdir())
