"""Search for the cheapest integer format: what it costs, what it may choose from, and that it never sees the test
part."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.container import ErrorbarContainer

import export
import hypr
from export.errors import ExportError
from export.interchange.float_engine import run as run_float
from export.quantization.formats import QuantizationSettings
from export.quantization.memory import memory
from export.quantization.quantize import prepare
from export.quantization.search import LEAST, SearchResult, _fewer, _moves, search
from export.quantization.staircase import accuracy_of
from hardware import Decision, InputFormat, Layer, Program, Synapses, emulate
from hypr.data import SequenceDataset
from hypr.deployment.search import PICTURE, TABLE, TradeOff, cells, picture, search_run, write
from hypr.errors import HyprError
from tests.random_networks import random_inputs, random_network


@functools.cache
def case(kind: str, max_loss: float) -> tuple[object, np.ndarray, np.ndarray, SearchResult]:
    """Float network, inputs (B, T, N_in), its own decisions as labels (B, T), and what the search found."""
    rng = np.random.default_rng(5)
    network = random_network(rng, (kind, "li"), size=9)
    steps = export.discretise(export.to_nir(network))
    values = random_inputs(rng, network, 40, 24)
    labels = run_float(steps, values).output.argmax(axis=-1).T
    inputs = np.ascontiguousarray(values.swapaxes(0, 1))
    return steps, inputs, labels, search(steps, inputs, labels, calibration=inputs[:8], max_loss=max_loss)


def accuracy(steps, settings: QuantizationSettings, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, Program]:
    """By the public way: quantize with the settings on the search's calibration inputs, and run."""
    program = export.quantize(steps, settings, calibration=inputs[:8])
    output = emulate(program, inputs.swapaxes(0, 1)).output
    counts = np.ones(output.shape[:2], bool)
    return accuracy_of(output, steps.decision, labels.T, counts, program.decision.multiplier), program


# ---- the cost


def test_memory_by_hand() -> None:
    layer = Layer(
        name="readout",
        model="lif",
        input=Synapses(np.array([[1, -1, 0], [2, 3, 1]], np.int8), 2, 4),
        recurrent=Synapses(np.array([[1, 0], [0, 1]], np.int8), 0, 3),
        bias=np.array([-5, 4], np.int32),
        parameters={"A": np.array([200, 255], np.int32), "TH": np.array([1000, 1000], np.int32)},
        shifts={"K": 8},
        coefficient_bits=8,
    )
    program = Program.chain((layer,), InputFormat(3), Decision("spike_count"))
    found = memory(program, {"u/readout": 1023}, 2)
    assert found.synapses == 6 * 4 + 4 * 3
    assert found.parameters == 2 * 8 + 10 + 2 * 4  # A for each neuron, TH once, bias -5 to 4 in 4 bits
    assert found.states == 2 * (1 + 10 + 2)
    assert found.total == 36 + 34 + 26
    assert memory(program, {"u/readout": 2**22}, 2).states == 2 * 24


def test_values_that_are_all_zero_cost_nothing_and_signs_cost_one_bit() -> None:
    def bits(bias: list[int]) -> int:
        layer = Layer(
            "readout",
            "li",
            Synapses(np.ones((2, 1), np.int8), 0, 8),
            None,
            np.array(bias, np.int32),
            {"A": np.array([0, 0], np.int32)},
            {"K": 12},
        )
        return memory(Program.chain((layer,), InputFormat(1)), {"u/readout": 0}, 0).parameters

    assert [bits(b) for b in ([0, 0], [3, 3], [3, 4], [-4, 3], [-5, 3])] == [0, 2, 6, 6, 8]


# ---- the search


@pytest.mark.parametrize(
    ("kind", "loss"), [("brf", 0.02), ("se_adlif", 0.02), ("alif", 0.02), ("lif", 0.02), ("cuba_lif", 0.1)]
)
def test_chosen_format_is_the_cheapest_within_the_loss_and_gives_what_was_measured(kind: str, loss: float) -> None:
    steps, inputs, labels, found = case(kind, loss)
    assert found.float_accuracy == 1.0  # the labels are its own decisions
    within = [c for c in found.candidates if c.accuracy - c.standard_error >= 1.0 - loss]
    assert found.chosen is not None and found.initial is not None
    assert found.chosen.memory.total == min(c.memory.total for c in within)
    assert found.chosen.memory.total < 0.85 * found.initial.memory.total  # a standard error is kept, too
    for item in (found.chosen, found.initial, *found.front):
        measured, program = accuracy(steps, item.settings, inputs, labels)
        assert measured == item.accuracy
        states = emulate(program, inputs[:8].swapaxes(0, 1), "all").states
        peaks = {name: int(np.abs(value.astype(np.int64)).max()) for name, value in states.items()}
        assert memory(program, peaks, item.settings.headroom_bits) == item.memory


