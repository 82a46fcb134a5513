"""The integer kernels on a GPU give the emulator's integers, all of them; training on integers runs there."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from export.quantization.formats import QuantizationSettings
from hardware.compare import compare
from hardware.emulator import emulate
from hardware.models import MODELS
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_program, random_state
from hypr.integer.stage import IntegerStage
from hypr.kernels.gpu import plan as gpu_plan
from hypr.kernels.gpu.launch import CHUNK
from tests.unit.hypr_cases import batch as batch_of
from tests.unit.hypr_cases import network
from tests.unit.test_engine_in_the_loop import learned

LONG = CHUNK + 9


def run(program, inputs, state=None):
    from hypr.kernels.gpu import integer

    return integer.run(program, inputs, "all", state)


def same(found, expected, program):
    result = compare(found, expected, program)
    assert result.first_divergence is None, result.first_divergence
    assert result.compared > 0 and result.differing == 0
    for kind in ("states", "spikes", "history"):
        a, b = getattr(found.final_state, kind), getattr(expected.final_state, kind)
        assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("route", ["whole", "steps"])
@pytest.mark.parametrize("model", list(MODELS))
def test_all_states_and_spikes_are_those_of_the_emulator(model, route):
    rng = np.random.default_rng(3)
    for _ in range(6):
        program = random_program(rng, models=(model,) if MODELS[model].spiking else ("lif", model))
        inputs = random_inputs(rng, program, LONG, 19)
        state = random_state(rng, program, 19)
        with gpu_plan.use(route):
            found = run(program, inputs, state)
        assert found.engine == "gpu"
        same(found, emulate(program, inputs, "all", state), program)


@pytest.mark.parametrize("seed", range(4))
def test_wide_random_chains_agree(seed):
    rng = np.random.default_rng(100 + seed)
    program = random_program(rng, inputs=(1, 40), sizes=(200, 300))
    inputs = random_inputs(rng, program, 40, 70)
    same(run(program, inputs), emulate(program, inputs, "all"), program)


@pytest.mark.parametrize("seed", range(10))
def test_graphs_run_in_torch_on_the_gpu(seed):
    rng = np.random.default_rng([31, seed])
    program = random_graph(rng)
    inputs = random_inputs(rng, program, 40, 5)
    state = random_state(rng, program, 5)
    found = run(program, inputs, state)
    assert found.engine == "torch"
    same(found, emulate(program, inputs, "all", state), program)


@pytest.mark.parametrize("name", ["brf", "se_adlif_current", "alif", "lif_zero"])
def test_training_on_integers_gives_the_gradients_of_the_cpu(name):
    """The same integers, hence the same spikes; gradients differ by the order of sums alone."""
    net = network(name, n_in=4, n=9).float()
    data = tuple(value.float() if value.is_floating_point() else value for value in batch_of(net, steps=40, size=5))
    stage = IntegerStage(net, QuantizationSettings(), data[0].numpy())
    expected = learned(net, stage, "hypr-window", data)
    moved = copy.deepcopy(net).to("cuda")
    there = tuple(value.to("cuda") for value in data)
    found = learned(moved, IntegerStage(moved, stage.settings), "hypr-window", there)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.allclose(found[key].cpu(), value, rtol=1e-4, atol=1e-5 * float(value.abs().max())), key
