"""Compiled CPU kernels equal the reference for every neuron, dtype, mode and layout."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from hypr.errors import HyprError
from hypr.kernels import composed, dispatch, reference
from hypr.kernels.cpu import operations as cpu
from hypr.kernels.cpu import threads as cpu_threads
from hypr.kernels.cpu.eligibility import PackedEligibility
from hypr.kernels.derived import constant_parameters, derived
from hypr.kernels.types import Boundary, LayerGradient
from hypr.learning import BPTT, HYPR, HYPRWindow
from hypr.neurons import LI
from tests.unit.hypr_cases import GAIN, MODELS, NO_KERNELS, batch, gradients, network, worst

KINDS = [name for name in MODELS if name not in NO_KERNELS] + ["li"]
SHAPES = [(1, 1, 1, 1), (1, 3, 5, 4), (23, 1, 7, 3), (40, 3, 37, 9), (9, 17, 2, 1)]
LIMITS = {
    torch.float64: 1e-12,  # hundreds of roundings of 1e-16 each, in sums whose terms partly cancel
    torch.float32: 3e-4,  # the same count of roundings of 6e-8
}


def make(kind, n_in, n, dtype, seed, recurrent=True):
    """A layer that spikes often."""
    torch.manual_seed(seed)
    layer = LI(n_in, n) if kind == "li" else MODELS[kind](n_in, n, recurrent=recurrent)
    layer = layer.to(dtype).requires_grad_(False)
    gain = GAIN[next((key for key in GAIN if kind.startswith(key)), "own")]
    layer.weight.mul_(gain)
    layer.bias.add_(0.1 * torch.randn(n, dtype=dtype))
    if layer.recurrent_weight is not None:
        layer.recurrent_weight.mul_(gain)
    return layer


def start(layer, steps, samples, dtype, density=0.3):
    pre = (torch.rand(steps, samples, layer.n_in) < density).to(dtype)
    state = 0.2 * torch.randn(samples, len(layer.state_names), layer.n, dtype=dtype).abs()
    spikes = (torch.rand(samples, layer.n) < 0.3).to(dtype) if layer.spiking else state[:, 0].clone()
    return pre, state, spikes


def difference(found, expected):
    """Largest difference relative to the largest magnitude expected."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def assert_close(found, expected, dtype, what):
    if expected is None:
        assert found is None, what
        return
    assert difference(found, expected) < LIMITS[dtype], what


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_run_credit_and_carry_equal_the_reference(kind, shape, dtype):
    steps, samples, n, n_in = shape
    layer = make(kind, n_in, n, dtype, seed=steps)
    pre, state, spikes = start(layer, steps, samples, dtype)
    expected = reference.run_layer(layer, pre, state, spikes)
    found = cpu.run_layer(layer, pre, state, spikes)
    assert_close(found.states, expected.states, dtype, "states")
    assert_close(found.current, expected.current, dtype, "current")
    if layer.spiking:
        assert torch.equal(found.spikes, expected.spikes)
    dz = torch.randn(steps, samples, n, dtype=dtype)
    for trajectory in (found, expected):  # the kernels' own memory layout and the other one
        for mode in ("detached", "full"):
            for filters in ((), (0.0,), (0.9,), (0.0, 0.9)):
                check_windows(layer, trajectory, dz, mode, filters, dtype)
        for mode in ("own", "full"):
            for filters in ((0.0,), (0.0, 0.9)):
                check_windows(layer, trajectory, dz, mode, filters, dtype, own_spike=True)


