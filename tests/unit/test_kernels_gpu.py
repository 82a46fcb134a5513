"""GPU kernels equal the reference: every model, both modes, both routes, windows with carry, odd sizes.

They run in Triton's interpreter on the CPU, whose cost is per block and operation, hence the small sizes. What only a
GPU can show (CUDA graphs, races, long windows) is in tests/gpu.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.hypr_triton import interpreted

gpu = interpreted("hypr.kernels.gpu.operations")

import hypr  # noqa: E402
from hypr.errors import HyprError  # noqa: E402
from hypr.kernels import dispatch, reference  # noqa: E402
from hypr.kernels.gpu import launch as gpu_launch  # noqa: E402
from hypr.kernels.gpu import plan as gpu_plan  # noqa: E402
from hypr.neurons import LI  # noqa: E402
from tests.unit.hypr_cases import (  # noqa: E402
    LIMIT,
    MODELS,
    NO_KERNELS,
    drawn_eligibility,
    eligibility_tensors,
    gradients,
    layer_trajectory,
    network,
    worst,
)
from tests.unit.hypr_cases import batch as batch_of  # noqa: E402

NAMES = [name for name in MODELS if name not in NO_KERNELS]
SINGLE = 2e-5  # relative, float32: some hundred roundings of 6e-8 with factors up to ten


def _compare_credit(found, expected, limit):
    pairs = {name: getattr(expected, name) for name in ("d_current", "d_direct", "adjoint_start", "dz_start")}
    assert all((getattr(found, name) is None) == (value is None) for name, value in pairs.items())
    pairs = {name: value for name, value in pairs.items() if value is not None}
    assert worst({name: getattr(found, name) for name in pairs}, pairs) < limit
    assert worst(dict(found.d_parameters), dict(expected.d_parameters)) < limit


def _error(trajectory, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(trajectory.current.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("route", ["whole", "steps"])
@pytest.mark.parametrize("name", NAMES)
def test_states_spikes_and_currents_are_those_of_the_reference(name, route):
    layer, expected = layer_trajectory(name, steps=8)
    with gpu_plan.use(route):
        found = gpu.run_layer(layer, expected.pre, expected.states[0], expected.spikes[0])
    assert expected.spikes[1:].sum() > 0
    assert torch.equal(found.spikes, expected.spikes)
    assert worst({"s": found.states, "i": found.current}, {"s": expected.states, "i": expected.current}) < LIMIT


@pytest.mark.parametrize("mode", ["detached", "own", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_credit_is_that_of_the_reference(name, mode):
    layer, trajectory = layer_trajectory(name, steps=8)
    dz = _error(trajectory)
    expected = reference.credit_layer(layer, trajectory, dz, mode)
    _compare_credit(gpu.credit_layer(layer, trajectory, dz, mode), expected, LIMIT)


@pytest.mark.parametrize("name", ["brf", "se_adlif_previous", "cuba_lif_zero"])
def test_credit_by_one_launch_per_step_is_that_of_the_reference(name):
    layer, trajectory = layer_trajectory(name, steps=6)
    dz = _error(trajectory)
    with gpu_plan.use("steps"):
        found = gpu.credit_layer(layer, trajectory, dz, "full")
    _compare_credit(found, reference.credit_layer(layer, trajectory, dz, "full"), LIMIT)


@pytest.mark.parametrize(("filters", "own_spike"), [((), False), ((0.0, 0.8), False), ((0.0, 0.8), True)])
@pytest.mark.parametrize("name", NAMES)
def test_carried_eligibilities_and_their_gradient_are_those_of_the_reference(name, filters, own_spike):
    layer, trajectory = layer_trajectory(name, steps=6, size=2)
    before = drawn_eligibility(layer, 2, len(filters))
    expected = reference.carry_eligibility(layer, trajectory, before, filters, own_spike)
    found = gpu.carry_eligibility(layer, trajectory, before, filters, own_spike)
    assert worst(eligibility_tensors(found), eligibility_tensors(expected)) < LIMIT
    adjoint = torch.randn(expected.weight.shape[:3], generator=torch.Generator().manual_seed(9)).double()
    assert worst(gpu.boundary_gradient(adjoint, found), reference.boundary_gradient(adjoint, expected)) < LIMIT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("batch", "n", "route"), [(1, 1, "whole"), (17, 19, "whole"), (5, 35, "steps"), (2, 35, None)])
def test_odd_sizes_fill_blocks_and_tiles(batch, n, route, dtype):
    """n above the block of 16 goes from tile to tile, a batch above the block takes several programs."""
    net = network("alif", n_in=3, n=n, seed=n)
    layer = net.layers[0].to(dtype)
    generator = torch.Generator().manual_seed(n)
    pre = (torch.rand(4, batch, 3, generator=generator) < 0.5).to(dtype)
    state = 0.2 * torch.rand(batch, 2, n, generator=generator).to(dtype)
    spikes = (torch.rand(batch, n, generator=generator) < 0.3).to(dtype)
    with torch.no_grad():
        expected = reference.run_layer(layer, pre, state, spikes)
    with gpu_plan.use(route, 16):
        found = gpu.run_layer(layer, pre, state, spikes)
        dz = _error(expected).to(dtype)
        limit = LIMIT if dtype == torch.float64 else SINGLE
        assert torch.equal(found.spikes, expected.spikes)
        assert worst({"s": found.states, "i": found.current}, {"s": expected.states, "i": expected.current}) < limit
        _compare_credit(
            gpu.credit_layer(layer, expected, dz, "full"), reference.credit_layer(layer, expected, dz, "full"), limit
        )


@pytest.mark.parametrize("name", NAMES)
def test_float32_with_matrix_instructions_stays_within_rounding(name):
    layer, trajectory = layer_trajectory(name, steps=6)
    layer = layer.float()
    trajectory = replace(trajectory, **{key: value.float() for key, value in vars(trajectory).items()})
    dz = _error(trajectory).float()
    found = gpu.run_layer(layer, trajectory.pre, trajectory.states[0], trajectory.spikes[0])
    assert torch.equal(found.spikes, trajectory.spikes)
    assert worst({"s": found.states}, {"s": trajectory.states}) < SINGLE
    _compare_credit(
        gpu.credit_layer(layer, trajectory, dz, "full"), reference.credit_layer(layer, trajectory, dz, "full"), SINGLE
    )


def test_readout_runs_and_learns():
    layer = LI(5, 3).double()
    pre = torch.rand(7, 2, 5, generator=torch.Generator().manual_seed(0)).double()
    state = torch.rand(2, 1, 3, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        expected = reference.run_layer(layer, pre, state, state[:, 0])
    found = gpu.run_layer(layer, pre, state, state[:, 0])
    assert worst({"s": found.states, "z": found.spikes}, {"s": expected.states, "z": expected.spikes}) < LIMIT
    for mode in ("detached", "full"):
        dz = _error(expected)
        _compare_credit(
            gpu.credit_layer(layer, expected, dz, mode), reference.credit_layer(layer, expected, dz, mode), LIMIT
        )


def test_chunks_of_the_step_route_join(monkeypatch):
    """A window longer than one chunk, with a remainder, forward and back."""
    monkeypatch.setattr(gpu_launch, "CHUNK", 3)
    layer, expected = layer_trajectory("brf", steps=8, size=2)
    dz = _error(expected)
    with gpu_plan.use("steps"):
        found = gpu.run_layer(layer, expected.pre, expected.states[0], expected.spikes[0])
        credit = gpu.credit_layer(layer, expected, dz, "full")
    assert worst({"s": found.states}, {"s": expected.states}) < LIMIT
    _compare_credit(credit, reference.credit_layer(layer, expected, dz, "full"), LIMIT)


@pytest.mark.parametrize(
    "rule",
    [
        lambda net: hypr.HYPR(net, window=3),
        lambda net: hypr.HYPR(net, window=3, readout_memory=True),
        lambda net: hypr.HYPRWindow(net, window=3, boundary_spike=True),
        lambda net: hypr.HYPR(net, window=3, own_spike=True),
        lambda net: hypr.HYPRWindow(net, window=3, own_spike=True),
        lambda net: hypr.BPTT(net),
    ],
    ids=["hypr", "hypr_readout", "hypr_window", "hypr_own_spike", "hypr_window_own_spike", "bptt"],
)
def test_rules_give_the_gradients_of_the_reference_window_by_window(rule):
    net = network("brf", "se_adlif_previous", n_in=3, n=5)
    data = batch_of(net, steps=7, size=2)
    with dispatch.use("reference"):
        _, expected = gradients(rule(net), *data)
    with dispatch.use("interpret"):
        assert dispatch.kernel_name(net.layers[0]) == "gpu"
        _, found = gradients(rule(net), *data)
    assert worst(found, expected) < LIMIT


def test_layers_without_recurrence_take_one_launch_and_equal_the_reference():
    net = network("lif_zero", n_in=3, n=5, recurrent=False)
    data = batch_of(net, steps=6, size=2)
    assert gpu_plan.plan(2, 5, False, torch.float64).route == "whole"
    with dispatch.use("reference"):
        _, expected = gradients(hypr.BPTT(net), *data)
    with dispatch.use("interpret"):
        _, found = gradients(hypr.BPTT(net), *data)
    assert worst(found, expected) < LIMIT


def test_own_neurons_and_subclasses_are_left_to_the_reference():
    class Changed(hypr.LIF):
        def step(self, state, z, current, parameters):
            return super().step(state, z, 2.0 * current, parameters)

    assert not gpu.supports(network("own").layers[0], torch.float64)
    assert not gpu.supports(Changed(3, 4), torch.float32)
    assert gpu.supports(hypr.LIF(3, 4), torch.float32)
    assert not gpu.supports(hypr.LIF(3, 4), torch.float16)


def test_plans_spread_wide_layers_and_keep_narrow_ones_on_chip():
    narrow = gpu_plan.plan(256, 64, True, torch.float32)
    assert (narrow.route, narrow.resident, narrow.tiles) == ("whole", True, 1)
    wide = gpu_plan.plan(128, 1024, True, torch.float32)
    assert (wide.route, wide.grid(128, 1024)) == ("steps", (8, 32, 1))
    with gpu_plan.use("whole"):
        assert gpu_plan.plan(128, 1024, True, torch.float32).tiles == 4
    assert gpu_plan.plan(4096, 2048, True, torch.float32).route == "steps"


@pytest.mark.parametrize("wish", [{"route": "fast"}, {"block_n": 24}, {"block_n": 8}])
def test_plans_that_cannot_be_are_refused(wish):
    with pytest.raises(HyprError, match=r"must be|allowed"), gpu_plan.use(**wish):
        pass
