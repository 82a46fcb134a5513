"""What may be asked of the Lava engine is checked before anything is started."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware.chain import InputFormat, Layer, Synapses
from hardware.errors import InputError, ProgramError
from hardware.lava import paths, runtime
from hardware.lava.request import CHANNEL_BYTES, CHANNEL_SIZE, GROUP, dense_samples, group_size
from hardware.program import Program
from hardware.trace import NetworkState


def program(high: int = 1) -> Program:
    layer = Layer(
        name="readout",
        model="li",
        input=Synapses(np.full((1, 1), 127, dtype=np.int8), exponent=0),
        recurrent=None,
        bias=np.zeros(1, dtype=np.int32),
        parameters={"A": np.ones(1, dtype=np.int32)},
        shifts={"K": 12},
    )
    return Program.chain((layer,), InputFormat(1, 0, high))


TOO_WIDE_FOR_DENSE = 2**23 + 2**20
"""127 times this is a valid current, twice that is not a sum that Lava's Dense can hold."""


@pytest.mark.parametrize(
    ("shape", "connections", "expected"),
    [
        ((1300, 141), "auto", 1),
        ((1300, 1), "auto", 1),
        ((24_001, 9), "auto", 1),
        ((10, 7), "dense", 7),
        ((10, 7), "batched", 0),
        ((10, 7), 2, 2),
        ((10, 7), 0, 0),
    ],
)
def test_how_many_samples_run_through_lavas_own_dense(shape: tuple[int, int], connections, expected):
    assert dense_samples(program(), *shape, connections) == expected


def test_auto_leaves_a_program_that_dense_cannot_hold_to_the_batched_connection():
    assert dense_samples(program(TOO_WIDE_FOR_DENSE), 10, 7, "auto") == 0


@pytest.mark.parametrize(("channels", "samples"), [(1, 1), (1, 3), (1, 100), (30_000, 100), (2_000_000, 100)])
def test_samples_that_run_at_once_are_as_many_as_shared_memory_holds(channels, samples):
    layer = program().layers[0]
    wide = replace(layer, input=Synapses(np.ones((1, channels), dtype=np.int8), exponent=0))
    group = group_size(Program.chain((wide,), InputFormat(channels)), samples)
    elements = channels + 1  # source to synapses, synapses to neuron

    def needed(size: int) -> int:
        return size * elements * CHANNEL_SIZE * 4

    assert 1 <= group <= min(GROUP, samples)
    assert group == 1 or needed(group) <= CHANNEL_BYTES
    assert group == min(GROUP, samples) or needed(group + 1) > CHANNEL_BYTES


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"inputs": np.zeros((3, 1, 2), int)}, InputError, "inputs must have shape"),
        ({"inputs": np.zeros((3, 1, 1))}, InputError, "inputs must be integers"),
        ({"inputs": np.full((3, 1, 1), 2)}, InputError, "inputs must be 0 to 1"),
        ({"record": ("q",)}, InputError, "cannot record 'q'"),
        ({"connections": "sparse"}, InputError, "connections: 'sparse'"),
        ({"connections": 2}, InputError, "connections: 2"),
        ({"arithmetic": "exact"}, InputError, "arithmetic must be one of fixed_pt, floating_pt"),
        ({"initial_state": NetworkState({}, {})}, InputError, "initial state: 'u/readout' is missing"),
        ({"program": program(TOO_WIDE_FOR_DENSE), "connections": "dense"}, ProgramError, "32 bits"),
    ],
)
def test_a_wrong_request_is_one_line_even_where_no_runtime_is_installed(arguments, error, words, monkeypatch, tmp_path):
    monkeypatch.setenv("HYPR_HOME", str(tmp_path))
    assert not paths.status().installed
    request = {"program": program(), "inputs": np.zeros((3, 1, 1), int), **arguments}
    with pytest.raises(error, match=words) as caught:
        runtime.run(**request)
    assert "\n" not in str(caught.value)
