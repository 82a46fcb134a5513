"""Interval analysis on networks whose bounds are known, target limits, and the specification's clauses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

import hardware
from hardware import InputFormat, Layer, Program, Synapses, emulate
from hardware.models import STATE_MAX
from hardware.ranges import UNBOUNDED, analyse

FOLDER = Path(hardware.__file__).parent


def readout(weight: list[list[int]], decay: int, exponent: int = 0, bias: int = 0) -> Layer:
    table = np.array(weight, np.int8)
    size = len(table)
    return Layer(
        "readout",
        "li",
        Synapses(table, exponent),
        None,
        np.full(size, bias, np.int32),
        {"A": np.full(size, decay, np.int32)},
        {"K": 12},
    )


def test_a_leak_bounds_the_state_by_the_geometric_series() -> None:
    program = Program.chain((readout([[100, -50]], decay=2048),), InputFormat(2))
    report = analyse(program)
    (state,) = report.states
    assert (state.low.tolist(), state.high.tolist()) == ([-100], [200])
    assert report.proved
    assert list(report.unproved()) == []
    trace = emulate(program, np.tile(np.array([1, 0]), (60, 1, 1)), "all")
    assert analyse(program, trace).states[0].observed == (100, 199)  # rounding toward zero keeps it below the series


def test_without_a_leak_nothing_is_proved_and_the_neuron_is_named() -> None:
    program = Program.chain((readout([[1, 0], [0, 0]], decay=4096),), InputFormat(2))
    report = analyse(program)
    assert not report.proved
    assert list(report.unproved()) == [("readout", "u", 0, 0, UNBOUNDED)]


def test_a_neuron_that_does_saturate_is_named() -> None:
    program = Program.chain((readout([[127]], decay=4095, exponent=12),), InputFormat(1))
    trace = emulate(program, np.ones((40, 1, 1), np.int32), "all")
    assert trace.output.max() == STATE_MAX
    assert [item[:3] for item in analyse(program, trace).unproved()] == [("readout", "u", 0)]


def test_an_undamped_resonator_is_bounded_by_its_rotation() -> None:
    values = {"C": 3900, "S": 1000, "D": 0, "R": 3686, "TH": 4096, "J": 4096}
    layer = Layer(
        "hidden0", "brf", Synapses(np.array([[100]], np.int8), 2), None, np.zeros(1, np.int32),
        {name: np.array([value], np.int32) for name, value in values.items()}, {"K": 12, "Kd": 12, "KR": 12},
    )  # fmt: skip
    program = Program.chain((layer,), InputFormat(1))
    report = analyse(program)
    assert report.proved
    bound = {item.state: int(item.high[0]) for item in report.states}
    shrink = 4027 / 4096  # sqrt(3900^2 + 1000^2), rounded up
    assert bound["u"] == bound["v"] == int(np.ceil(403 / (1 - shrink)))
    assert bound["q"] == -(-4096 * 4096 // (4096 - 3686))
    loud = Program.chain((replace(layer, input=Synapses(np.array([[100]], np.int8), 16)),), InputFormat(1))
    assert not analyse(loud).proved


def test_sums_prove_float32_and_int32() -> None:
    small = analyse(Program.chain((readout([[127] * 3], 2048),), InputFormat(3))).sums[0]
    assert (small.largest_sum, small.largest_current, small.float32_exact, small.int32_accumulator) == (
        381,
        381,
        True,
        True,
    )
    wide = analyse(Program.chain((readout([[127] * 3], 2048),), InputFormat(3, 0, 2**16))).sums[0]
    assert wide.largest_sum == 381 * 2**16 >= 2**24
    assert not wide.float32_exact


def test_the_wrap_of_cuba_lif_is_ruled_out_or_named() -> None:
    layer = Layer(
        "readout", "cuba_lif", Synapses(np.array([[100]], np.int8), 0), None, np.zeros(1, np.int32),
        {"du": np.array([2047], np.int32), "dv": np.array([400], np.int32), "vth": np.array([300], np.int32)}, {},
    )  # fmt: skip
    report = analyse(Program.chain((layer,), InputFormat(1)))
    assert report.proved
    assert int(report.states[0].high[0]) == 12_800
    loud = replace(layer, input=Synapses(np.array([[100]], np.int8), 10))
    assert ("readout", "u", 0) in [item[:3] for item in analyse(Program.chain((loud,), InputFormat(1))).unproved()]


def test_every_clause_that_the_code_cites_is_in_the_specification() -> None:
    text = (FOLDER / "FIXED_POINT.md").read_text(encoding="utf-8")
    defined = set(re.findall(r"\*\*(FP-\d\.\d)\*\*", text)) | set(
        re.findall(r"^### (FP-\d\.\d)", text, flags=re.MULTILINE)
    )
    cited = {
        clause for path in FOLDER.rglob("*.py") for clause in re.findall(r"FP-\d\.\d", path.read_text(encoding="utf-8"))
    }
    assert cited <= defined, f"not in FIXED_POINT.md: {sorted(cited - defined)}"
    assert f"version {hardware.SPEC_VERSION}" in text.splitlines()[0]
