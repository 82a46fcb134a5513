"""Learning rules: limits in which one equals another, oracles, masks, streams, errors."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from hypr.errors import HyprError
from hypr.kernels import dispatch
from hypr.learning import BPTT, HYPR, EProp, HYPRWindow
from hypr.learning.autograd import Autograd
from hypr.learning.losses import NAMED, predict
from tests.unit.hypr_cases import LIMIT, MODELS, batch, gradients, held, network, worst

STACKS = [(name,) for name in MODELS] + [("brf", "alif"), ("se_adlif_current", "lif_zero"), ("cuba_lif_zero", "own")]
T = 20


def _ids(stack):
    return "+".join(stack)


@pytest.mark.parametrize("stack", STACKS, ids=_ids)
def test_hypr_equals_autograd_with_earlier_spikes_constant_and_errors_of_the_same_step(stack):
    net = network(*stack)
    data = batch(net, T)
    loss, expected = gradients(Autograd(net, paths="same_step"), *data)
    for window in (None, 7, 1):
        value, found = gradients(HYPR(net, window=window), *data)
        assert abs(float(value - loss)) < 1e-12, window  # the same float64 sums in another order
        assert worst(found, expected) < LIMIT, window


@pytest.mark.parametrize("stack", STACKS, ids=_ids)
def test_bptt_equals_autograd(stack):
    net = network(*stack)
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths="full"), *data)
    assert worst(gradients(BPTT(net), *data)[1], expected) < LIMIT


@pytest.mark.parametrize("stack", [("brf",), ("alif", "se_adlif_previous"), ("cuba_lif_zero",)], ids=_ids)
def test_eprop_equals_hypr(stack):
    net = network(*stack)
    data = batch(net, T)
    assert worst(gradients(EProp(net), *data)[1], gradients(HYPR(net), *data)[1]) < LIMIT


@pytest.mark.parametrize("stack", STACKS, ids=_ids)
def test_hypr_window_with_one_window_equals_bptt(stack):
    net = network(*stack)
    data = batch(net, T)
    assert worst(gradients(HYPRWindow(net, window=T), *data)[1], gradients(BPTT(net), *data)[1]) < LIMIT


@pytest.mark.parametrize("window", [1, 4, 7])
def test_hypr_window_without_carry_is_truncated_bptt(window):
    net = network("brf", "alif")
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths="full", truncate=window), *data)
    assert worst(gradients(HYPRWindow(net, window=window, carry=False), *data)[1], expected) < LIMIT


def test_hypr_window_of_one_step_has_the_gradient_of_hypr_for_a_single_layer():
    """Nothing passes through an earlier spike of such a window, and one hidden layer has no memory below it."""
    net = network("brf")
    data = batch(net, T)
    rule = HYPRWindow(net, window=1, boundary_spike=False, readout_memory=False)
    assert worst(gradients(rule, *data)[1], gradients(HYPR(net), *data)[1]) < LIMIT


@pytest.mark.parametrize(
    "options",
    [{}, {"boundary_spike": False, "readout_memory": False}, {"readout_memory": False}, {"own_spike": True}],
)
def test_hypr_window_is_closer_to_bptt_than_truncated_bptt(options):
    net = network("brf")
    x, y, mask = batch(net, 60)
    _, exact = gradients(BPTT(net), x, y, mask)

    def distance(rule):
        found = gradients(rule, x, y, mask)[1]
        return float(sum(((found[k] - exact[k]) ** 2).sum() for k in exact if k.startswith("layers.0")))

    assert distance(HYPRWindow(net, window=10, **options)) < distance(HYPRWindow(net, window=10, carry=False))


@pytest.mark.parametrize("name", ["brf", "se_adlif_previous", "alif", "lif_subtract", "cuba_lif_zero"])
@pytest.mark.parametrize("window", [None, 7, 1])
def test_readout_memory_equals_autograd_with_only_the_recurrent_spike_detached(name, window):
    """One hidden layer; across windows exact because all outputs share one kappa."""
    net = network(name)
    net.layers[-1].get_parameter("tau").data.fill_(5.0)
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths="own_state"), *data)
    assert worst(gradients(HYPR(net, window=window, readout_memory=True), *data)[1], expected) < LIMIT


def test_readout_memory_of_two_hidden_layers_keeps_the_memory_of_the_readout_only():
    net = network("brf", "alif")
    net.layers[-1].get_parameter("tau").data.fill_(5.0)
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths="readout_memory"), *data)
    assert worst(gradients(HYPR(net, readout_memory=True), *data)[1], expected) < LIMIT


def test_boundary_spike_and_readout_memory_make_windows_exact_without_recurrent_spikes():
    """No recurrence and no reset: all that crosses a window is the neuron's state and what the readout holds."""
    net = network("brf", recurrent=False)
    net.layers[-1].get_parameter("tau").data.fill_(5.0)
    data = batch(net, T)
    _, expected = gradients(BPTT(net), *data)
    rule = HYPRWindow(net, window=6, boundary_spike=True, readout_memory=True)
    assert worst(gradients(rule, *data)[1], expected) < LIMIT