def check_windows(layer, trajectory, dz, mode, filters, dtype, own_spike=False):
    """Three windows, each starting from what the one before carried: everything equals the reference."""
    gradients, carried = (LayerGradient(), LayerGradient()), (None, None)
    filtered = [None if mode != "detached" and kappa == 0.0 else torch.randn_like(dz[0]) for kappa in filters]
    for onward in (True, True, False):
        results = []
        for use, gradient, before in zip((cpu_credit, reference_credit), gradients, carried, strict=True):
            boundary = Boundary(before, filters, tuple(filtered), onward, own_spike)
            down = "whole" if mode == "full" or (filters and mode == "detached") else "direct"
            results.append(use(layer, trajectory, dz, gradient, mode, boundary, down))
        found, expected = results
        assert_close(found.down, expected.down, dtype, (mode, "down"))
        assert_close(found.adjoint_start, expected.adjoint_start, dtype, (mode, "adjoint_start"))
        assert (found.after is None) == (expected.after is None) == (not onward)
        if onward:
            check_eligibility(found.after, expected.after, dtype, (mode, filters))
        carried = (found.after, expected.after)
    check_sums(gradients[0].sums, gradients[1].sums, dtype, (mode, filters))


@pytest.mark.parametrize("kind", ["brf", "alif", "li"])
def test_wide_layers_worked_on_in_tiles_and_blocks_of_steps_equal_the_reference(kind, monkeypatch):
    """460 neurons in two tiles, the second one narrower; two blocks of steps, the second one shorter."""
    monkeypatch.setattr(cpu, "WIDEST", 0)
    steps, samples, n, n_in, dtype = 259, 2, 460, 5, torch.float64
    layer = make(kind, n_in, n, dtype, seed=1)
    pre, state, spikes = start(layer, steps, samples, dtype)
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    dz = torch.randn(steps, samples, n, dtype=dtype)
    for mode, filters, own_spike in (
        ("detached", (), False), ("full", (0.0, 0.9), False), ("full", (0.0, 0.9), True), ("own", (0.0,), True),
    ):  # fmt: skip
        check_windows(layer, trajectory, dz, mode, filters, dtype, own_spike)


@pytest.mark.parametrize("kind", ["brf", "alif"])
@pytest.mark.parametrize(("steps", "in_place"), [(40, True), (259, False)])
def test_an_eligibility_that_nobody_reads_again_is_overwritten_by_the_next_one(kind, steps, in_place, monkeypatch):
    """The same bits as in memory of its own; where blocks of steps would meet it half done, it is left alone."""
    monkeypatch.setattr(cpu, "WIDEST", 0)
    layer = make(kind, 3, 400, torch.float32, seed=2)
    pre, state, spikes = start(layer, steps, 2, torch.float32)
    trajectory, dz = cpu.run_layer(layer, pre, state, spikes), torch.randn(steps, 2, 400)
    for filters, own_spike in (((), False), ((0.0,), False), ((0.0,), True)):
        filtered = (None,) * len(filters)

        def window(before, overwritable, filters=filters, filtered=filtered, own_spike=own_spike):
            gradient = LayerGradient()
            boundary = Boundary(before, filters, filtered, True, own_spike, overwritable)
            credit = cpu.credit_window(layer, trajectory, dz, gradient, "full", boundary, "nothing")
            assert isinstance(credit.after, PackedEligibility)
            return credit.after.packed, gradient.array

        start_of_all = Boundary(None, filters, filtered, True, own_spike)
        first = cpu.credit_window(layer, trajectory, dz, LayerGradient(), "full", start_of_all, "nothing").after
        assert isinstance(first, PackedEligibility)
        kept = first.packed.copy()
        after, gradient = window(first, overwritable=False)
        assert after is not first.packed and np.array_equal(first.packed, kept)
        again, same = window(first, overwritable=True)
        assert (again is first.packed) == in_place and not np.array_equal(after, kept)
        assert np.array_equal(again, after) and np.array_equal(same, gradient)


def cpu_credit(*arguments):
    return cpu.credit_window(*arguments)


def reference_credit(*arguments):
    return composed.credit_window(reference, *arguments)


