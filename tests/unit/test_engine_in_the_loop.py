"""Any engine as the S-stage of training: gradients are those of the states that it returns; what it returns wrongly is
one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hypr
from export.errors import ExportError
from export.quantization.formats import QuantizationSettings
from hardware import Program, emulate, reference
from hardware.trace import NetworkState, Trace
from hypr.errors import HyprError
from hypr.integer.stage import IntegerStage
from hypr.learning.rule import Rule
from hypr.network import Network
from tests.unit.hypr_cases import batch, gradients, network

STEPS = 14
MODELS = ("brf", "se_adlif_previous", "alif", "lif_zero")
RULES: Mapping[str, Callable[[Network], Rule]] = {
    "bptt": hypr.BPTT,
    "hypr in windows": lambda net: hypr.HYPR(net, window=5),
    "hypr-window": lambda net: hypr.HYPRWindow(net, window=6),
}


def learned(net: Network, stage: IntegerStage, rule: str, data: tuple[Tensor, ...]) -> dict[str, Tensor]:
    with stage.active():
        return gradients(RULES[rule](net), *data)[1]


def prepared(*names: str, dtype: torch.dtype = torch.float32) -> tuple[Network, IntegerStage, tuple[Tensor, ...]]:
    net = network(*names, seed=3).to(dtype)
    data = batch(net, steps=STEPS, size=3)
    return net, IntegerStage(net, QuantizationSettings(), data[0].numpy()), data


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def scalar(program: Program, inputs: np.ndarray, state: NetworkState) -> Trace:
    """The scalar oracle as an engine of one's own."""
    return reference.run(program, inputs, "all", state)


class Board:
    """The emulator as an object that verification takes too."""

    def run(self, program: Program, inputs: Any, record: Any, initial_state: NetworkState | None = None) -> Trace:
        return emulate(program, inputs, record, initial_state)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_every_engine_gives_the_gradients_of_the_emulator_bit_for_bit(name: str, rule: str) -> None:
    net, stage, data = prepared(name, name)
    expected = learned(net, stage, rule, data)
    assert float(expected["layers.0.weight"].abs().max()) > 0
    for engine in ("emulator", "reference", "onnx", scalar, Board()):
        other = IntegerStage(net, stage.settings, engine=engine)
        assert same(learned(net, other, rule, data), expected), engine
        assert other.of(Network.from_structure(net.structure())).engine is engine


@pytest.mark.parametrize("name", MODELS)
def test_a_chip_that_differs_gives_other_gradients(name: str) -> None:
    """And where it differs in nothing, the same ones."""

    def chip(lost: int) -> Callable[..., Trace]:
        def run(program: Program, inputs: np.ndarray, state: NetworkState) -> Trace:
            trace = emulate(program, inputs, "all", state)
            spikes = {key: value.copy() for key, value in trace.spikes.items()}
            spikes["hidden0"][:, :, :lost] = 0
            return replace(trace, spikes=spikes)

        return run

    net, stage, data = prepared(name)
    expected = learned(net, stage, "bptt", data)
    found = [learned(net, IntegerStage(net, stage.settings, engine=chip(lost)), "bptt", data) for lost in (0, 3)]
    assert same(found[0], expected) and not same(found[1], expected)


WRONG: Mapping[str, tuple[Callable[[Trace], Any], str]] = {
    "nothing": (lambda trace: None, "returned None, not a hardware.Trace"),
    "no state": (lambda t: replace(t, states={}), "returned no 'u/hidden0'"),
    "no spikes": (lambda t: replace(t, spikes={}), "returned no 'spikes/hidden0'"),
    "half of the steps": (
        lambda t: replace(t, states={key: value[:7] for key, value in t.states.items()}),
        r"as 'u/hidden0', of shape \(7, 3, 6\); expected \(14, 3, 6\)",
    ),
    "samples first": (
        lambda t: replace(t, spikes={key: value.swapaxes(0, 1) for key, value in t.spikes.items()}),
        r"as 'spikes/hidden0', of shape \(3, 14, 6\); expected \(14, 3, 6\)",
    ),
    "floats": (
        lambda t: replace(t, states={key: value.astype(float) for key, value in t.states.items()}),
        "as 'u/hidden0', of float64; return integers",
    ),
    "lists": (lambda t: replace(t, spikes={key: v.tolist() for key, v in t.spikes.items()}), "returned a list as"),
    "two spikes": (
        lambda t: replace(t, spikes={key: 2 * value for key, value in t.spikes.items()}),
        "'spikes/hidden0' from 0 to 2, its range is 0 to 1",
    ),
    "beyond 24 bits": (
        lambda t: replace(t, states={key: value.astype(np.int64) + 2**40 for key, value in t.states.items()}),
        "its range is -8388607 to 8388607",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_an_engine_returns_wrongly_is_one_line(what: str) -> None:
    spoil, message = WRONG[what]

    def chip(program: Program, inputs: np.ndarray, state: NetworkState) -> Any:
        return spoil(emulate(program, inputs, "all", state))

    net, stage, data = prepared("lif_zero")
    with pytest.raises(HyprError, match=message) as caught:
        learned(net, IntegerStage(net, stage.settings, engine=chip), "bptt", data)
    assert "\n" not in str(caught.value) and "engine 'chip'" in str(caught.value)
    assert net.stage is None, "the network runs on floats again"


def test_what_an_engine_raises_is_one_line() -> None:
    def chip(*_: Any) -> Trace:
        raise OSError("board 3 does\nnot answer")

    net, stage, data = prepared("lif_zero")
    with pytest.raises(HyprError, match=r"^engine 'chip' failed \(OSError: board 3 does not answer\); repair it$"):
        learned(net, IntegerStage(net, stage.settings, engine=chip), "bptt", data)


class WithoutState:
    def run(self, program: Program, inputs: Any, record: Any) -> Trace:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("engine", "error", "message"),
    [
        ("lawa", ExportError, "did you mean 'lava'"),
        (3, HyprError, "3 is no engine"),
        (Board, HyprError, r"Board is a class; give an object of it, Board\(\.\.\.\)"),
        (WithoutState(), HyprError, "takes no initial_state"),
    ],
)
def test_what_is_no_engine_is_refused_at_once(engine: Any, error: type[Exception], message: str) -> None:
    net, stage, _ = prepared("lif_zero")
    with pytest.raises(error, match=message):
        IntegerStage(net, stage.settings, engine=engine)
