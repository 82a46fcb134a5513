"""Plans as they are asked for: so many cores, other ways, other activity; targets and traces that are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware import Convolution, HardwareError, InputError, ProgramBuilder, emulate
from hardware.mapping import Activity, Limit, describe, make_plan, metrics, with_activity
from hardware.mapping.neurobench import membranes, static_metrics
from hypr.mapping import load_target
from tests.mapping_networks import PARAMETERS, recurrent_chain, shd
from tests.unit.test_mapping import exceeded

LOIHI1 = load_target("loihi1")


def updates(plan):
    """Synaptic operations and neurons of the fullest core, by its number of input axons and neurons."""
    return max(core.demand.synapse_bits for core in plan.cores)


@pytest.mark.parametrize("cores", [4, 7, 12])
def test_a_plan_of_so_many_cores_has_them_and_they_are_emptier(cores):
    program = recurrent_chain([140, 300, 300, 20])
    fewest, plan = make_plan(program, LOIHI1), make_plan(program, LOIHI1, cores=cores)
    assert len(fewest.cores) < 4 and len(plan.cores) == cores and plan.fits
    assert exceeded(program, plan) == []
    assert updates(plan) < updates(fewest)


def test_more_cores_than_the_fewest_and_fewer_than_a_layer_each_part_what_was_merged():
    program = recurrent_chain([20, 60, 50, 40, 30, 6])
    assert len(make_plan(program, LOIHI1).cores) == 1 and make_plan(program, LOIHI1).layer_by_layer == 5
    for cores in (1, 2, 3, 4):
        plan = make_plan(program, LOIHI1, cores=cores)
        assert len(plan.cores) == cores and plan.fits and exceeded(program, plan) == []


def test_no_more_cores_than_neurons():
    plan = make_plan(recurrent_chain([3, 4, 2]), LOIHI1, cores=20)
    assert len(plan.cores) == 6 and plan.fits


def test_fewer_cores_than_needed_are_a_violation_with_both_numbers():
    plan = make_plan(shd(), load_target("loihi1", ["neurons_per_core=64"]), cores=2)
    (violation,) = [item for item in plan.violations if item.what == "cores"]
    assert violation.limit == 2 and violation.actual == len(plan.cores) > 2
    assert violation.source == "asked for with cores"


def test_plainer_ways_and_what_is_no_way():
    program = recurrent_chain([20, 60, 50, 6])
    layers, merged = (make_plan(program, LOIHI1, way=way) for way in ("layers", "merged"))
    assert (len(layers.cores), len(merged.cores)) == (3, 1) == (layers.layer_by_layer, layers.merged)
    for arguments in ({"way": "best"}, {"cores": 0}, {"chips": 0}):
        with pytest.raises(HardwareError, match=r"way|must be 1 or more"):
            make_plan(program, LOIHI1, **arguments)


def test_sources_that_send_to_more_cores_than_axons_leave_are_told():
    plan = make_plan(recurrent_chain([140, 300, 300, 20]), load_target("loihi1", ["output_axons_per_core=1"]))
    assert not plan.fits and {item.what for item in plan.violations} == {"output_axons_per_core"}
    assert {(item.limit, item.actual) for item in plan.violations} == {(1, 2)} and plan.layer_by_layer == 0
    assert len({item.where for item in plan.violations}) == len(plan.violations) == 2


def test_another_activity_leaves_cores_where_they_are_and_changes_their_traffic():
    program = recurrent_chain([140, 300, 300, 20])
    plan = make_plan(program, LOIHI1, Activity.uniform(program, 0.1, 50))
    busy = with_activity(plan, Activity.uniform(program, 0.4, 50))
    assert busy.cores == plan.cores and busy.placed is plan.placed
    assert busy.messages == pytest.approx(4 * plan.messages) and busy.hops[0] == pytest.approx(4 * plan.hops[0])
    told = describe(plan)
    assert told["cores_used"] == len(plan.cores) and told["bound"] == plan.bound and told["assumptions"]
    neurons = sum(
        last - first + 1 for core in told["cores"] for one in core["slices"] for first, last in one["neurons"]
    )
    assert neurons == 620


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda limits: limits.pop("fan_in"), "'fan_in' is missing"),
        (lambda limits: limits.update(rooms=Limit("rooms", 3, "me", "user")), "unknown limit 'rooms'"),
        (lambda limits: limits.update(fan_in=Limit("fan_in", 3, "me", "Z")), "confidence 'Z'"),
        (lambda limits: limits.update(cores_per_chip=Limit("cores_per_chip", None, "me", "user")), "must be a number"),
        (lambda limits: limits.update(fan_in=Limit("fan_in", -1, "me", "user")), "positive number, got -1"),
        (lambda limits: limits.update(mesh_width=Limit("mesh_width", 1, "me", "user")), "places of the mesh"),
    ],
)
def test_a_target_that_cannot_be_is_refused(change, words):
    limits = dict(LOIHI1.limits)
    change(limits)
    with pytest.raises(HardwareError, match=words):
        replace(LOIHI1, limits=limits)


def test_metrics_by_their_definitions_on_a_convolution_by_hand():
    """A kernel of 2 x 2 with one zero over 2 x 2 pixels: all four pixels reach the one output, three of them really."""
    graph = ProgramBuilder()
    graph.input("in", (1, 2, 2))
    kernel = np.array([[[[1, 2], [0, 3]]]], np.int8)
    graph.population("one", (1, 1, 1), "cuba_lif", {**PARAMETERS["cuba_lif"], "vth": 1})
    graph.project("in", "one", Convolution.of(kernel, (1, 2, 2), (1, 1), (0, 0)))
    program = graph.build()
    given = np.ones((5, 3, 4), np.uint8)
    trace = emulate(program, given, record=membranes(program))
    assert membranes(program) == ["v/one"]
    found = metrics(program, given, trace)
    assert found["SynapticOperations"] == {"Dense": 20.0, "Effective_ACs": 15.0, "Effective_MACs": 0.0}
    assert found["ConnectionSparsity"] == 0.25 == static_metrics(program)["ConnectionSparsity"]
    spikes = trace.spikes["one"]
    assert found["ActivationSparsity"] == 1 - np.count_nonzero(spikes) / spikes.size
    with pytest.raises(InputError, match="record the membranes"):
        metrics(program, given, emulate(program, given))


def test_metrics_need_the_spikes():
    program = recurrent_chain([4, 6, 2])
    given = np.ones((5, 1, 4), np.uint8)
    trace = emulate(program, given, record=membranes(program))
    bare = replace(trace, spikes={})
    with pytest.raises(InputError, match="no spikes of 'hidden0'"):
        metrics(program, given, bare)
