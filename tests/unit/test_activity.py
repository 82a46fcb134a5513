"""Fresh networks fire from the first step after ``fit_activity_``, whatever the neuron, the inputs and the depth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import hypr
from hypr.errors import HyprError
from hypr.training.activity import NetworkDead, Watch, learning_factors
from hypr.training.build import scaled_rate
from hypr.training.config import OptimiserConfig


class LeakyOfReadme(hypr.Neuron):
    """The README's neuron, under a name of its own."""

    state_names = ("u",)
    trainable = {"decay": hypr.Range((0.8, 0.95), low=0.0, high=0.99)}

    def step(self, state, z, current, parameters):
        u = parameters["decay"] * state[0] * (1 - z) + current
        return (u,), self.spike(u - 1.0)


MODELS = (hypr.BRF, hypr.SEAdLIF, hypr.ALIF, hypr.LIF, hypr.CubaLIF, LeakyOfReadme)
CHANNELS, RATES, DEPTHS = (4, 12, 64), (0.02, 0.05, 0.1, 0.3), (1, 2, 3)
GRID = list(itertools.product(MODELS, CHANNELS, RATES, DEPTHS))
CORNERS = [(4, 0.02, 3), (64, 0.3, 2)]
SEED = 4000


def network(model, channels, depth, width=48):
    layers, n_in = [], channels
    for _ in range(depth):
        layers.append(model(n_in, width))
        n_in = width
    return hypr.Network([*layers, hypr.LI(n_in, 4)])


def spikes(channels, rate, steps=200, batch=32):
    return (torch.rand(batch, steps, channels) < rate).float()


def check(model, channels, rate, depth, seed):
    torch.manual_seed(seed)
    net = network(model, channels, depth)
    found = hypr.fit_activity_(net, spikes(channels, rate))
    fresh = net.trajectory(spikes(channels, rate))
    assert [one.layer for one in found] == [f"hidden{i}" for i in range(depth)]
    for one in found:
        rates = fresh[one.layer].spikes[1:].mean((0, 1))
        allowed = 0.10 if model is hypr.CubaLIF else 0.05
        what = (
            f"seed {seed}: {one}; on fresh inputs {float(rates.mean()):.4f}, dead {float((rates == 0).float().mean())}"
        )
        assert one.wanted / 2 <= float(rates.mean()) <= one.wanted * 2, what
        assert float((rates == 0).float().mean()) < allowed, what


@pytest.mark.parametrize(("channels", "rate", "depth"), CORNERS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_layer_is_silent_on_fresh_inputs_at_the_corners_of_the_grid(model, channels, rate, depth):
    check(model, channels, rate, depth, SEED)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "channels", "rate", "depth"), GRID, ids=str)
def test_no_layer_is_silent_on_fresh_inputs(model, channels, rate, depth):
    check(model, channels, rate, depth, SEED + GRID.index((model, channels, rate, depth)))


def test_a_wanted_rate_is_met_within_a_tenth_and_recurrent_weights_stay_as_drawn():
    torch.manual_seed(1)
    net = network(hypr.SEAdLIF, 12, 1)
    drawn = net.layers[0].recurrent_weight.clone()
    (one,) = hypr.fit_activity_(net, spikes(12, 0.1), rate=0.05)
    assert one.status == "fitted" and one.before == 0
    assert 0.045 <= one.rate <= 0.055
    assert torch.equal(net.layers[0].recurrent_weight, drawn)


def test_a_lively_layer_is_left_alone_bit_for_bit():
    torch.manual_seed(1)
    net, x = network(hypr.CubaLIF, 64, 1), spikes(64, 0.3)
    assert hypr.fit_activity_(net, x)[0].status == "fitted"  # a third of its neurons was silent
    before = net.layers[0].weight.clone()
    (one,) = hypr.fit_activity_(net, x)
    assert one.status == "left alone" and one.growth == 1
    assert torch.equal(net.layers[0].weight, before)


def test_inputs_that_never_change_leave_weights_alone_and_say_so():
    net = network(hypr.LIF, 4, 1)
    before = net.layers[0].weight.clone()
    (one,) = hypr.fit_activity_(net, torch.zeros(16, 100, 4))
    assert one.status == "no input"
    assert torch.equal(net.layers[0].weight, before)


def test_an_unreachable_rate_is_not_reached_and_not_hidden():
    torch.manual_seed(0)
    (one,) = hypr.fit_activity_(network(hypr.LIF, 12, 1), spikes(12, 0.05), rate=0.5)
    assert one.status == "not reached"
    assert one.rate < 0.5


