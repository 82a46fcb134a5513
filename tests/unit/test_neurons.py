"""Neurons: Jacobians, parameters, ranges, export values, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import hypr
from hypr.errors import HyprError
from hypr.network import Network
from hypr.neurons import BRF, LI, LIF, CubaLIF, SEAdLIF, forward_mode
from hypr.neurons.base import pull_back
from hypr.neurons.surrogate import DoubleGaussian, Slayer, Surrogate, describe, spike, surrogate
from tests.unit.hypr_cases import MODELS, layer_trajectory, network

BUILT_IN = [name for name in MODELS if name != "own"]


def _any(value: Any) -> Any:
    """A value of a type that the signature does not allow."""
    return value


class _Forgetful(hypr.Neuron):
    """Returns fewer states than it names."""

    state_names = ("u", "v")

    def step(self, state, z, current, parameters):
        return (current,), self.spike(current)


def _all_jacobians(jac):
    named = {letter: getattr(jac, letter) for letter in "ABCDEF"}
    named |= {f"states/{name}": value for name, value in jac.states.items()}
    return named | {f"spikes/{name}": value for name, value in jac.spikes.items()}


@pytest.mark.parametrize("name", BUILT_IN)
def test_hand_written_jacobians_equal_forward_mode_differentiation_of_the_step(name):
    layer, trajectory = layer_trajectory(name)
    arguments = (trajectory.states[:-1], trajectory.spikes[:-1], trajectory.current, layer.effective())
    assert 0.02 < float(trajectory.spikes[1:].mean()) < 0.9, "the case must spike for its Jacobians to be tested"
    with torch.no_grad():
        by_hand, automatic = (_all_jacobians(j) for j in (layer.jacobians(*arguments), forward_mode(layer, *arguments)))
    assert by_hand.keys() == automatic.keys()
    for key, value in automatic.items():
        assert by_hand[key].shape == value.shape, key
        scale = max(1.0, float(value.abs().max()))
        assert float((by_hand[key] - value).abs().max()) <= 1e-13 * scale, key  # a handful of float64 operations each


def test_readout_jacobians_equal_forward_mode_differentiation():
    torch.manual_seed(0)
    layer = LI(4, 3).double()
    arguments = (torch.randn(5, 2, 1, 3).double(), torch.zeros(5, 2, 3).double(), torch.randn(5, 2, 3).double())
    with torch.no_grad():
        by_hand = _all_jacobians(layer.jacobians(*arguments, layer.effective()))
        automatic = _all_jacobians(forward_mode(layer, *arguments, layer.effective()))
    for key, value in automatic.items():
        torch.testing.assert_close(by_hand[key], value, rtol=0, atol=1e-14, msg=key)  # one or two operations


@pytest.mark.parametrize("name", [*BUILT_IN, "own"])
def test_pull_back_is_the_chain_rule_of_effective(name):
    layer, _ = layer_trajectory(name)
    upstream = {key: torch.linspace(-1, 1, layer.n).double() for key in layer.effective()}
    torch.stack([(value * upstream[key]).sum() for key, value in layer.effective().items()]).sum().backward()
    (found,) = pull_back([layer], [upstream])
    for key, value in found.items():
        torch.testing.assert_close(value, layer.get_parameter(key).grad, rtol=0, atol=0)


@pytest.mark.parametrize("name", BUILT_IN)
def test_float32_and_float64_take_the_same_steps(name):
    """A few steps, so that no spike lies within float32 rounding of the threshold."""
    net = network(name)
    x = (torch.rand(2, 6, net.n_in, generator=torch.Generator().manual_seed(3)) < 0.4).double()
    with torch.no_grad():
        double = net(x)
        single = net.float()(x)
    assert single.dtype == torch.float32
    assert float((single.double() - double).abs().max()) < 1e-4 * max(
        1.0, float(double.abs().max())
    )  # float32 rounding


def test_lif_resets_as_its_name_says():
    cases: tuple[tuple[Any, list[float]], ...] = (("zero", [0.0, 0.5]), ("subtract", [0.6, 0.8]))
    for reset, expected in cases:
        layer = LIF(
            1, 1, recurrent=False, reset=reset, theta=1.0, tau_range=(1 / math.log(2), 1 / math.log(2))
        ).double()
        assert abs(float(layer.effective()["alpha"].detach()[0]) - 0.5) < 1e-6  # tau is drawn in float32
        start: tuple[torch.Tensor, ...] = (torch.zeros(1).double(),)
        state, z = start, torch.zeros(1).double()
        half = {"alpha": torch.tensor([0.5]).double()}
        state, z = layer.step(state, z, torch.tensor([3.2], dtype=torch.float64), half)
        assert float(z) == 1.0
        after = layer.after_reset(torch.stack(state), z)
        assert float(after[0]) == pytest.approx(expected[0], abs=1e-12)
        state, z = layer.step(state, z, torch.tensor([1.0]).double(), half)
        assert float(state[0]) == pytest.approx(expected[1], abs=1e-12)


def test_adaptation_spike_options_differ_by_one_step():
    """z* = z adds b to w in the step of the spike, z* = z' in the next one."""
    added: dict[str, list[float]] = {}
    options: tuple[Any, ...] = ("current", "previous")
    for option in options:
        layer = SEAdLIF(1, 1, recurrent=False, adaptation_spike=option, rho=1.0).double()
        p = {k: torch.tensor([v]).double() for k, v in {"alpha": 0.5, "beta": 0.5, "a": 0.0, "b": 1.0}.items()}
        state: tuple[torch.Tensor, ...] = (torch.zeros(1).double(),) * 2
        z, added[option] = torch.zeros(1).double(), []
        for current in (4.0, 0.0):
            state, z = layer.step(state, z, torch.tensor([current]).double(), p)
            added[option].append(float(state[1]))
    assert added == {"current": [0.5, 0.25], "previous": [0.0, 0.5]}


