"""Files for other tools: what their importers make of them, offline by the conventions of those importers."""

from __future__ import annotations

import re
from dataclasses import replace

import nir
import numpy as np
import pytest

from export import discretise, nir_for, quantize, read
from export.errors import ExportError, GraphError, UnsupportedError
from export.interchange import float_engine
from export.interchange.graph import steps_to_nir
from export.interchange.outgoing import TOOLS
from export.interchange.steps import StepNetwork
from export.quantization.dequantize import integer_steps
from tests.interop.outgoing_networks import random_network

WRITTEN = tuple(tool for tool in TOOLS if tool != "nengo")
NETWORKS = 40


def spikes(rng: np.random.Generator, network: StepNetwork) -> np.ndarray:
    return (rng.random((40, 3, network.inputs[0].size)) < 0.35).astype(np.int8)


def lag_of(tool: str, network: StepNetwork) -> int:
    return len(network.populations) if tool == "spyx" else 0


@pytest.mark.parametrize("tool", WRITTEN)
def test_read_in_the_tools_convention_a_file_gives_the_same_spikes(tool, tmp_path):
    fired = 0.0
    for seed in range(NETWORKS):
        rng = np.random.default_rng([11, seed])
        network = random_network(tool, rng)
        found, given = nir_for(network, tool), spikes(rng, network)
        found.write(tmp_path / "net.nir")
        back = discretise(read(tmp_path / "net.nir"), found.reading)
        expected, lag = float_engine.run(network, given).output, lag_of(tool, network)
        output = float_engine.run(back, given).output
        wrong = np.abs(output[lag:] - expected[: len(expected) - lag]) > 1e-5 * max(1.0, float(np.abs(expected).max()))
        assert not wrong.any(), f"seed {seed}: {int(wrong.sum())} of {wrong.size} values"
        assert not output[:lag].any()
        fired += float(np.abs(expected).mean())
    assert fired / NETWORKS > 0.05


@pytest.mark.parametrize("tool", ["snntorch", "norse", "spikingjelly"])
def test_quantized_networks_go_out_with_their_rounded_values(tool):
    written = 0
    for seed in range(16):
        rng = np.random.default_rng([12, seed])
        network = random_network(tool, rng)
        if any(p.late_bias for p in network.populations):
            continue
        given = spikes(rng, network)
        program = quantize(network, calibration=given.transpose(1, 0, 2))
        rounded = integer_steps(program, 1e-3)
        try:
            found = nir_for(rounded, tool)
        except UnsupportedError as error:  # integers put a steady current of a CubaLIF into its membrane
            assert "a bias of its membrane" in str(error)
            continue
        written += 1
        back = float_engine.run(discretise(found.graph, found.reading), given).output
        agreement = float((back == float_engine.run(rounded, given).output).mean())
        assert agreement > 0.995, f"seed {seed}: {agreement}"
    assert written >= 5


def test_gains_are_what_each_tool_takes():
    network = random_network("snntorch", np.random.default_rng(3))
    snntorch, norse = nir_for(network, "snntorch"), nir_for(network, "norse")
    assert snntorch.dt == 1e-4 and norse.dt == network.dt
    lif = [n for n in snntorch.graph.nodes.values() if isinstance(n, (nir.LIF, nir.CubaLIF))]
    assert all(len(set(n.v_threshold.tolist())) == 1 for n in lif)
    for node in lif:
        tau = node.tau if isinstance(node, nir.LIF) else node.tau_mem
        np.testing.assert_allclose(node.r, tau / 1e-4, rtol=1e-6)
    assert all(np.all(n.r == 1) for n in norse.graph.nodes.values() if isinstance(n, nir.LIF))


@pytest.mark.parametrize(
    ("tool", "change", "says"),
    [
        ("snntorch", {"reset": "subtract"}, r"snnTorch 1\.0\.0 resets .* by zero \(same_step\); this one has subtract"),
        ("norse", {"reset": "none"}, r"Norse 1\.1\.0 resets .* this one has none"),
        ("norse", {"reset": "zero", "reset_timing": "next_step"}, "this one has zero \\(next_step\\)"),
        ("spikingjelly", {"spikes": "multi"}, r"SpikingJelly 2\.0\.0 reads every neuron as one that sends one spike"),
        ("sinabs", {"spikes": "single"}, r"Sinabs 3\.1\.3 reads every neuron as one that sends several spikes"),
        ("rockpool", {"spike_at": "above"}, r"Rockpool 3\.1\.0 .* several spikes"),
    ],
)
def test_what_an_importer_would_read_otherwise_is_refused_with_its_version(tool, change, says):
    network = random_network(tool, np.random.default_rng(2))
    population = network.populations[0]
    other = replace(population, options={**population.options, **change})
    with pytest.raises(UnsupportedError, match=says):
        nir_for(replace(network, populations=(other, *network.populations[1:])), tool)