@pytest.mark.parametrize("loss", sorted(NAMED))
@pytest.mark.parametrize("window", [None, 7])
def test_each_loss_gives_the_gradient_of_autograd(loss, window):
    net = network("brf")
    x, y, mask = batch(net, T)
    target = {
        "cross_entropy": torch.nn.functional.one_hot(y, net.n_out).double() * 0.9 + 0.02,
        "mse": torch.randn(3, T, net.n_out, generator=torch.Generator().manual_seed(0)).double(),
    }.get(loss, y[:, 0])
    value, expected = gradients(Autograd(net, loss=loss, paths="same_step"), x, target, mask)
    found = gradients(HYPR(net, loss=loss, window=window), x, target, mask)
    assert worst(found[1], expected) < LIMIT
    assert abs(float(found[0] - value)) < 1e-12 * max(1.0, float(value))  # the same float64 sums in another order


def test_cross_entropy_is_the_masked_mean_over_steps_and_batch():
    net = network("brf")
    x, y, mask = batch(net, T)
    with torch.no_grad():
        each = torch.nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
    expected = ((each * mask).sum(1) / mask.sum(1)).mean()
    assert abs(float(HYPR(net).backward(x, y, mask) - expected)) < 1e-12  # float64 sums in another order


@pytest.mark.parametrize("rule", [HYPR, HYPRWindow, BPTT, EProp])
def test_mixed_lengths_in_one_batch_give_the_mean_of_the_single_gradients(rule):
    net = network("brf")
    x, y, _ = batch(net, T)
    lengths = (T, 13, 5)
    mask = torch.stack([(torch.arange(T) < n).double() for n in lengths])
    single = [gradients(rule(net), x[i : i + 1, :n], y[i : i + 1, :n])[1] for i, n in enumerate(lengths)]
    expected = {key: torch.stack([g[key] for g in single]).mean(0) for key in single[0]}
    assert worst(gradients(rule(net), x, y, mask)[1], expected) < LIMIT


@pytest.mark.parametrize("chunks", [(20,), (1,) * 20, (3, 9, 8)], ids=["one", "steps", "mixed"])
@pytest.mark.parametrize(("stack", "options"), [(("brf", "alif"), {}), (("brf",), {"readout_memory": True})])
def test_a_stream_adds_up_to_backward_on_the_whole_sequence(chunks, stack, options):
    net = network(*stack)
    net.layers[-1].get_parameter("tau").data.fill_(4.0)
    x, y, _ = batch(net, T)
    value, expected = gradients(HYPR(net, window=4, **options), x, y)
    net.zero_grad()
    stream, total, start = HYPR(net, window=4, **options).stream(3, steps=T), 0.0, 0
    for length in chunks:
        total += float(stream.feed(x[:, start : start + length], y[:, start : start + length]))
        start += length
    assert abs(total - float(value)) < 1e-12  # the same float64 sums in another order
    assert worst(held(net), expected) < LIMIT


def test_eprop_streams_as_hypr_does():
    net = network("lif_zero")
    x, y, _ = batch(net, T)
    _, expected = gradients(HYPR(net), x, y)
    net.zero_grad()
    stream = EProp(net).stream(3, steps=T)
    for part in (slice(0, 11), slice(11, T)):
        stream.feed(x[:, part], y[:, part])
    assert worst(held(net), expected) < LIMIT


