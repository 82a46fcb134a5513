"""Float against integer: known answers, and the interval of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

import export
from export.errors import ExportError
from export.interchange.float_engine import run
from export.verification.agreement import agreement, lines
from hardware import Program, emulate
from hardware.trace import Trace
from tests.random_networks import random_inputs, random_network


def _case(kinds: tuple[str, ...], bits: int, seed: int = 5) -> tuple[Program, Trace, Trace]:
    rng = np.random.default_rng(seed)
    network = random_network(rng, kinds, size=12)
    inputs = random_inputs(rng, network, 80, 20)
    graph = export.to_nir(network)
    program = export.quantize(graph, calibration=inputs.swapaxes(0, 1), weight_bits=bits)
    return program, run(graph, inputs), emulate(program, inputs)


def test_a_run_agrees_with_itself_in_everything() -> None:
    program, _, whole = _case(("lif", "lif"), 8)
    found = agreement(program, whole, whole)
    assert found["decisions"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    for layer in found["layers"].values():
        assert layer["rate_correlation"]["value"] == pytest.approx(1.0)
        assert layer["van_rossum"]["value"] == 0.0 and layer["parted"]["value"] == 0.0
        assert layer["first_difference"] is None


def test_one_moved_spike_is_found_where_it_is() -> None:
    program, _, whole = _case(("lif", "lif"), 8)
    name = next(iter(whole.spikes))
    spikes = {key: value.copy() for key, value in whole.spikes.items()}
    spikes[name][33, 4, 0] ^= 1
    layer = agreement(program, whole, Trace("moved", whole.output, spikes))["layers"][name]
    assert layer["first_difference"]["value"] == 33.0 and layer["parted"]["value"] == 1 / 20
    decay = np.exp(-0.1) ** (2 * np.arange(80 - 33))
    silence, trace = 0.0, np.zeros(whole.spikes[name].shape[1:])
    for row in whole.spikes[name]:
        trace = trace * np.exp(-0.1) + row
        silence += float(np.sum(trace**2))
    assert layer["van_rossum"]["value"] == pytest.approx(decay.sum() / silence)


def test_fewer_bits_agree_less_and_intervals_hold_their_value() -> None:
    values = []
    for bits in (8, 2):
        found = agreement(*_case(("lif", "li"), bits))
        for entry in (found["decisions"], *(layer["van_rossum"] for layer in found["layers"].values())):
            assert entry["low"] <= entry["value"] <= entry["high"]
        values.append(found["layers"]["hidden0"]["van_rossum"]["value"])
        assert len(lines(found)) == 2
    assert 0 <= values[0] < values[1]


def test_runs_of_other_inputs_are_refused() -> None:
    program, real, whole = _case(("lif", "li"), 8)
    with pytest.raises(ExportError, match="same inputs"):
        agreement(program, Trace("float", real.output[:10], real.spikes), whole)