def test_cuba_lif_bias_enters_the_membrane_and_not_the_synaptic_current():
    layer = CubaLIF(1, 1, recurrent=False).double()
    layer.bias.data.fill_(0.3)
    with torch.no_grad():
        (u, v), _ = layer.step(
            (torch.zeros(1).double(),) * 2, torch.zeros(1).double(), torch.zeros(1).double(), layer.effective()
        )
    assert float(u) == 0.0
    assert float(v) == 0.3


def test_initial_weights_lie_within_the_xavier_bound_of_all_inputs():
    torch.manual_seed(0)
    for recurrent, fan_in in ((True, 40 + 60), (False, 40)):
        layer = BRF(40, 60, recurrent=recurrent)
        bound = math.sqrt(6 / (fan_in + 60))
        largest = float(layer.weight.detach().abs().max())
        assert 0.99 * bound < largest <= bound  # 2400 uniform draws: misses with probability 4e-11
        assert not layer.bias.any()


@pytest.mark.parametrize("name", [*BUILT_IN, "own"])
def test_parameters_start_in_their_ranges_and_constrain_brings_them_back(name):
    layer, _ = layer_trajectory(name)
    for key, limits in layer.ranges.items():
        value = layer.get_parameter(key)
        assert bool((value >= limits.low).all() and (value <= limits.high).all())
        before = value.detach().clone()
        layer.constrain_()
        assert torch.equal(before, value), "constrain_ must not move what is inside its range"
        value.data += 1e6
        layer.constrain_()
        assert bool((value <= limits.high).all())
        value.data -= 2e6
        layer.constrain_()
        assert bool((value >= limits.low).all())


def test_spike_is_strict_and_its_derivative_is_psi_in_both_modes():
    x = torch.tensor([-0.5, 0.0, 1e-300, 2.0], dtype=torch.float64, requires_grad=True)
    for choice in (Slayer(5.0, 0.2), DoubleGaussian()):
        z = spike(x, choice)
        assert z.tolist() == [0.0, 0.0, 1.0, 1.0]
        (reverse,) = torch.autograd.grad(z.sum(), x)
        forward = torch.func.jvp(lambda v, c=choice: spike(v, c), (x.detach(),), (torch.ones(4, dtype=torch.float64),))[
            1
        ]
        assert torch.equal(reverse, choice.psi(x.detach()))
        assert torch.equal(forward, reverse)