def test_a_reset_stream_forgets_those_samples_only():
    net = network("brf")
    x, y, _ = batch(net, T)
    stream, fresh = HYPR(net).stream(3), HYPR(net).stream(3)
    stream.feed(x, y)
    stream.reset(torch.tensor([True, False, True]))
    stream.feed(x, y)
    fresh.feed(x, y)
    assert stream.output is not None and fresh.output is not None
    assert torch.equal(stream.output[[0, 2]], fresh.output[[0, 2]])
    assert not torch.equal(stream.output[1], fresh.output[1])


def test_memory_of_a_stream_does_not_grow():
    """What is carried has the same size after any number of steps."""
    net = network("brf")
    x, y, _ = batch(net, 5)
    stream = HYPR(net).stream(3)
    sizes = []
    for _ in range(3):
        stream.feed(x, y)
        carry = stream._carry
        tensors = [t for pair in carry.states for t in pair]
        tensors += [e.weight for e in carry.eligibilities if e is not None]
        assert len(tensors) == 6
        sizes.append(sum(t.untyped_storage().nbytes() for t in tensors))
    assert sizes[0] == sizes[1] == sizes[2]


def test_backward_adds_to_existing_gradients_and_skips_frozen_parameters():
    net = network("brf")
    data = batch(net, T)
    _, once = gradients(HYPR(net), *data)
    HYPR(net).backward(*data)
    assert worst(held(net), {n: 2 * g for n, g in once.items()}) < LIMIT
    net.layers[0].omega.requires_grad_(False)
    _, rest = gradients(HYPR(net), *data)
    assert "layers.0.omega" not in rest
    assert worst(rest, {n: g for n, g in once.items() if n != "layers.0.omega"}) < LIMIT


def test_outputs_and_rates_of_the_last_batch_are_kept():
    net = network("brf")
    x, y, mask = batch(net, T)
    rule = HYPR(net, window=6)
    rule.backward(x, y, mask)
    with torch.no_grad():
        torch.testing.assert_close(rule.output, net(x), rtol=1e-12, atol=1e-12)  # the same steps
    spikes = net.trajectory(x)["hidden0"].spikes[1:]
    torch.testing.assert_close(rule.rates["hidden0"], spikes.mean((0, 1)), rtol=1e-12, atol=1e-12)


def test_float32_gradients_agree_with_float64():
    net = network("brf", seed=2)
    x, y, mask = batch(net, 8)
    _, expected = gradients(HYPR(net), x, y, mask)
    _, found = gradients(HYPR(net.float()), x, y, mask)
    assert worst({n: g.double() for n, g in found.items()}, expected) < 1e-4  # float32 rounding over 8 steps


def test_an_optimiser_lowers_the_loss():
    torch.manual_seed(0)
    net = network("brf").float()
    x, y, mask = batch(net, T)
    y = y[:, 0]
    rule, optimiser = HYPR(net, window=10), torch.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        losses.append(float(rule.backward(x, y, mask)))
        optimiser.step()
        net.constrain_()
    assert losses[-1] < 0.8 * losses[0]


