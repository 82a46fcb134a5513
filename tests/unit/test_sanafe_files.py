"""The files for SANA-FE hold the plan: read back and counted, and run where SANA-FE is installed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from hardware import Convolution, ProgramBuilder
from hardware.mapping import Activity, cost_of, make_plan
from hypr.mapping import chip_map, load_target
from hypr.mapping.sanafe import compare
from hypr.mapping.sanafe_files import architecture, network
from tests.mapping_networks import PARAMETERS, ecg, ones, random_network

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the documentation's tools bring it)")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
PYTHON = os.environ.get("HYPR_SANAFE", "")


def pictures():
    """A convolution whose kernel holds zeros, and a dense readout."""
    graph = ProgramBuilder()
    graph.input("events", (2, 9, 8))
    kernel = np.random.default_rng(1).integers(-1, 2, (5, 2, 3, 3)).astype(np.int8)
    assert (kernel == 0).any()
    synapses = Convolution.of(kernel, (2, 9, 8), (2, 1), (1, 1))
    graph.population("conv", synapses.out_shape, "cuba_lif", PARAMETERS["cuba_lif"])
    graph.project("events", "conv", synapses)
    graph.population("readout", 6, "cuba_lif", PARAMETERS["cuba_lif"])
    graph.project("conv", "readout", ones(6, int(np.prod(synapses.out_shape))))
    return graph.build()


def small_random():
    return random_network(np.random.default_rng(8), largest=14)


MAKERS = [ecg, pictures, small_random]


def planned(program, steps=7):
    """A plan over several cores, and the spikes it was made for."""
    rng = np.random.default_rng(0)
    rows = {name: (rng.random((steps, size)) < 0.3).astype(int) for name, size in program.sizes.items()}
    chip = load_target("loihi1", ["neurons_per_core=24"])
    return make_plan(program, chip, Activity(rows, steps, 1, "drawn")), rows


def read_back(text):
    """Spikes of every neuron, its core, and its edges, by the names in the file."""
    data = yaml.load(text, LOADER)
    trains, cores, edges = {}, {}, []
    sizes = {}
    for group in data["network"]["groups"]:
        sizes[group["name"]] = len(group["neurons"])
        for entry in group["neurons"]:
            ((index, attributes),) = entry.items()
            trains[f"{group['name']}.{index}"] = np.array(attributes[0]["spikes"])
    for entry in data["mappings"]:
        ((name, place),) = entry.items()
        assert name not in cores
        cores[name] = str(place[0]["core"])
    for entry in data["network"]["edges"]:
        ((ends, attributes),) = entry.items()
        source, target = ends.split(" -> ")
        if "." in source:
            edges.append((source, target))
            continue
        weights = attributes[1]["weight"]
        assert len(weights) == sizes[source] * sizes[target]
        edges += [(f"{source}.{a}", f"{target}.{b}") for a in range(sizes[source]) for b in range(sizes[target])]
    return trains, cores, edges


@pytest.mark.parametrize("make", MAKERS)
def test_the_file_read_back_has_the_events_that_the_plan_counts(make):
    plan, rows = planned(make())
    assert plan.placed.chips == 1 and len(plan.cores) > 1
    text, _ = network(plan, rows)
    trains, cores, edges = read_back(text)
    assert set(trains) == set(cores) and len(trains) == sum(plan.needs.program.sizes.values())
    counts = cost_of(plan).counts
    assert sum(int(train.sum()) for train in trains.values()) == round(counts.spikes + counts.input_spikes)
    assert sum(int(trains[source].sum()) for source, _ in edges) == round(sum(counts.synops.values()))
    reached = {(source, cores[target]) for source, target in edges}
    assert sum(int(trains[source].sum()) for source, _ in reached) == round(counts.messages)


@pytest.mark.parametrize("make", MAKERS)
def test_the_architecture_has_every_core_that_a_neuron_is_mapped_to(make):
    plan, rows = planned(make())
    text, hosts = network(plan, rows)
    figures = next(one for one in plan.target.figures if one.name == "sanafe")
    tiles = yaml.load(architecture(plan, figures.energy, figures.time, hosts), LOADER)["architecture"]["tile"]
    units = [[core["soma"][0]["name"] for core in tile["core"]] for tile in tiles]
    for place, unit in set(re.findall(r"core: ([\d.]+), soma: \"unit\[(\d+)\]\"", text)):
        tile, core = map(int, place.split("."))
        last = units[tile][core].removeprefix("unit[0..").removesuffix("]")
        assert int(unit) <= int(last)


@pytest.mark.skipif(not PYTHON, reason="HYPR_SANAFE names no interpreter that has SANA-FE")
@pytest.mark.parametrize("make", MAKERS)
def test_sanafe_counts_the_same_events_and_energy(make):
    answer = compare(chip_map(make(), "loihi1", rate=0.1, steps=50), Path(PYTHON))
    rows = {what: (ours, theirs) for what, _, ours, theirs in answer["rows"]}
    for what in ("synaptic operations", "messages", "spikes"):
        assert rows[what][0] == pytest.approx(rows[what][1], rel=1e-9), what
    if not answer["notes"]:  # one kind of synapses per population is all that it charges
        assert rows["energy"][0] == pytest.approx(rows["energy"][1], rel=0.005)