def check_eligibility(found, expected, dtype, what):
    for name in ("weight", "recurrent", "bias"):
        assert_close(getattr(found, name), getattr(expected, name), dtype, (*what, name))
    assert found.parameters.keys() == expected.parameters.keys()
    for name, value in expected.parameters.items():
        assert_close(found.parameters[name], value, dtype, (*what, name))


def check_sums(found, expected, dtype, what):
    """Sums over steps and samples cancel: their rounding follows the terms, not the sum, and adds up over windows."""
    assert found.keys() == expected.keys()
    scale = max(float(value.abs().max()) for value in expected.values())
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert float((found[name] - value).abs().max()) < 10 * LIMITS[dtype] * scale, (*what, name)


@pytest.mark.parametrize("density", [0.0, 0.05, 0.9])
def test_credit_equals_the_reference_for_sparse_and_dense_graded_inputs(density):
    layer = make("brf", 41, 9, torch.float64, seed=1)
    pre, state, spikes = start(layer, 30, 4, torch.float64, density)
    trajectory = cpu.run_layer(layer, pre * 0.5, state, spikes)
    check_windows(layer, trajectory, torch.randn(30, 4, 9).double(), "detached", (0.9,), torch.float64)


@pytest.mark.parametrize("mode", ["detached", "full"])
def test_credit_in_several_blocks_of_steps_the_last_one_shorter_equals_the_reference(mode):
    layer = make("alif", 5, 37, torch.float64, seed=2)
    pre, state, spikes = start(layer, 1501, 3, torch.float64)
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    check_windows(layer, trajectory, torch.randn(1501, 3, 37).double(), mode, (0.9,), torch.float64)


@pytest.mark.parametrize("mode", ["detached", "full"])
@pytest.mark.parametrize("kind", ["brf", "cuba_lif_zero"])
def test_credit_of_many_samples_in_several_shares_equals_the_reference(kind, mode):
    layer = make(kind, 6, 13, torch.float64, seed=3)
    pre, state, spikes = start(layer, 12, 50, torch.float64)
    assert len(cpu_threads.shares(50, 13, 20)) > 1
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    check_windows(layer, trajectory, torch.randn(12, 50, 13).double(), mode, (0.0, 0.9), torch.float64)


def test_shares_that_exceed_a_row_are_worked_on_in_parts(monkeypatch):
    monkeypatch.setattr(cpu_threads, "_ROW", 40)
    layer = make("lif_zero", 6, 13, torch.float64, seed=3)
    pre, state, spikes = start(layer, 12, 50, torch.float64)
    trajectory, expected = (run(layer, pre, state, spikes) for run in (cpu.run_layer, reference.run_layer))
    assert torch.equal(trajectory.spikes, expected.spikes)
    check_windows(layer, trajectory, torch.randn(12, 50, 13).double(), "full", (), torch.float64)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "li"])
def test_layers_without_recurrence_equal_the_reference(kind):
    layer = make(kind, 4, 6, torch.float64, seed=4, recurrent=False)
    pre, state, spikes = start(layer, 20, 3, torch.float64)
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    assert torch.equal(trajectory.spikes, reference.run_layer(layer, pre, state, spikes).spikes)
    for mode in ("detached", "full"):
        check_windows(layer, trajectory, torch.randn(20, 3, 6).double(), mode, (0.0,), torch.float64)


@pytest.mark.parametrize("n", [31, 32, 33, 64, 65, 100])
def test_sizes_around_whole_vectors_and_masks_equal_the_reference(n):
    layer = make("se_adlif_previous", n + 1, n, torch.float64, seed=5)
    pre, state, spikes = start(layer, 15, 2, torch.float64)
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    assert torch.equal(trajectory.spikes, reference.run_layer(layer, pre, state, spikes).spikes)
    check_windows(layer, trajectory, torch.randn(15, 2, n).double(), "full", (), torch.float64)


