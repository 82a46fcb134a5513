"""The integer kernels of the GPU give the emulator's integers, all of them, in Triton's interpreter on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.hypr_triton import interpreted

gpu_integer = interpreted("hypr.kernels.gpu.integer")

from hardware.compare import compare  # noqa: E402
from hardware.emulator import emulate  # noqa: E402
from hardware.errors import InputError  # noqa: E402
from hardware.models import MODELS  # noqa: E402
from hardware.random_graphs import random_graph  # noqa: E402
from hardware.random_programs import random_inputs, random_program, random_state  # noqa: E402
from hardware.synapses import Sparse  # noqa: E402
from hypr.kernels.gpu import launch as gpu_launch  # noqa: E402
from hypr.kernels.gpu import plan as gpu_plan  # noqa: E402


def _same(found, expected, program):
    result = compare(found, expected, program)
    assert result.first_divergence is None, result.first_divergence
    assert result.compared > 0 and result.differing == 0
    assert found.arrays().keys() == expected.arrays().keys()
    for kind in ("states", "spikes", "history"):
        a, b = getattr(found.final_state, kind), getattr(expected.final_state, kind)
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a)


@pytest.mark.parametrize("route", ["whole", "steps"])
@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("seed", [0, 1])
def test_all_states_and_spikes_are_those_of_the_emulator(model, seed, route):
    rng = np.random.default_rng(seed)
    program = random_program(rng, models=(model,) if MODELS[model].spiking else ("lif", model))
    inputs = random_inputs(rng, program, 6, 3)
    state = random_state(rng, program, 3)
    with gpu_plan.use(route):
        found = gpu_integer.run(program, inputs, "all", state, device="cpu")
    _same(found, emulate(program, inputs, "all", state), program)
    assert found.engine == "gpu"


@pytest.mark.parametrize("seed", range(4))
def test_random_chains_agree_with_blocks_and_tiles_half_filled(seed):
    rng = np.random.default_rng(100 + seed)
    program = random_program(rng, inputs=(1, 40), sizes=(17, 40))
    inputs = random_inputs(rng, program, 4, 18)
    with gpu_plan.use("whole", 16):
        found = gpu_integer.run(program, inputs, "all", device="cpu")
    _same(found, emulate(program, inputs, "all"), program)


def test_only_what_is_asked_for_is_recorded_and_chunks_join(monkeypatch):
    monkeypatch.setattr(gpu_launch, "CHUNK", 3)
    rng = np.random.default_rng(7)
    program = random_program(rng, models=("brf", "li"))
    inputs = random_inputs(rng, program, 8, 2)
    with gpu_plan.use("steps"):
        found = gpu_integer.run(program, inputs, "v", device="cpu")
        first = gpu_integer.run(program, inputs[:5], (), device="cpu")
        second = gpu_integer.run(program, inputs[5:], (), first.final_state, device="cpu")
    _same(found, emulate(program, inputs, "v"), program)
    assert not first.states
    assert np.array_equal(np.concatenate([first.output, second.output]), found.output)


@pytest.mark.parametrize("seed", range(20))
def test_graphs_go_to_torch_by_name_and_chains_do_not(seed):
    """Both from the same call; what ran is in the Trace."""
    rng = np.random.default_rng([31, seed])
    graph, chain = random_graph(rng), random_program(rng)
    for program, engine in ((graph, "torch"), (chain, "gpu")):
        inputs = random_inputs(rng, program, 20, 2)
        state = random_state(rng, program, 2)
        found = gpu_integer.run(program, inputs, "all", state, device="cpu")
        _same(found, emulate(program, inputs, "all", state), program)
        assert found.engine == engine
        assert (gpu_integer.why_in_torch(program) is None) == (engine == "gpu")
    assert "this program is a graph" in str(gpu_integer.why_in_torch(graph))


@pytest.mark.parametrize("change", ["delay", "sparse", "initial state"])
def test_a_chain_with_one_thing_more_goes_to_torch(change):
    rng = np.random.default_rng(5)
    chain = random_program(rng, layers=2, models=("lif",))
    first, item = chain.projections[0], chain.populations[0]
    projections, populations = list(chain.projections), list(chain.populations)
    if change == "delay":
        projections[0] = replace(first, delay=2)
    elif change == "sparse":
        projections[0] = replace(first, synapses=Sparse.from_matrix(first.synapses.matrix()))
    else:
        populations[0] = replace(item, initial={"u": np.arange(item.size, dtype=np.int32) + 1})
    program = replace(chain, projections=tuple(projections), populations=tuple(populations))
    inputs = random_inputs(rng, program, 12, 2)
    found = gpu_integer.run(program, inputs, "all", device="cpu")
    assert found.engine == "torch"
    _same(found, emulate(program, inputs, "all"), program)


def test_inputs_out_of_range_are_refused():
    rng = np.random.default_rng(3)
    program = random_program(rng, models=("lif",))
    inputs = np.full((2, 1, program.input.size), program.input.high + 1)
    with pytest.raises(InputError, match="inputs must be"):
        gpu_integer.run(program, inputs, device="cpu")
