"""The neuron's own previous spike is no constant: equal to automatic differentiation with the spikes of all other
neurons detached, to BPTT where no neuron hears another, and the same however the steps are cut.
"""

from __future__ import annotations

import pytest
import torch

from hypr.learning import BPTT, HYPR, HYPRWindow
from hypr.learning.autograd import Autograd
from tests.unit.hypr_cases import LIMIT, MODELS, batch, gradients, held, network, worst

T = 20
STACKS = [(name,) for name in MODELS] + [("alif", "alif"), ("lif_subtract", "alif"), ("brf", "cuba_lif_subtract")]


def diagonal(name, seed=0):
    """One hidden layer whose neurons hear themselves only, one kappa for all outputs: all paths are carried."""
    net = network(name, seed=seed)
    net.layers[0].get_parameter("recurrent_weight").data *= torch.eye(net.layers[0].n)
    net.layers[-1].get_parameter("tau").data.fill_(5.0)
    return net


def without_other_synapses(found):
    """Gradients but for those of the synapses between neurons, through which errors of other neurons pass."""
    kept = dict(found)
    kept["layers.0.recurrent_weight"] = kept["layers.0.recurrent_weight"].diagonal()
    return kept


@pytest.mark.parametrize("stack", STACKS, ids="+".join)
@pytest.mark.parametrize("window", [None, 7, 1])
def test_hypr_with_own_spike_equals_autograd_with_the_spikes_of_other_neurons_constant(stack, window):
    net = network(*stack)
    data = batch(net, T)
    loss, expected = gradients(Autograd(net, paths="same_step", own_spike=True), *data)
    value, found = gradients(HYPR(net, window=window, own_spike=True), *data)
    assert abs(float(value - loss)) < 1e-12  # the same float64 sums in another order
    assert worst(found, expected) < LIMIT


@pytest.mark.parametrize("name", ["alif", "lif_subtract", "cuba_lif_subtract", "se_adlif_previous"])
@pytest.mark.parametrize("window", [None, 7, 1])
def test_with_readout_memory_only_the_spikes_of_other_neurons_are_constant(name, window):
    net = network(name)
    net.layers[-1].get_parameter("tau").data.fill_(5.0)
    data = batch(net, T)
    _, expected = gradients(Autograd(net, paths="own_state", own_spike=True), *data)
    rule = HYPR(net, window=window, readout_memory=True, own_spike=True)
    assert worst(gradients(rule, *data)[1], expected) < LIMIT


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("window", [1, 7])
def test_windows_are_exact_where_neurons_hear_themselves_only(name, window):
    net = diagonal(name)
    data = batch(net, T)
    _, expected = gradients(BPTT(net), *data)
    _, found = gradients(HYPRWindow(net, window=window, own_spike=True), *data)
    assert worst(without_other_synapses(found), without_other_synapses(expected)) < LIMIT
    rule = HYPR(net, window=window, own_spike=True, readout_memory=True)
    _, found = gradients(rule, *data)
    assert worst(without_other_synapses(found), without_other_synapses(expected)) < LIMIT


@pytest.mark.parametrize("name", ["alif", "lif_subtract"])
def test_windows_without_it_are_not_exact_there(name):
    """Otherwise the tests above could not fail for these neurons."""
    net = diagonal(name)
    data = batch(net, T)
    _, expected = gradients(BPTT(net), *data)
    _, found = gradients(HYPRWindow(net, window=7, own_spike=False), *data)
    assert worst(without_other_synapses(found), without_other_synapses(expected)) > 0.01


@pytest.mark.parametrize("name", ["alif", "lif_subtract"])
def test_it_brings_windows_nearer_to_bptt_with_recurrent_synapses(name):
    net = network(name)
    data = batch(net, 60)
    _, exact = gradients(BPTT(net), *data)

    def distance(**options):
        _, found = gradients(HYPRWindow(net, window=10, **options), *data)
        return float(sum(((found[k] - exact[k]) ** 2).sum() for k in exact if k.startswith("layers.0")))

    assert distance(own_spike=True) < 0.5 * distance(own_spike=False)


@pytest.mark.parametrize("chunks", [(20,), (1,) * 20, (3, 9, 8)], ids=["one", "steps", "mixed"])
@pytest.mark.parametrize("stack", [("alif",), ("lif_subtract", "alif")], ids="+".join)
def test_a_stream_of_hypr_adds_up_to_the_whole_sequence_however_it_is_cut(chunks, stack):
    net = network(*stack)
    x, y, _ = batch(net, T)
    value, expected = gradients(HYPR(net, own_spike=True), x, y)
    net.zero_grad()
    stream, total, start = HYPR(net, window=4, own_spike=True).stream(3, steps=T), 0.0, 0
    for length in chunks:
        total += float(stream.feed(x[:, start : start + length], y[:, start : start + length]))
        start += length
    assert abs(total - float(value)) < 1e-12  # the same float64 sums in another order
    assert worst(held(net), expected) < LIMIT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("own_spike", [False, True])
@pytest.mark.parametrize("rule", [HYPR, HYPRWindow])
def test_chunks_of_whole_windows_give_the_same_bits_as_one_sequence(rule, own_spike, dtype):
    results = []
    for chunks in ((5, 5, 5, 5), (10, 10), (5, 15), (20,)):
        net = network("alif", "lif_subtract").to(dtype)
        x, y, _ = batch(net, T)
        stream, start, outputs = rule(net, window=5, own_spike=own_spike).stream(3, steps=T), 0, []
        for length in chunks:
            stream.feed(x[:, start : start + length].to(dtype), y[:, start : start + length])
            outputs.append(stream.output)
            start += length
        carried = [stream._carry.eligibilities[k].weight.clone() for k in (0, 1)]
        results.append([torch.cat(outputs, 1), *carried, *(held(net)[name] for name in sorted(held(net)))])
    assert all(float(value.abs().sum()) > 0 for value in results[0][:3])
    for found in results[1:]:
        assert len(found) == len(results[0]) > 3
        assert all(torch.equal(a, b) for a, b in zip(found, results[0], strict=True))