def test_predictions_by_each_rule():
    output = torch.tensor([[[4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])
    assert predict(output).tolist() == [[0, 1, 1]]
    assert predict(output, rule="mean").tolist() == [0]
    assert predict(output, torch.tensor([[0, 1, 1]]), "mean").tolist() == [1]
    assert predict(torch.tensor([[[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]]]), rule="sum_softmax").tolist() == [1]
    assert predict(torch.zeros(1, 1, 3)).tolist() == [[0]], "a tie goes to the lowest index"


def test_the_reference_can_be_forced():
    net = network("brf")
    with dispatch.use("reference"):
        assert dispatch.kernel_name(net.layers[0]) == "reference"
    with dispatch.use("compiled"), pytest.raises(HyprError, match="no compiled kernel"):
        dispatch.kernel_name(network("own").layers[0])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x, y, m: (x[:, :, :2], y, m), "x has shape"),
        (lambda x, y, m: (x[:, :0], y[:, :0], m[:, :0]), "at least one sample and step"),
        (lambda x, y, m: (x.numpy(), y, m), "torch.Tensor"),
        (
            lambda x, y, m: (
                x.index_put((torch.tensor(1), torch.tensor(2), torch.tensor(3)), torch.tensor(float("nan")).double()),
                y,
                m,
            ),
            "sample 1, step 2, input 3",
        ),
        (lambda x, y, m: (x, y + 1, m), "y holds class 3"),
        (lambda x, y, m: (x, y - 1, m), "y holds class -1"),
        (lambda x, y, m: (x, y[:, :4], m), "y has shape"),
        (lambda x, y, m: (x, torch.nn.functional.one_hot(y, 3), m), "must be float"),
        (lambda x, y, m: (x, torch.full((3, 3), float("inf")), m), "not finite"),
        (lambda x, y, m: (x, y, m[:, 1:]), "mask has shape"),
        (lambda x, y, m: (x, y, m * 2), "other than 0 and 1"),
        (lambda x, y, m: (x, y, m * 0), "no step"),
    ],
)
@pytest.mark.parametrize("rule", [HYPR, BPTT])
def test_a_bad_batch_is_one_line_and_changes_nothing(rule, spoil, says):
    net = network("brf")
    with pytest.raises(HyprError, match=says) as caught:
        rule(net).backward(*spoil(*batch(net, T)))
    assert "\n" not in str(caught.value)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda n: HYPR(n, window=0), "window is 0"),
        (lambda n: HYPR(n, window=cast(Any, 2.5)), "window is 2.5"),
        (lambda n: HYPR(n, loss="hinge"), "choose one of"),
        (lambda n: HYPR(cast(Any, torch.nn.Linear(2, 2))), "must be a hypr.Network"),
        (lambda n: BPTT(n).stream(2), "whole sequence"),
        (lambda n: HYPR(n, loss="mean_cross_entropy").stream(2), "whole sequences"),
        (lambda n: HYPR(n).stream(0), "batch_size is 0"),
        (lambda n: HYPR(n).stream(2).feed(*batch(n, T)), "keep the batch size"),
        (lambda n: HYPR(n, loss="mse").backward(*batch(n, T)), "float target"),
        (lambda n: HYPR(n, loss="mean_cross_entropy").backward(*batch(n, T)), "one class per sequence"),
        (lambda n: dispatch.use("fast").__enter__(), "allowed: auto"),
        (lambda n: predict(torch.zeros(1, 1, 1), rule="vote"), "choose one of"),
    ],
)
def test_a_wrong_use_is_one_line_that_says_what_to_do(build, says):
    with pytest.raises(HyprError, match=says) as caught:
        build(network("brf"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("window", [None, 7])
def test_gradients_lie_in_memory_as_their_parameters_do(window):
    """Fused optimisers walk through both memories side by side, without a look at strides."""
    net = network("brf", "lif_zero")
    gradients(HYPR(net, window=window), *batch(net, T))
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.stride() == parameter.stride(), name
    twin = network("brf", "lif_zero")
    for parameter, other in zip(net.parameters(), twin.parameters(), strict=True):
        other.grad = parameter.grad.clone() if parameter.grad is not None else None
    for one, fused in ((net, True), (twin, False)):
        torch.optim.Adam(one.parameters(), lr=0.1, fused=fused).step()
    for (name, parameter), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=0, atol=1e-14, msg=name)  # orders of the same operations


def test_parameters_shared_by_layers_and_layers_used_twice_have_the_gradient_of_autograd():
    tied = network("brf", "brf")
    tied.layers[1].omega = tied.layers[0].omega
    twice = network("brf", n_in=6, n=6)
    twice = type(twice)([twice.layers[0], twice.layers[0], twice.layers[1]]).double()
    for net in (tied, twice):
        data = batch(net, T)
        assert worst(gradients(BPTT(net), *data)[1], gradients(Autograd(net, paths="full"), *data)[1]) < LIMIT


def test_a_frozen_layer_gets_no_gradient_and_changes_none_of_the_others():
    net = network("brf", "alif")
    data = batch(net, T)
    expected = gradients(BPTT(net), *data)[1]
    net.layers[0].requires_grad_(False)
    found = gradients(BPTT(net), *data)[1]
    assert not any(name.startswith("layers.0.") for name in found)
    assert found and all(torch.equal(value, expected[name]) for name, value in found.items())