def recurrent(tool: str) -> StepNetwork:
    rng = np.random.default_rng(0)
    return next(n for n in (random_network("norse", rng) for _ in range(50)) if len(n.projections) > len(n.populations))


def test_recurrence_goes_where_it_is_read_right():
    network = recurrent("norse")
    assert nir_for(network, "norse").graph.nodes
    with pytest.raises(UnsupportedError, match=r"snnTorch 1\.0\.0 .*(recurrent|resets|absent)"):
        nir_for(network, "snntorch")


def test_a_readout_that_a_tool_cannot_read_is_refused():
    network = next(
        n
        for n in (random_network("sinabs", np.random.default_rng(i)) for i in range(50))
        if n.populations[-1].kind == "li"
    )
    assert nir_for(network, "sinabs").graph.nodes
    with pytest.raises(UnsupportedError, match=r"LI"):
        nir_for(replace(network, populations=network.populations[-1:], projections=_first(network)), "norse")


def _forgets(network: StepNetwork) -> bool:
    """Whether every membrane does: a graph of ours holds no decay of 1; and no bias starts late."""
    decays = [p.parameters["alpha_mem" if p.kind == "cuba_lif" else "alpha"] for p in network.populations]
    return all(np.all(decay < 1) for decay in decays) and not any(p.late_bias for p in network.populations)


def _first(network: StepNetwork):
    last = network.populations[-1].name
    (feed,) = network.into(last)
    return (replace(feed, source=network.inputs[0].name),)


def test_a_start_elsewhere_than_the_reset_value_is_refused():
    network = random_network("spikingjelly", np.random.default_rng(1))
    p = network.populations[0]
    moved = replace(p, parameters={**p.parameters, "v_reset": np.full(p.size, 0.1)})
    with pytest.raises(UnsupportedError, match="--start v_reset"):
        nir_for(replace(network, populations=(moved, *network.populations[1:])), "spikingjelly")


def test_a_reset_value_where_the_membrane_starts_is_folded_into_bias_and_threshold():
    for seed in range(20):
        rng = np.random.default_rng([5, seed])
        network = random_network("spikingjelly", rng)
        p = network.populations[0]
        if p.kind != "lif":
            continue
        value = np.full(p.size, -0.2)
        moved = replace(p, parameters={**p.parameters, "v_reset": value}, initial={"u": value})
        network = replace(network, populations=(moved, *network.populations[1:]))
        found, given = nir_for(network, "spikingjelly"), spikes(rng, network)
        back = float_engine.run(discretise(found.graph, found.reading), given).output
        assert np.array_equal(back, float_engine.run(network, given).output)


def test_tools_without_a_reader_and_unknown_tools_are_named():
    network = random_network("norse", np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match=r"Nengo 4\.1 reads no NIR"):
        nir_for(network, "nengo")
    with pytest.raises(ExportError, match="did you mean norse"):
        nir_for(network, "nors")


def test_sinabs_gets_no_field_that_its_version_of_nir_refuses(tmp_path):
    import h5py

    found = nir_for(random_network("sinabs", np.random.default_rng(0)), "sinabs")
    found.write(tmp_path / "net.nir")
    with h5py.File(tmp_path / "net.nir") as file:
        keys = [key for node in file["node/nodes"].values() for key in node]
    assert "v_threshold" in keys and "v_reset" not in keys
    assert re.match("sinabs", found.call)


def test_a_recorded_start_is_read_and_must_be_one_number_for_each_neuron():
    network = next(n for n in (random_network("norse", np.random.default_rng(i)) for i in range(50)) if _forgets(n))
    p = network.populations[0]
    state = "v" if p.kind == "cuba_lif" else "u"
    start = np.linspace(-0.3, 0.3, p.size)
    network = replace(network, populations=(replace(p, initial={state: start}), *network.populations[1:]))
    graph = steps_to_nir(replace(network, projections=network.projections))
    assert np.array_equal(discretise(graph).populations[0].initial[state], start)
    for wrong in (start[1:], np.full(p.size, np.nan), "x"):
        graph.nodes[p.name].metadata[f"initial_{state}"] = wrong
        with pytest.raises(GraphError, match=f"initial_{state} is no list"):
            discretise(graph)
