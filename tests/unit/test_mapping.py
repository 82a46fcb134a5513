"""Networks on chips: the worked examples, plans that keep their limits, violations that are real, few cores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import Convolution
from hardware.mapping import make_plan
from hypr.errors import HyprError
from hypr.mapping import chip_map, load_target
from tests.mapping_networks import convolutional, ecg, random_network, shd, two_layers


def estimate(found, name):
    return next(item for item in found.cost.estimates if item.figures.name == name)


@pytest.mark.parametrize(
    ("make", "steps", "way", "cores", "bound", "energy", "sanafe", "step_us"),
    [
        (ecg, 1300, "fewest", 1, 1, 8.1, 11.5, 0.93),
        (shd, 250, "layers", 2, 1, 66.6, 100.5, 37.0),
        (two_layers, 250, "layers", 29, 27, 1990, 3110, 44),
    ],
    ids=["ecg", "shd", "two_layers"],
)
def test_worked_examples_on_loihi_1(make, steps, way, cores, bound, energy, sanafe, step_us):
    found = chip_map(make(), "loihi1", rate=0.1, steps=steps, way=way)
    assert (len(found.plan.cores), found.plan.bound, found.plan.fits) == (cores, bound, True)
    davies = estimate(found, "davies2018")
    assert davies.energy_uj["total"] == pytest.approx(energy, rel=0.005)
    assert davies.step_us == pytest.approx(step_us, rel=0.02)
    assert estimate(found, "sanafe").energy_uj["total"] == pytest.approx(sanafe, rel=0.005)


def test_events_of_the_worked_examples():
    counts = chip_map(ecg(), "loihi1", rate=0.1, steps=1300).cost.counts
    assert (round(counts.input_spikes), round(counts.spikes)) == (520, 5460)
    assert (round(sum(counts.synops.values())), round(counts.updates)) == (215_280, 54_600)
    assert round(counts.messages) == 5200
    counts = chip_map(shd(), "loihi1", rate=0.1, steps=250, way="layers").cost.counts
    assert (round(sum(counts.synops.values())), round(counts.messages)) == (2_662_400, 16_300)


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
@pytest.mark.parametrize("make", [ecg, shd, two_layers, convolutional])
def test_examples_fit_and_keep_every_limit(make, target):
    program = make()
    plan = make_plan(program, load_target(target))
    assert plan.fits, [str(item) for item in plan.violations]
    assert exceeded(program, plan) == []


def exceeded(program, plan):
    """What a plain count finds too large, core by core; and neurons that lie nowhere or twice."""
    limits = {name: item.value for name, item in plan.target.limits.items()}
    problems = []
    for item in program.populations:
        placed = [np.asarray(s.neurons) for core in plan.cores for s in core.slices if s.population == item.name]
        if sorted(np.concatenate(placed).tolist()) != list(range(item.size)):
            problems.append(f"{item.name}: neurons are not placed once each")
    there = {p.name: p.synapses.matrix() != 0 for p in program.projections}
    for number, core in enumerate(plan.cores):
        neurons = axons = bits = 0
        for piece in core.slices:
            neurons += len(piece.neurons)
            for projection in program.projections:
                if projection.target == piece.population:
                    part = there[projection.name][piece.neurons]
                    axons += int(part.any(axis=0).sum())
                    if not isinstance(projection.synapses, Convolution):  # a kernel may be stored once
                        bits += int(part.sum()) * projection.synapses.weight_bits
        found = {"neurons_per_core": neurons, "input_axons_per_core": axons, "synapse_bits_per_core": bits}
        for name, actual in found.items():
            if limits[name] is not None and actual > limits[name]:
                problems.append(f"core {number}: {name} {actual}, {limits[name]} allowed")
    return problems


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["loihi1", "loihi2"]), st.integers(3, 11), st.integers(6, 12))
def test_no_plan_exceeds_a_limit_and_every_violation_is_real(seed, target, neurons, axons):
    program = random_network(np.random.default_rng(seed), largest=300)
    changes = [f"neurons_per_core={2**neurons}", f"input_axons_per_core={2**axons}"]
    chip = load_target(target, changes)
    plan = make_plan(program, chip)
    if plan.fits:
        assert exceeded(program, plan) == []
    for violation in plan.violations:
        assert violation.fix and violation.where and violation.source
        if isinstance(violation.limit, int) and isinstance(violation.actual, int):
            assert violation.actual > violation.limit
        if violation.what == "input_axons_per_core" and violation.neuron is not None:
            inward = [p for p in program.projections if f"'{p.target}'" in violation.where]
            assert inward
            alone = sum(int(np.count_nonzero(p.synapses.matrix()[violation.neuron])) for p in inward)
            assert alone > 0 and violation.actual > 2**axons
            if not any(isinstance(p.synapses, Convolution) for p in inward):  # stored zeros of a kernel count, too
                assert alone == violation.actual


def test_cores_stay_near_the_bound_on_most_random_networks():
    """Of 200 larger ones more are; docs/mapping.md."""
    chip, near = load_target("loihi2"), []
    for seed in range(30):
        plan = make_plan(random_network(np.random.default_rng(seed), largest=500), chip)
        if plan.fits:
            assert len(plan.cores) >= plan.bound
            near.append(len(plan.cores) <= max(plan.bound + 1, 1.2 * plan.bound))
    assert len(near) > 25 and np.mean(near) > 0.9


def test_what_does_not_fit_is_told_at_once_with_a_fix():
    plan = make_plan(two_layers("brf"), load_target("loihi1"), cores=None, chips=1)
    assert not plan.fits
    assert {item.what for item in plan.violations} >= {"models"}
    assert all(item.fix for item in plan.violations)


def test_a_wrong_target_file_is_one_line_that_names_file_and_key(tmp_path):
    path = tmp_path / "mine.toml"
    limit = '[limits]\nneurons_per_core = { value = -3, source = "me", confidence = "user" }\n'
    path.write_text(f'name = "mine"\ntitle = "Mine"\nextends = "loihi2"\n{limit}')
    with pytest.raises(HyprError, match=r"mine\.toml.*neurons_per_core") as caught:
        load_target(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(HyprError, match="loihi3"):
        load_target("loihi3")