def test_masked_steps_do_not_count():
    torch.manual_seed(0)
    x, mask = spikes(12, 0.1), torch.zeros(32, 200)
    x[:, 100:] = 0
    mask[:, :100] = 1
    net = network(hypr.LIF, 12, 1)
    hypr.fit_activity_(net, x, mask)
    first = net.trajectory(x)["hidden0"].spikes[1:101].mean()
    assert 0.018 <= float(first) <= 0.022


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": torch.zeros(1, 100, 4)}, "100 steps count.*at least 400"),
        (
            {"x": torch.zeros(16, 100, 4), "mask": torch.ones(100, 16)},
            r"mask has shape \(100, 16\), must be \(16, 100\)",
        ),
        ({"x": torch.zeros(16, 100, 4), "rate": 0.9}, "rate is 0.9"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, words):
    with pytest.raises(HyprError, match=words):
        hypr.fit_activity_(network(hypr.LIF, 4, 1), **arguments)


def test_a_neuron_that_fires_past_spike_is_refused():
    class Hidden(hypr.Neuron):
        kind = "fires_past_spike"
        state_names = ("u",)

        def step(self, state, z, current, parameters):
            u = 0.9 * state[0] + current
            return (u,), (u > 1).to(u.dtype)

    with pytest.raises(HyprError, match=r"calls self\.spike 0 times per step"):
        hypr.fit_activity_(network(Hidden, 4, 1), spikes(4, 0.1))


# ---- warnings while training


def watch(stop=True):
    return Watch({"hidden0": 10, "hidden1": 10}, ("hidden0", "hidden1"), stop)


def state(rate=0.02, dead=0, saturated=0):
    return {"rate": rate, "dead": dead, "saturated": saturated}


def test_first_batch_warns_only_where_nothing_fires_and_no_gradient_comes_through():
    assert "hidden1 fired no spike" in watch().first_batch({"hidden0": 0.1, "hidden1": 0.0}, 1e-9)[0]
    assert watch().first_batch({"hidden0": 0.1, "hidden1": 0.0}, 6e-8) == []
    assert watch().first_batch({"hidden0": 0.1, "hidden1": 0.1}, 0.0) == []


def test_silent_dying_and_saturated_layers_are_named_after_an_epoch():
    eyes = watch()
    assert eyes.epoch({"hidden0": state(), "hidden1": state()}, 1.0) == []
    found = eyes.epoch({"hidden0": state(dead=6), "hidden1": state(rate=0.6, saturated=7)}, 1.0)
    assert "6 of 10 neurons fell silent" in found[0] and "hidden1 is saturated" in found[1]
    eyes.epoch({"hidden0": state(rate=0.0, dead=10), "hidden1": state()}, 1.0)
    assert "for 2 epochs" in eyes.epoch({"hidden0": state(rate=0.0, dead=10), "hidden1": state()}, 1.0)[0]


def test_neurons_that_never_fired_are_not_called_dying():
    assert watch().epoch({"hidden0": state(dead=9), "hidden1": state()}, 1.0) == []


def test_a_dead_run_stops_after_two_epochs_and_an_option_prevents_it():
    dead = {"hidden0": state(rate=0.0, dead=10), "hidden1": state()}
    eyes, stubborn, learning = watch(), watch(stop=False), watch()
    for each in (eyes, stubborn, learning):
        each.epoch(dead, 1e-12)
    with pytest.raises(NetworkDead, match=r"network\.initial=data.*training\.stop_dead=false"):
        eyes.epoch(dead, 1e-12)
    stubborn.epoch(dead, 1e-12)
    learning.epoch(dead, 1e-7)  # such runs only lose epochs


def test_learning_rates_follow_grown_weights_up_to_the_cap():
    net = network(hypr.LIF, 4, 2)
    factors = learning_factors(net, [{"layer": "hidden0", "growth": 4.0}, {"layer": "hidden1", "growth": 0.5}])
    assert factors == {"layers.0.weight": 2.0, "layers.0.bias": 2.0}
    settings = OptimiserConfig(lr=0.01, follow_cap=0.1)
    assert scaled_rate(settings, 0.01, 2.0) == pytest.approx(0.02)
    assert scaled_rate(settings, 0.01, 1e3) == 0.1
    assert scaled_rate(settings, 0.2, 2.0) == 0.2
    assert np.isclose(scaled_rate(settings, 0.01, 1.0), 0.01)
