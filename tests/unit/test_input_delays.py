"""Axonal delays of the input channels: what arrives late, in running and in learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import hypr
from hypr.errors import HyprError
from hypr.learning.autograd import Autograd
from hypr.network import Network
from tests.unit.hypr_cases import LIMIT, batch, gradients, held, network, worst
from tests.unit.test_masks import RULES

T = 20
DELAYS = [0, 5, 1, 19]
LATE = [62, 0, 20, 25]  # beyond the end of the sequence


def shifted(x: Tensor, delays: list[int]) -> Tensor:
    """x (B, T, N), each channel late by its delay, zeros before."""
    late = torch.zeros_like(x)
    for channel, delay in enumerate(delays):
        if delay < x.shape[1]:
            late[:, delay:, channel] = x[:, : x.shape[1] - delay, channel]
    return late


@pytest.mark.parametrize("delays", [DELAYS, LATE, [3, 3, 3, 3]])
def test_a_delayed_network_is_the_plain_one_on_inputs_that_come_late(delays):
    net, plain = network("brf", "alif", input_delays=delays), network("brf", "alif")
    x, _, _ = batch(net, T)
    with torch.no_grad():
        assert torch.equal(net(x), plain(shifted(x, delays)))
        assert not torch.equal(net(x), plain(x))
    for a, b in zip(net.trajectory(x).values(), plain.trajectory(shifted(x, delays)).values(), strict=True):
        assert torch.equal(a.pre, b.pre) and torch.equal(a.states, b.states)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stack", [("brf",), ("alif", "lif_subtract"), ("cuba_lif_zero",)], ids="+".join)
@pytest.mark.parametrize("density", [None, 0.5], ids=["dense", "masked"])
def test_gradients_are_those_of_automatic_differentiation(stack, rule, density):
    net = network(*stack, input_delays=DELAYS, density=density)
    build, paths = RULES[rule]
    data = batch(net, T)
    value, expected = gradients(Autograd(net, paths=paths), *data)  # type: ignore[arg-type]
    loss, found = gradients(build(net), *data)
    assert abs(float(loss - value)) < 1e-12  # the same float64 sums in another order
    assert worst(found, expected) < LIMIT


def test_a_prediction_from_the_whole_sequence_sees_late_inputs_too():
    net, plain = network("brf", input_delays=DELAYS), network("brf")
    x, y, mask = batch(net, T)
    for window in (None, 6):
        found = gradients(hypr.HYPR(net, "mean_cross_entropy", window=window), x, y[:, 0], mask)
        expected = gradients(hypr.HYPR(plain, "mean_cross_entropy", window=window), shifted(x, DELAYS), y[:, 0], mask)
        assert torch.equal(found[0], expected[0]) and worst(found[1], expected[1]) == 0


@pytest.mark.parametrize("chunks", [(20,), (1,) * 20, (3, 9, 8)], ids=["one", "steps", "mixed"])
@pytest.mark.parametrize("rule", [hypr.HYPR, hypr.EProp])
def test_a_stream_adds_up_to_the_whole_sequence_with_chunks_shorter_than_a_delay(chunks, rule):
    net = network("brf", "alif", input_delays=DELAYS)
    x, y, _ = batch(net, T)
    value, expected = gradients(rule(net), x, y)
    net.zero_grad()
    stream, total, start = rule(net).stream(3, steps=T), 0.0, 0
    outputs: list[Tensor] = []
    for length in chunks:
        total += float(stream.feed(x[:, start : start + length], y[:, start : start + length]))
        assert stream.output is not None
        outputs.append(stream.output)
        start += length
    assert abs(total - float(value)) < 1e-12  # the same float64 sums in another order
    assert worst(held(net), expected) < LIMIT
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(outputs, 1), net(x), rtol=1e-12, atol=1e-12)


def test_memory_of_a_stream_is_the_last_steps_of_the_longest_delay():
    net = network("brf", input_delays=LATE)
    x, y, _ = batch(net, 5)
    stream = hypr.HYPR(net).stream(3)
    for _ in range(30):
        stream.feed(x, y)
        assert tuple(stream._carry.inputs.shape) == (62, 3, 4)
        assert stream._carry.inputs.untyped_storage().nbytes() == 62 * 3 * 4 * 8


def test_a_reset_stream_forgets_inputs_that_are_under_way():
    net = network("brf", input_delays=DELAYS)
    x, y, _ = batch(net, T)
    stream, fresh = hypr.HYPR(net).stream(3), hypr.HYPR(net).stream(3)
    stream.feed(x, y)
    stream.reset(torch.tensor([True, False, True]))
    stream.feed(x, y)
    fresh.feed(x, y)
    assert stream.output is not None and fresh.output is not None
    assert torch.equal(stream.output[[0, 2]], fresh.output[[0, 2]])
    assert not torch.equal(stream.output[1], fresh.output[1])


def test_inputs_are_scaled_before_they_are_late():
    layers = [hypr.BRF(2, 4), hypr.LI(4, 2)]
    net = Network(layers, input_scale=1 / 16, input_format=(0, 16), input_delays=[2, 0])
    plain = Network(layers, input_scale=1 / 16, input_format=(0, 16))
    x = torch.randint(0, 17, (3, 9, 2))
    with torch.no_grad():
        assert torch.equal(net(x), plain(shifted(x, [2, 0])))


def test_delays_come_back_from_a_structure():
    net = network("brf", input_delays=DELAYS)
    assert Network.from_structure(net.structure()).input_delays == tuple(DELAYS)


@pytest.mark.parametrize(
    ("delays", "says"),
    [
        ([0, 1], "2 input_delays for 4 input channels"),
        ([0, 63, 0, 0], r"input_delays\[1\] is 63, must be a whole number of steps, 0 to 62"),
        ([0, 0, -1, 0], r"input_delays\[2\] is -1"),
        ([0, 0, 1.5, 0], r"input_delays\[2\] is 1.5"),
        ([True, 0, 0, 0], r"input_delays\[0\] is True"),
    ],
)
def test_wrong_delays_are_refused_in_one_line(delays: Any, says: str) -> None:
    with pytest.raises(HyprError, match=says) as caught:
        network("brf", input_delays=delays)
    assert "\n" not in str(caught.value)
