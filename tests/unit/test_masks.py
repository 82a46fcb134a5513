"""Fixed connectivity: weights that a mask leaves out are 0 from the first step on and have no gradient, by any rule."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import hypr
from hypr.errors import HyprError
from hypr.kernels import dispatch
from hypr.learning.autograd import Autograd
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.neurons import random_mask
from hypr.training import checkpoint, runs
from tests.unit.hypr_cases import LIMIT, MODELS, batch, gradients, held, network, worst

T = 20
STACKS = [(name,) for name in MODELS] + [("brf", "alif"), ("cuba_lif_zero", "own")]
RULES: dict[str, tuple[Callable[[Network], Rule], str]] = {
    "hypr": (hypr.HYPR, "same_step"),
    "hypr in windows": (lambda net: hypr.HYPR(net, window=7), "same_step"),
    "eprop": (hypr.EProp, "same_step"),
    "bptt": (hypr.BPTT, "full"),
    "hypr-window of one": (lambda net: hypr.HYPRWindow(net, window=T), "full"),
}


def masked(net: Network) -> dict[str, Tensor]:
    """Parameter name -> its mask."""
    return {
        f"layers.{index}.{name}": mask for index, layer in enumerate(net.layers) for name, mask in layer.masks().items()
    }


def left_out(values: dict[str, Tensor], masks: dict[str, Tensor]) -> int:
    """Elements that are not exactly 0 where no synapse is."""
    assert masks.keys() <= values.keys()
    return sum(int(torch.count_nonzero(values[name][~mask])) for name, mask in masks.items())


def weights(net: Network) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in net.named_parameters()}


# ---- gradients


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stack", STACKS, ids="+".join)
def test_gradients_are_those_of_automatic_differentiation_and_0_without_a_synapse(stack, rule):
    net = network(*stack, density=0.5)
    build, paths = RULES[rule]
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths=paths), *data)  # type: ignore[arg-type]
    _, found = gradients(build(net), *data)
    masks = masked(net)
    assert len(masks) == 2 * len(stack) + 1
    assert worst(found, expected) < LIMIT
    assert left_out(found, masks) == left_out(expected, masks) == 0
    for name, mask in masks.items():
        assert 0 < int(mask.sum()) < mask.numel()
        assert int(torch.count_nonzero(found[name][mask])) > 0


def test_the_other_gradients_are_those_of_a_dense_network_with_zeros():
    """A mask changes nothing but what it is for."""
    net = network("brf", "alif", density=0.4)
    dense = network("brf", "alif")
    dense.load_state_dict({name: value for name, value in net.state_dict().items() if not name.endswith("mask")})
    data = batch(net, T)
    masks = masked(net)
    for rule in (hypr.HYPR, hypr.BPTT):
        _, expected = gradients(rule(dense), *data)
        _, found = gradients(rule(net), *data)
        assert left_out(expected, masks) > 0
        assert worst(found, {n: torch.where(masks[n], g, 0.0) if n in masks else g for n, g in expected.items()}) == 0


@pytest.mark.parametrize("options", [{"carry": True, "boundary_spike": True, "readout_memory": True}, {"carry": False}])
def test_windows_with_and_without_a_carry_leave_masked_gradients_at_0(options):
    net = network("brf", "alif", density=0.5)
    _, found = gradients(hypr.HYPRWindow(net, window=6, **options), *batch(net, T))
    assert left_out(found, masked(net)) == 0


def test_a_stream_adds_up_to_the_whole_sequence():
    net = network("lif_zero", density=0.5)
    x, y, _ = batch(net, T)
    _, expected = gradients(hypr.HYPR(net, window=4), x, y)
    net.zero_grad()
    stream = hypr.HYPR(net, window=4).stream(3, steps=T)
    for part in (slice(0, 3), slice(3, 4), slice(4, T)):
        stream.feed(x[:, part], y[:, part])
    assert worst(held(net), expected) < LIMIT
    assert left_out(held(net), masked(net)) == 0


def test_a_loop_of_the_users_own_gets_the_same_gradient_by_autograd():
    net = network("brf", density=0.5)
    x, y, _ = batch(net, T)
    torch.nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten()).backward()
    found = held(net)
    assert left_out(found, masked(net)) == 0
    assert worst(found, gradients(hypr.BPTT(net), x, y)[1]) < LIMIT


def test_weights_that_someone_wrote_where_no_synapse_is_do_not_act_under_autograd():
    net = network("brf", density=0.5)
    x, _, _ = batch(net, T)
    before = net(x)
    net.layers[0].weight.data += 0.3 * (~net.layers[0].masks()["weight"])
    assert torch.equal(net(x), before)
    net.constrain_()
    assert left_out(weights(net), masked(net)) == 0


# ---- weights


def test_weights_are_drawn_as_without_a_mask_and_scaled_to_currents_of_the_same_strength():
    for name, build in MODELS.items():
        torch.manual_seed(3)
        dense = build(8, 10, recurrent=True)
        masks = {"mask": random_mask(10, 8, 0.25), "recurrent_mask": random_mask(10, 10, 0.4)}
        torch.manual_seed(3)
        layer = build(8, 10, recurrent=True, **masks)
        for key, share in (("weight", 0.25), ("recurrent_weight", 0.4)):
            mask = layer.masks()[key]
            expected = dense.get_parameter(key) / math.sqrt(share) * mask
            torch.testing.assert_close(layer.get_parameter(key).data, expected.data, rtol=1e-6, atol=0)  # float32
        for key in layer.ranges:
            assert torch.equal(layer.get_parameter(key), dense.get_parameter(key)), name


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.Adam(p, lr=0.05),
        lambda p: torch.optim.Adam(p, lr=0.05, fused=True),
        lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=True),
    ],
    ids=["adam", "fused adam", "adamw", "sgd"],
)
@pytest.mark.parametrize("constrained", [True, False])
def test_no_optimiser_moves_a_masked_weight_away_from_exactly_0(optimiser, constrained):
    net = network("brf", "se_adlif_current", density=0.5).float()
    x, y, mask = batch(net, T)
    rule, steps = hypr.HYPR(net, window=7), optimiser(list(net.parameters()))
    before = weights(copy.deepcopy(net))
    for _ in range(6):
        steps.zero_grad()
        rule.backward(x, y, mask)
        steps.step()
        if constrained:
            net.constrain_()
        assert left_out(weights(net), masked(net)) == 0
    assert not torch.equal(before["layers.0.weight"], weights(net)["layers.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_and_delayed_layers_run_on_the_compiled_kernels(dtype):
    net = network("brf", "alif", density=0.5, input_delays=[0, 3, 1, 2]).to(dtype)
    assert [dispatch.kernel_name(layer) for layer in net.layers] == ["cpu"] * 3
    x, y, mask = batch(net, T)
    _, found = gradients(hypr.HYPR(net, window=7), x, y, mask)
    with dispatch.use("reference"):
        _, expected = gradients(hypr.HYPR(net, window=7), x, y, mask)
    assert worst(found, expected) < (LIMIT if dtype == torch.float64 else 1e-3)  # float32 over 20 steps


# ---- files


def test_masks_are_saved_and_come_back_with_the_network(tmp_path):
    net = network("brf", "alif", density=0.3, input_delays=[0, 5, 0, 62])
    runs.save_weights(tmp_path / "a.safetensors", net, {"epoch": 1})
    again = runs.rebuild(checkpoint.read(tmp_path / "a.safetensors"))
    assert again.structure() == net.structure()
    assert again.state_dict().keys() == net.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    x, _, _ = batch(net, T)
    with torch.no_grad():
        assert torch.equal(again(x), net(x))


def test_a_network_without_masks_and_delays_is_written_as_before():
    net = network("brf")
    assert not any("mask" in name for name in net.state_dict())
    assert set(net.structure()) == {"input_scale", "input_format", "decision", "layers"}
    assert not any("mask" in key for layer in net.structure()["layers"] for key in layer)
    assert network("brf", input_delays=[0, 0, 0, 0]).structure() == net.structure()


def test_a_checkpoint_with_a_weight_outside_its_mask_is_refused_and_changes_nothing(tmp_path):
    net = network("brf", density=0.5)
    tensors = {name: value.clone() for name, value in net.state_dict().items()}
    tensors["layers.0.recurrent_weight"] += 1.0
    checkpoint.save(tmp_path / "a.safetensors", tensors, {})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(HyprError, match=r"18 weight\(s\) of 'layers\.0\.recurrent_weight'") as caught:
        checkpoint.load_weights(net, checkpoint.read(tmp_path / "a.safetensors"))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_masks_follow_the_network_to_another_type_and_into_a_copy():
    net = network("brf", density=0.5).float()
    twin = copy.deepcopy(net).double()
    assert twin.layers[0].masks()["weight"].dtype == torch.bool
    assert torch.equal(twin.layers[0].masks()["weight"], net.layers[0].masks()["weight"])
    assert "of weight" in repr(net.layers[0]) and "of recurrent_weight" in repr(net.layers[0])


# ---- masks


def test_a_random_mask_gives_every_neuron_the_same_number_of_sources():
    for density, count in ((1.0, 7), (0.5, 4), (0.29, 2), (0.01, 1)):
        mask = random_mask(50, 7, density, torch.Generator().manual_seed(0))
        assert mask.dtype == torch.bool and mask.shape == (50, 7)
        assert mask.sum(1).tolist() == [count] * 50
    assert int(mask.sum(0).min()) > 0, "all sources are drawn"
    again = random_mask(50, 7, 0.01, torch.Generator().manual_seed(0))
    assert torch.equal(mask, again)
    assert not torch.equal(mask, random_mask(50, 7, 0.01, torch.Generator().manual_seed(1)))


ALL = torch.ones(3, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: hypr.LIF(2, 3, mask=ALL.float()), r"mask is torch.float32 \(3, 2\), must be a bool tensor \(3, 2\)"),
        (lambda: hypr.LIF(2, 3, mask=ALL.T), r"mask is torch.bool \(2, 3\)"),
        (lambda: hypr.LIF(2, 3, mask=ALL.numpy()), "mask is ndarray"),
        (lambda: hypr.LIF(2, 3, mask=~ALL), "mask leaves no synapse; keep at least one"),
        (lambda: hypr.LIF(2, 3, recurrent_mask=torch.zeros(3, 3, dtype=torch.bool)), "use recurrent=False"),
        (lambda: hypr.LIF(2, 3, recurrent=False, recurrent_mask=torch.ones(3, 3).bool()), "needs recurrent synapses"),
        (lambda: random_mask(3, 2, 0.0), "density is 0.0"),
        (lambda: random_mask(3, 2, 1.5), "density is 1.5"),
    ],
)
def test_a_wrong_mask_is_refused_in_one_line(build: Callable[[], Any], says: str) -> None:
    with pytest.raises(HyprError, match=says) as caught:
        build()
    assert "\n" not in str(caught.value)
