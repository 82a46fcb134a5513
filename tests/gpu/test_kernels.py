"""Compiled GPU kernels on a GPU equal the reference on a CPU: models, modes, routes, windows longer than a CUDA graph.

The same properties as tests/unit/test_kernels_gpu.py, at sizes that Triton's interpreter cannot run, and those that
only a GPU can show: capture and replay of graphs, and results that repeat bit for bit.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

import hypr
from hypr.kernels import dispatch, reference
from hypr.kernels.gpu import plan as gpu_plan
from hypr.kernels.gpu.launch import CHUNK
from hypr.neurons import LI
from tests.golden_gradients import LIMIT as GOLDEN_LIMIT
from tests.golden_gradients import Case, compare
from tests.paths import golden_folder
from tests.unit.hypr_cases import (
    LIMIT,
    MODELS,
    NO_KERNELS,
    drawn_eligibility,
    eligibility_tensors,
    gradients,
    held,
    layer_trajectory,
    network,
    worst,
)
from tests.unit.hypr_cases import batch as batch_of

DEVICE = "cuda"
NAMES = [name for name in MODELS if name not in NO_KERNELS]
SINGLE = 2e-5  # relative, float32, a few steps: some hundred roundings of 6e-8 with factors up to ten
LONG = 2 * CHUNK + 13  # two graphs and a remainder
GROWN = 1e-8  # relative, float64: roundings that the dynamics carry through 269 steps


def there(value):
    """A copy of a layer, a tensor or a dataclass of tensors on the GPU."""
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).to(DEVICE)
    if isinstance(value, torch.Tensor):
        return value.to(DEVICE)
    tensors = {key: item.to(DEVICE) for key, item in vars(value).items() if isinstance(item, torch.Tensor)}
    return replace(value, **tensors)


def here(values):
    return {key: value.cpu() for key, value in values.items()}


def operations():
    from hypr.kernels.gpu import operations as gpu

    return gpu


def error_of(trajectory, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(trajectory.current.shape, generator=generator, dtype=torch.float64).to(trajectory.current.dtype)


def same_credit(found, expected, limit):
    names = ("d_current", "d_direct", "adjoint_start", "dz_start")
    expected_parts = {name: getattr(expected, name) for name in names if getattr(expected, name) is not None}
    parts = {name: getattr(found, name) for name in names if getattr(found, name) is not None}
    assert worst(here(parts), expected_parts) < limit
    assert worst(here(dict(found.d_parameters)), dict(expected.d_parameters)) < limit


@pytest.mark.parametrize("route", ["whole", "steps"])
@pytest.mark.parametrize("name", NAMES)
def test_forward_and_credit_in_full_equal_the_reference_over_several_graphs(name, route):
    layer, expected = layer_trajectory(name, steps=LONG, size=19)
    dz = error_of(expected)
    with gpu_plan.use(route):
        found = operations().run_layer(
            there(layer), *map(there, (expected.pre, expected.states[0], expected.spikes[0]))
        )
        credit = operations().credit_layer(there(layer), there(expected), there(dz), "full")
    assert expected.spikes[1:].sum() > 0
    assert torch.equal(found.spikes.cpu(), expected.spikes)
    assert worst(here({"s": found.states, "i": found.current}), {"s": expected.states, "i": expected.current}) < GROWN
    same_credit(credit, reference.credit_layer(layer, expected, dz, "full"), GROWN)


@pytest.mark.parametrize("mode", ["detached", "own"])
@pytest.mark.parametrize("name", NAMES)
def test_credit_without_exchange_is_that_of_the_reference(name, mode):
    layer, trajectory = layer_trajectory(name, steps=40, size=19)
    dz = error_of(trajectory)
    found = operations().credit_layer(there(layer), there(trajectory), there(dz), mode)
    same_credit(found, reference.credit_layer(layer, trajectory, dz, mode), LIMIT)


@pytest.mark.parametrize(("filters", "own_spike"), [((), False), ((0.0, 0.8), True)])
@pytest.mark.parametrize("name", NAMES)
def test_carried_eligibilities_and_their_gradient_are_those_of_the_reference(name, filters, own_spike):
    layer, trajectory = layer_trajectory(name, steps=30, size=5)
    before = drawn_eligibility(layer, 5, len(filters))
    expected = reference.carry_eligibility(layer, trajectory, before, filters, own_spike)
    moved = replace(there(before), parameters={key: value.to(DEVICE) for key, value in before.parameters.items()})
    found = operations().carry_eligibility(there(layer), there(trajectory), moved, filters, own_spike)
    assert worst(here(eligibility_tensors(found)), eligibility_tensors(expected)) < LIMIT
    adjoint = torch.randn(expected.weight.shape[:3], generator=torch.Generator().manual_seed(9)).double()
    gradient = operations().boundary_gradient(there(adjoint), found)
    assert worst(here(gradient), reference.boundary_gradient(adjoint, expected)) < LIMIT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("batch", "n", "route"),
    [(1, 1, "whole"), (17, 19, "whole"), (33, 300, "whole"), (5, 35, "steps"), (65, 515, "steps")],
)
def test_odd_sizes_fill_blocks_and_tiles(batch, n, route, dtype):
    net = network("alif", n_in=3, n=n, seed=n)
    layer = net.layers[0].to(dtype)
    assert layer.recurrent_weight is not None
    layer.recurrent_weight.data *= min(1.0, 6.0 / n)
    generator = torch.Generator().manual_seed(n)
    pre = (torch.rand(4, batch, 3, generator=generator) < 0.5).to(dtype)
    state = 0.2 * torch.rand(batch, 2, n, generator=generator).to(dtype)
    spikes = (torch.rand(batch, n, generator=generator) < 0.3).to(dtype)
    with torch.no_grad():
        expected = reference.run_layer(layer, pre, state, spikes)
    limit = LIMIT if dtype == torch.float64 else SINGLE
    dz = error_of(expected)
    with gpu_plan.use(route):
        found = operations().run_layer(there(layer), there(pre), there(state), there(spikes))
        credit = operations().credit_layer(there(layer), there(expected), there(dz), "full")
    flipped = float((found.spikes.cpu() != expected.spikes).double().mean())
    assert flipped == 0.0 if dtype == torch.float64 else flipped < 1e-4  # a sum in another order can turn a spike
    if flipped == 0.0:
        assert worst(here({"s": found.states}), {"s": expected.states}) < limit
    same_credit(credit, reference.credit_layer(layer, expected, dz, "full"), limit)


def test_readout_runs_and_learns():
    layer = LI(5, 3).double()
    pre = torch.rand(LONG, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    state = torch.rand(2, 1, 3, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        expected = reference.run_layer(layer, pre, state, state[:, 0])
    found = operations().run_layer(there(layer), there(pre), there(state), there(state[:, 0]))
    assert worst(here({"s": found.states, "z": found.spikes}), {"s": expected.states, "z": expected.spikes}) < LIMIT
    dz = error_of(expected)
    for mode in ("detached", "full"):
        credit = operations().credit_layer(there(layer), there(expected), there(dz), mode)
        same_credit(credit, reference.credit_layer(layer, expected, dz, mode), LIMIT)


RULES = {
    "hypr": lambda net: hypr.HYPR(net, window=7),
    "hypr_readout": lambda net: hypr.HYPR(net, window=7, readout_memory=True),
    "hypr_own_spike": lambda net: hypr.HYPR(net, window=7, own_spike=True),
    "hypr_window": lambda net: hypr.HYPRWindow(net, window=7),
    "hypr_window_own_spike": lambda net: hypr.HYPRWindow(net, window=7, own_spike=True),
    "bptt": lambda net: hypr.BPTT(net),
    "eprop": lambda net: hypr.EProp(net),
}


@pytest.mark.parametrize("names", [("brf", "se_adlif_previous"), ("alif", "own"), ("cuba_lif_zero", "lif_subtract")])
@pytest.mark.parametrize("rule", RULES)
def test_rules_give_the_gradients_of_the_reference(rule, names):
    """Masks and input delays included; an own neuron runs in the reference, beside compiled layers."""
    net = network(*names, n_in=4, n=9, density=0.7, input_delays=[0, 2, 1, 3])
    data = batch_of(net, steps=40, size=5)
    with dispatch.use("reference"):
        _, expected = gradients(RULES[rule](net), *data)
    moved = there(net)
    assert dispatch.kernel_name(moved.layers[0]) == "gpu"
    _, found = gradients(RULES[rule](moved), *map(there, data))
    assert worst(here(found), expected) < LIMIT


@pytest.mark.parametrize("route", ["whole", "steps"])
def test_gradients_repeat_bit_for_bit(route):
    net = there(network("brf", "alif", n_in=20, n=300, seed=1).float())
    for layer in net.layers[:-1]:
        layer.recurrent_weight.data *= 0.02
    data = [
        there(value.float() if value.is_floating_point() else value) for value in batch_of(net, steps=LONG, size=40)
    ]
    with gpu_plan.use(route):
        first, second = (gradients(hypr.HYPRWindow(net, window=100), *data) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], value) for name, value in second[1].items())


def test_an_endless_stream_learns_what_the_reference_learns():
    net = network("brf", n_in=4, n=9)
    moved = there(net)
    x, y, mask = batch_of(net, steps=60, size=3)
    with dispatch.use("reference"):
        expected = fed(hypr.HYPRWindow(net, window=10), x, y, mask)
    found = fed(hypr.HYPRWindow(moved, window=10), *map(there, (x, y, mask)))
    assert worst(here(found), expected) < LIMIT


def fed(rule, x, y, mask):
    """Gradients after three chunks of 20 steps."""
    stream = rule.stream(x.shape[0])
    for first in range(0, x.shape[1], 20):
        part = slice(first, first + 20)
        stream.feed(x[:, part], y[:, part], mask[:, part])
    return held(rule.net)


def golden_files():
    try:
        return sorted(golden_folder("hypr").glob("*.npz"))
    except pytest.skip.Exception:
        return []


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: path.stem)
def test_golden_gradients(path):
    for difference in compare(Case(path, DEVICE)):
        assert difference.value <= GOLDEN_LIMIT, difference