def test_strided_and_expanded_tensors_are_taken_as_they_are():
    layer = make("brf", 6, 5, torch.float64, seed=6)
    pre, state, spikes = start(layer, 20, 3, torch.float64)
    strided = torch.stack([pre, pre], 3)[..., 0].transpose(0, 1).contiguous().transpose(0, 1)
    trajectory = cpu.run_layer(layer, strided, state.expand(3, 3, 5), spikes)
    assert torch.equal(trajectory.states, cpu.run_layer(layer, pre, state, spikes).states)
    dz = torch.randn(1, 3, 1).double().expand(20, 3, 5)
    check_windows(layer, trajectory, dz, "detached", (), torch.float64)


def test_what_a_mode_does_not_have_is_refused_on_every_path():
    layer = make("brf", 3, 4, torch.float64, seed=7)
    pre, state, spikes = start(layer, 5, 2, torch.float64)
    trajectory, dz = cpu.run_layer(layer, pre, state, spikes), torch.zeros(5, 2, 4).double()
    carried = dispatch.credit_window(layer, trajectory, dz, LayerGradient(), boundary=Boundary(onward=True)).after
    for kernels in ("compiled", "reference"):
        with dispatch.use(kernels):
            with pytest.raises(HyprError, match="ask for 'whole'"):
                dispatch.credit_window(layer, trajectory, dz, LayerGradient(), "full", down="direct")
            with pytest.raises(HyprError, match="give it in 'filtered'"):
                boundary = Boundary(carried, (0.0,), (None,))
                dispatch.credit_window(layer, trajectory, dz, LayerGradient(), "detached", boundary)
    with pytest.raises(HyprError, match="0 adjoints of filtered spikes for 1 filters"):
        Boundary(carried, (0.9,), ())
    with pytest.raises(HyprError, match=r"shape \(2, 10, 3, 4\).*not \(2, 10, 4, 4\)"):  # components of another rule
        dispatch.credit_window(layer, trajectory, dz, LayerGradient(), boundary=Boundary(carried, (0.9,), (dz[0],)))


def test_sums_may_be_added_to_by_several_kinds_of_kernels():
    layer = make("brf", 3, 4, torch.float64, seed=8)
    pre, state, spikes = start(layer, 9, 2, torch.float64)
    trajectory, dz = cpu.run_layer(layer, pre, state, spikes), torch.randn(9, 2, 4).double()
    one, mixed = LayerGradient(), LayerGradient()
    for kernels in ("reference", "compiled", "compiled"):
        with dispatch.use(kernels):
            dispatch.credit_window(layer, trajectory, dz, mixed)
    for _ in range(3):
        dispatch.credit_window(layer, trajectory, dz, one)
    check_sums(mixed.sums, one.sums, torch.float64, "mixed")
    one.add("bias", torch.ones(4).double())
    dispatch.credit_window(layer, trajectory, dz, one)
    assert difference(one.sums["bias"], mixed.sums["bias"] / 3 * 4 + 1) < LIMITS[torch.float64]


@pytest.mark.parametrize("rule", [HYPR, HYPRWindow])
@pytest.mark.parametrize(
    "stack", [("brf",), ("alif", "se_adlif_current"), ("cuba_lif_zero", "own", "lif_subtract")], ids="+".join
)
@pytest.mark.parametrize("window", [None, 7, 1])
def test_gradients_of_the_rules_equal_the_reference(rule, stack, window):
    net = network(*stack)
    data = batch(net, 20)
    learner = rule(net, window=window, readout_memory=True)
    found = gradients(learner, *data)
    with dispatch.use("reference"):
        expected = gradients(learner, *data)
    assert abs(float(found[0] - expected[0])) < 1e-12  # float64 sums in another order
    assert worst(found[1], expected[1]) < 1e-12