def test_surrogates_have_the_values_of_their_formulas():
    x = 0.7

    def normal(x, deviation):
        return math.exp(-0.5 * (x / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))

    at = torch.tensor([x], dtype=torch.float64)
    assert float(Slayer(5.0, 0.2).psi(at)) == pytest.approx(0.2 * 5 / (2 * math.exp(5 * x)), rel=1e-14)
    assert float(DoubleGaussian().psi(at)) == pytest.approx(
        0.5 * (1.15 * normal(x, 0.5) - 0.3 * normal(x, 3.0)), rel=1e-14
    )


def test_surrogate_descriptions_come_back_as_the_same_object():
    choices: list[Surrogate] = [
        Slayer(2.0, 0.3),
        DoubleGaussian(width=0.4),
        surrogate("slayer"),
        surrogate("slayer_wide"),
    ]
    for choice in choices:
        assert surrogate(describe(choice)) == choice


@pytest.mark.parametrize("name", [n for n in BUILT_IN if n != "cuba_lif_subtract"])
def test_export_accepts_the_arrays_and_they_reproduce_effective_values(name):
    pytest.importorskip("nir", reason="export reads and writes NIR")
    from export.interchange.source import network_arrays

    net = network(name)
    arrays = network_arrays(net)
    layer = net.layers[0]
    np.testing.assert_array_equal(arrays.layers[0].weight, layer.weight.detach().numpy())
    for key, value in layer.effective().items():
        if key != "bias":
            np.testing.assert_array_equal(arrays.layers[0].parameters[key], value.detach().numpy())
    assert arrays.layers[1].kind == "li"


@pytest.mark.parametrize("name", [*BUILT_IN, "own"])
def test_a_network_is_built_again_from_its_structure(name):
    import json

    net = network(name)
    again = Network.from_structure(json.loads(json.dumps(net.structure()))).double()
    again.load_state_dict(net.state_dict())
    assert again.structure() == net.structure()
    x = (torch.rand(2, 12, net.n_in) < 0.4).double()
    with torch.no_grad():
        assert torch.equal(net(x), again(x))


def test_inputs_are_multiplied_by_the_input_scale():
    net = network("brf")
    scaled = Network([*net.layers], input_scale=1 / 16, input_format=(0, 16)).double()
    x = torch.randint(0, 17, (2, 10, 4))
    with torch.no_grad():
        assert torch.equal(scaled(x), net(x.double() / 16))
    assert scaled.to_arrays()["input_scale"] == 1 / 16


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: BRF(0, 3), "n_in is 0"),
        (lambda: BRF(2, 3, variant=_any("implicit")), "allowed: euler, exponential"),
        (lambda: BRF(2, 3, dt=0.5), "lower omega or dt"),
        (lambda: BRF(2, 3, b_range=_any((1,))), "two numbers"),
        (lambda: SEAdLIF(2, 3, adaptation_spike=_any("next")), "allowed: current, previous"),
        (lambda: LIF(2, 3, reset=_any("none")), "allowed: zero, subtract"),
        (lambda: LIF(2, 3, surrogate="box"), "choose one of"),
        (lambda: CubaLIF(2, 3, theta=float("nan")), "positive number"),
        (lambda: CubaLIF(2, 3, reset="subtract").to_arrays(), "no exported form"),
        (lambda: Slayer(-1.0, 1.0), "positive number"),
        (lambda: hypr.Range((2.0, 1.0)), "first not above"),
        (
            lambda: type("Taken", (hypr.Neuron,), {"trainable": {"weight": hypr.Range((0, 1))}})(2, 2),
            "cannot be called",
        ),
        (lambda: Network([_Forgetful(2, 2)])(torch.ones(1, 3, 2)), "one for each"),
        (lambda: Network([]), "no layers"),
        (lambda: Network([BRF(2, 3), LI(4, 2)]), "make them equal"),
        (lambda: Network([BRF(2, 3)], input_scale=0.3), "power of two"),
        (lambda: Network.from_structure({"layers": [{"kind": "brff"}]}), "known are"),
        (lambda: Network.from_structure({"layers": [{"kind": "li", "n_in": 2, "n": 2, "tau": 3}]}), "layer 0"),
        (lambda: Network.from_structure({"layer": []}), "unknown item 'layer'"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_to_do(build, says):
    with pytest.raises(HyprError, match=says) as caught:
        build()
    assert "\n" not in str(caught.value)