def test_front_holds_what_no_other_format_beats() -> None:
    found = case("brf", 0.02)[3]
    front = found.front
    assert found.chosen in front and found.best in front
    for item in found.candidates:
        beaten = [
            c
            for c in found.candidates
            if c.memory.total <= item.memory.total
            and c.accuracy >= item.accuracy
            and (c.memory.total, c.accuracy) != (item.memory.total, item.accuracy)
        ]
        assert bool(beaten) != any((c.memory.total, c.accuracy) == (item.memory.total, item.accuracy) for c in front)


def test_no_single_bit_can_be_saved_from_the_chosen_format() -> None:
    steps, inputs, _, found = case("lif", 0.02)
    chosen = found.chosen
    assert chosen is not None
    network = prepare(steps, None, chosen.settings, {})
    for key, layer in _moves(len(network.layers)):
        settings = _fewer(chosen.settings, key, layer, 1)
        if settings is not None:
            tried = [c for c in found.candidates if c.settings == settings]
            assert all(c.sure < 0.98 or c.memory.total >= chosen.memory.total for c in tried)
            if not tried:  # only what has no integers is left out
                with pytest.raises(ExportError):
                    export.quantize(steps, settings, calibration=inputs[:8])


def test_every_width_is_tried_with_both_scales_and_stays_in_its_range() -> None:
    found = case("alif", 0.02)[3]
    first = {(c.settings.weight_bits, c.settings.weight_scale) for c in found.candidates}
    assert {((b, b), scale) for b in range(2, 9) for scale in ("power_of_two", "per_row")} <= first
    for item in found.candidates:
        for key, least in LEAST.items():
            assert all(value >= least for value in getattr(item.settings, key))
    assert len({c.settings.to_json() for c in found.candidates}) == len(found.candidates), "one was tried twice"


def test_a_larger_loss_is_never_dearer() -> None:
    costs = []
    for loss in (0.0, 0.02, 0.2):
        chosen = case("lif", loss)[3].chosen
        costs.append(np.inf if chosen is None else chosen.memory.total)
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[1] > costs[2]


def test_the_same_search_twice_gives_the_same() -> None:
    steps, inputs, labels, found = case("lif", 0.02)
    again = search(steps, inputs, labels, calibration=inputs[:8], max_loss=0.02)
    assert again == found


def test_fewer_bits_stop_at_the_least() -> None:
    settings = QuantizationSettings(weight_bits=(2, 5), coefficient_bits=(9, 8), state_fraction_bits=(3, 0))
    lowered = _fewer(settings, "weight_bits", None, 1)
    assert lowered is not None and lowered.weight_bits == (2, 4)
    assert _fewer(settings, "weight_bits", 0, 1) is None
    assert _fewer(settings, "weight_bits", 1, 4) is None
    assert _fewer(settings, "state_fraction_bits", 1, 1) is None


@pytest.mark.parametrize("loss", [-0.1, 1.0, float("nan")])
def test_a_loss_outside_zero_to_one_is_refused(loss: float) -> None:
    steps, inputs, labels, _ = case("lif", 0.02)
    with pytest.raises(ExportError, match="max_loss"):
        search(steps, inputs, labels, calibration=inputs, max_loss=loss)


def test_formats_by_row_are_those_of_the_default_rule() -> None:
    steps, inputs, _, found = case("brf", 0.02)
    tried = [c for c in found.candidates if c.settings.weight_scale == "per_row" and c.settings.weight_bits == (4, 4)]
    by_default = export.quantize(steps, replace(tried[0].settings, weight_scale="auto"), calibration=inputs[:8])
    by_weights = export.quantize(
        steps, replace(tried[0].settings, scale_choice="squared_error"), calibration=inputs[:8]
    )
    program = export.quantize(steps, tried[0].settings, calibration=inputs[:8])
    assert [p.synapses.matrix().tolist() for p in program.projections] == [
        p.synapses.matrix().tolist() for p in by_default.projections
    ]
    assert any(
        not np.array_equal(a.synapses.matrix(), b.synapses.matrix())
        for a, b in zip(program.projections, by_weights.projections, strict=True)
    ), "the case does not tell the two apart"