@pytest.mark.parametrize("kind", ["brf", "se_adlif_previous"])
def test_results_are_the_same_bits_for_any_number_of_threads(kind, monkeypatch):
    monkeypatch.setattr(cpu_threads, "_WORTH_A_THREAD", 1)
    layer = make(kind, 6, 13, torch.float32, seed=3)
    pre, state, spikes = start(layer, 25, 50, torch.float32)
    dz, before = torch.randn(25, 50, 13), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            trajectory, gradient = cpu.run_layer(layer, pre, state, spikes), LayerGradient()
            credit = cpu.credit_window(layer, trajectory, dz, gradient, "full", Boundary(onward=True), "whole")
            assert credit.down is not None and credit.after is not None
            results.append([trajectory.states, credit.down, *gradient.sums.values(), credit.after.weight])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients_are_taken_of_replaced_states_not_of_recorded_ones():
    layer = make("alif", 4, 5, torch.float64, seed=4)
    pre, state, spikes = start(layer, 12, 2, torch.float64)
    recorded = cpu.run_layer(layer, pre, state, spikes)
    other = replace(recorded, states=recorded.states + 0.1)
    check_windows(layer, other, torch.randn(12, 2, 5, dtype=torch.float64), "full", (), torch.float64)


def test_reset_of_a_carried_eligibility_reaches_the_next_window():
    layer = make("brf", 4, 5, torch.float64, seed=5)
    pre, state, spikes = start(layer, 12, 2, torch.float64)
    trajectory = cpu.run_layer(layer, pre, state, spikes)
    dz = torch.zeros(12, 2, 5, dtype=torch.float64)

    def window(before):
        boundary = Boundary(before, onward=True)
        after = cpu.credit_window(layer, trajectory, dz, LayerGradient(), "detached", boundary, "nothing").after
        assert after is not None
        return after

    carried = window(None)
    fresh = carried.weight.clone()
    for value in (carried.weight, carried.recurrent, carried.bias, *carried.parameters.values()):
        assert value is not None and value.abs().max() > 0
        value[:] = 0.0
    assert difference(window(carried).weight, fresh) < LIMITS[torch.float64]


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("kind", ["brf", "se_adlif_current", "cuba_lif_zero"])
def test_parameters_changed_between_two_updates_are_seen_by_the_second(kind, window):
    """What a window derives from the parameters is kept for one ``backward`` and no longer."""
    net = network(kind)
    x, y = (torch.rand(4, 13, 4) < 0.4).double(), torch.randint(0, 3, (4, 13))

    def gradient(kernels):
        with dispatch.use(kernels):
            return gradients(HYPR(net, window=window), x, y)[1]

    before = gradient("compiled")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, dtype=parameter.dtype))
    net.constrain_()
    after, expected = gradient("compiled"), gradient("reference")
    assert any(not torch.equal(before[name], after[name]) for name in after)
    for name, value in expected.items():
        assert_close(after[name], value, torch.float64, name)


def test_derived_values_are_kept_inside_the_block_only():
    numbers = itertools.count(1)
    with constant_parameters():
        assert [derived("key", lambda: next(numbers)) for _ in range(3)] == [1, 1, 1]
        with constant_parameters():
            assert derived("key", lambda: next(numbers)) == 2
        assert derived("key", lambda: next(numbers)) == 1
    assert derived("key", lambda: next(numbers)) == 3


def test_silent_layers_leave_the_floating_point_mode_of_the_caller():
    layer = make("brf", 3, 4, torch.float32, seed=7)
    silent = cpu.run_layer(layer, torch.zeros(1500, 2, 3), torch.full((2, 3, 4), 1e-3), torch.zeros(2, 4))
    assert torch.isfinite(silent.states).all()
    assert np.float32(1e-45) * np.float32(1.0) > 0.0  # subnormal numbers still count


def test_bptt_at_thousand_steps_equals_the_reference():
    net = network("brf", n=8, seed=8)
    data = batch(net, 1000)
    found = gradients(BPTT(net), *data)
    with dispatch.use("reference"):
        expected = gradients(BPTT(net), *data)
    assert worst(found[1], expected[1]) < 1e-9  # roundings of 1e-16 amplified along a thousand recurrent steps
