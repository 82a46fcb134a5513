"""The price on spikes is part of the loss of every rule: its gradient is that of automatic differentiation."""

from __future__ import annotations

import pytest
import torch

from hypr.errors import HyprError
from hypr.learning import BPTT, HYPR, EProp, HYPRWindow
from hypr.learning.autograd import Autograd
from hypr.learning.rates import RatePenalty
from tests.unit.hypr_cases import LIMIT, batch, gradients, network, worst

T = 20


def priced(rule):
    """With a target that some steps exceed and others do not."""
    rule.penalise_rate(30.0, 0.3, "hidden0")
    rule.penalise_rate(20.0, 0.2, "hidden1")
    return rule


@pytest.mark.parametrize(
    ("build", "paths"),
    [
        (lambda net: HYPR(net), "same_step"),
        (lambda net: HYPR(net, window=7), "same_step"),
        (lambda net: EProp(net), "same_step"),
        (lambda net: BPTT(net), "full"),
        (lambda net: HYPRWindow(net, window=T), "full"),
    ],
    ids=["hypr", "hypr windows", "eprop", "bptt", "hypr-window"],
)
def test_loss_and_gradient_are_those_of_automatic_differentiation(build, paths):
    net = network("brf", "alif")
    x, y, mask = batch(net, T)
    loss, expected = gradients(priced(Autograd(net, paths=paths)), x, y, mask)
    _, free = gradients(Autograd(net, paths=paths), x, y, mask)
    value, found = gradients(priced(build(net)), x, y, mask)
    assert abs(float(value - loss)) < 1e-12  # the same float64 sums in another order
    assert worst(found, expected) < LIMIT
    assert worst(free, expected) > 0.01


def test_steps_and_samples_that_do_not_count_cost_nothing():
    spikes = torch.ones(4, 2, 3)
    weight = torch.tensor([[0.25, 0.0], [0.25, 0.0], [0.0, 0.0], [0.5, 0.0]])
    value, error = RatePenalty(0.4, 2.0)(spikes, weight)
    assert float(value) == pytest.approx(2.0 * 0.6, rel=1e-6)  # float32
    assert torch.equal(error[:, :, 0] > 0, weight > 0)
    assert float(RatePenalty(1.0, 2.0)(spikes, weight)[0]) == 0.0


@pytest.mark.parametrize("rule", [HYPR, HYPRWindow, BPTT])
def test_it_makes_a_layer_quieter(rule):
    rates = []
    for weight in (0.0, 20.0):
        net = network("alif").float()
        x, y, mask = batch(net, T)
        learner, optimiser = rule(net), torch.optim.Adam(net.parameters(), lr=0.05)
        learner.penalise_rate(weight)
        for _ in range(20):
            optimiser.zero_grad()
            learner.backward(x, y[:, 0], mask)
            optimiser.step()
        rates.append(float(learner.rates["hidden0"].mean()))
    assert rates[1] < 0.5 * rates[0]


def test_a_weight_of_zero_takes_it_away_and_wrong_values_are_one_line():
    rule = HYPR(network("brf"))
    rule.penalise_rate(1.0, 0.1)
    rule.penalise_rate(0.0)
    assert rule.penalties == {}
    for arguments, says in (((-1.0,), "weight"), ((1.0, 2.0), "target"), ((1.0, 0.1, "readout"), "no spiking layer")):
        with pytest.raises(HyprError, match=says):
            rule.penalise_rate(*arguments)