# ---- of a run


def dataset(split: str, seed: int, classes: int = 3) -> SequenceDataset:
    rng = np.random.default_rng(seed)
    return SequenceDataset(
        name="own",
        split=split,
        inputs=(rng.random((20, 30, 4)) < 0.4).astype(np.uint8),
        labels=rng.integers(0, classes, (20, 30)),
        mask=np.ones((20, 30), bool),
        classes=classes,
        input_low=0,
        input_high=1,
        input_scale=1.0,
        encoding="spikes",
        description="random",
    )


def own_run(test_labels: int = 0) -> SimpleNamespace:
    """What :func:`search_run` needs of a run, with labels that the network decides for in the validation part."""
    torch.manual_seed(0)
    network = hypr.Network([hypr.LIF(4, 8), hypr.LI(8, 3)])
    network.layers[0].weight.data *= 10
    parts = {split: dataset(split, seed) for seed, split in enumerate(("train", "validation", "test"))}
    with torch.no_grad():
        decisions = network(torch.from_numpy(parts["validation"].inputs)).argmax(-1).numpy()
    parts["validation"] = replace(parts["validation"], labels=decisions)
    parts["test"] = replace(parts["test"], labels=(parts["test"].labels + test_labels) % 3)
    result = {"best": {"test": 0.5}}
    return SimpleNamespace(network=network, which="best", result=result, load_data=parts.__getitem__)


@functools.cache
def own_trade(test_labels: int = 0) -> TradeOff:
    return search_run(own_run(test_labels), 0.01)  # type: ignore[arg-type]  # all that it uses of a run


def test_no_choice_depends_on_the_test_part() -> None:
    trades = [own_trade(0), own_trade(1)]
    assert trades[0].found == trades[1].found
    assert [r.test_accuracy for r in trades[0].rows] != [r.test_accuracy for r in trades[1].rows]


def test_table_and_picture_are_written_and_name_the_chosen_format(tmp_path: Path) -> None:
    trade = own_trade()
    write(trade, tmp_path)
    content = json.loads((tmp_path / TABLE).read_text())
    chosen = [row for row in content["rows"] if row["label"] == "chosen"]
    assert len(chosen) == 1 and trade.found.chosen is not None
    assert QuantizationSettings(**chosen[0]["settings"]) == trade.settings
    assert chosen[0]["bits"]["total"] == trade.found.chosen.memory.total
    assert content["tried"] == len(content["all"]) == len(trade.found.candidates)
    assert [line[0] for line in cells(trade)].count("chosen") == 1
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    bars = [item for item in picture(trade).axes[0].containers if isinstance(item, ErrorbarContainer)]
    assert [len(item.lines[2][0].get_segments()) for item in bars] == [len(trade.found.front), len(trade.rows)]
    high = [segment[1][1] - segment[0][1] for segment in bars[1].lines[2][0].get_segments()]
    np.testing.assert_allclose(high, [200 * row.test_error for row in trade.rows])
    assert any(row.test_error > 0 for row in trade.rows)


def test_without_a_format_within_the_loss_the_best_one_is_named() -> None:
    trade = own_trade()
    worse = tuple(replace(item, accuracy=0.5) for item in trade.found.candidates)
    none = replace(trade, found=replace(trade.found, candidates=worse, chosen=None))
    with pytest.raises(HyprError, match=r"no integer format keeps within 1 points.*loses 50\.00: raise --max-loss"):
        _ = none.settings
    assert none.warning == ""


def test_a_test_part_that_contradicts_the_search_is_pointed_out() -> None:
    trade = own_trade()
    rows = tuple(replace(row, test_accuracy=0.4) for row in trade.rows)
    assert "loses 10.00 points, more than the 1" in replace(trade, rows=rows).warning
    assert replace(trade, rows=tuple(replace(row, test_accuracy=0.495) for row in trade.rows)).warning == ""


def test_no_format_stands_in_the_table_twice_and_the_default_is_in_it() -> None:
    rows = own_trade().rows
    assert len({row.candidate.settings.to_json() for row in rows}) == len(rows)
    assert own_trade().found.initial in [row.candidate for row in rows]
