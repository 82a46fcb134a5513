"""Networks with masks and input delays on their way out: sparse projections, one for each delay, the same integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

import hypr
from export import ExportError, quantize, quantized_nir, read, to_nir, write
from export.interchange import float_engine
from export.interchange.discretise import discretise
from export.interchange.source import network_arrays
from export.onnx.runtime import OnnxNetwork
from hardware import Program, Sparse, compare, emulate, reference
from hypr.integer import run as run_in_torch
from hypr.network import Network
from tests.unit.hypr_cases import batch, network

NAMES = ("brf", "se_adlif_previous", "se_adlif_current", "alif", "lif_zero", "lif_subtract", "cuba_lif_zero")
DELAYS = [0, 5, 1, 0, 1, 62, 3, 3, 0, 0, 0, 2]


def sparse_network(*names: str, density: float | None = 0.1, delays: Any = DELAYS, seed: int = 3) -> Network:
    return network(*names, n_in=12, n=24, density=density, input_delays=delays, seed=seed)


def time_major(x: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.numpy().transpose(1, 0, 2)).astype(np.int32)


def exported(net: Network, bits: int = 8) -> tuple[Program, np.ndarray]:
    x, _, _ = batch(net, steps=80, size=4)
    return quantize(to_nir(net, dt=1e-3), weight_bits=bits, calibration=x.numpy()), time_major(x)


@pytest.mark.parametrize("name", NAMES)
def test_the_float_engine_runs_the_exported_graph_as_the_network_itself(name: str) -> None:
    net = sparse_network(name, name)
    x, _, _ = batch(net, steps=80, size=4)
    seen = net.trajectory(x)
    trace = float_engine.run(to_nir(net, dt=1e-3), time_major(x))
    assert trace.spikes["hidden0"].mean() > 0.005, "a silent network shows nothing"
    for layer, spikes in trace.spikes.items():
        assert np.array_equal(seen[layer].spikes[1:].numpy(), spikes), layer
    with torch.no_grad():
        expected = net(x).transpose(0, 1).numpy()
    np.testing.assert_allclose(trace.output, expected, rtol=0, atol=1e-9)  # float64, sums in another order


@pytest.mark.parametrize("name", NAMES)
def test_masked_synapses_are_stored_sparse_and_each_delay_is_a_projection(name: str) -> None:
    net = sparse_network(name)
    program, _ = exported(net)
    given = [p for p in program.projections if p.source == program.inputs[0].name]
    assert sorted(p.delay for p in given) == sorted(set(DELAYS))
    assert {p.delay for p in program.projections if p.source != program.inputs[0].name} == {0, 1}
    mask = net.layers[0].masks()["weight"].numpy()
    for item in given:
        hears = np.array(DELAYS) == item.delay
        matrix = item.synapses.matrix()
        assert not matrix[:, ~hears].any(), f"delay {item.delay} hears other channels"
        assert not matrix[~mask].any()
    recurrent = next(p for p in program.projections if p.source == p.target)
    assert isinstance(recurrent.synapses, Sparse)
    kept = net.layers[0].masks()["recurrent_weight"].numpy()
    assert not recurrent.synapses.matrix()[~kept].any()
    assert np.count_nonzero(recurrent.synapses.matrix()) > 0.9 * kept.sum()


def test_a_mask_that_leaves_most_synapses_is_stored_dense() -> None:
    program, _ = exported(sparse_network("lif_zero", density=0.8, delays=None))
    assert not any(isinstance(p.synapses, Sparse) for p in program.projections)


def test_a_network_without_masks_and_delays_is_a_chain_of_the_first_version() -> None:
    for bits in (2, 8):  # also where most weights round to 0
        program, _ = exported(sparse_network("lif_zero", density=None, delays=None), bits)
        assert program.is_chain and program.spec_version == "1.0"


@pytest.mark.parametrize("name", NAMES)
def test_all_engines_agree_on_the_exported_program(name: str) -> None:
    program, inputs = exported(sparse_network(name))
    expected = reference.run(program, inputs[:, :1], "all")
    assert any(value.any() for value in expected.spikes.values())
    for trace in (
        emulate(program, inputs[:, :1], "all", backend="numpy"),
        emulate(program, inputs[:, :1], "all"),
        run_in_torch(program, inputs[:, :1], "all"),
        OnnxNetwork.open(program, threads=1).run(inputs[:, :1], "all"),
    ):
        found = compare(expected, trace, program)
        assert found.equal and not found.not_compared, f"{trace.engine}: {found.first_divergence}"


@pytest.mark.parametrize("density", [0.1, None], ids=["masked", "dense"])
@pytest.mark.parametrize("delays", [DELAYS, None], ids=["delayed", "prompt"])
def test_a_file_and_the_quantized_graph_give_the_same_program(density: Any, delays: Any, tmp_path: Path) -> None:
    net = sparse_network("brf", "lif_subtract", density=density, delays=delays)
    net.input_scale, net.input_format = 1 / 16, (0, 16)
    x, _, _ = batch(net, steps=80, size=4)
    graph = to_nir(net, dt=2e-3)
    write(graph, tmp_path / "net.nir")
    program = quantize(graph, calibration=16 * x.numpy())
    assert quantize(read(tmp_path / "net.nir"), calibration=16 * x.numpy()) == program
    again = quantized_nir(program, graph)
    write(again, tmp_path / "int.nir")
    assert quantize(again) == program
    assert quantize(read(tmp_path / "int.nir")) == program


def test_delays_are_one_node_behind_the_scaled_input_in_seconds() -> None:
    net = sparse_network("brf")
    net.input_scale, net.input_format = 1 / 16, (0, 16)
    graph = to_nir(net, dt=2e-3)
    delays = {name: node for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
    assert list(delays) == ["input_delay"]
    np.testing.assert_allclose(delays["input_delay"].delay, np.array(DELAYS) * 2e-3, rtol=1e-15, atol=0)
    assert ("input", "input_scale") in graph.edges and ("input_scale", "input_delay") in graph.edges
    assert [b for a, b in graph.edges if a == "input_scale"] == ["input_delay"]
    steps = discretise(graph)
    assert steps.input_scale == 1 / 16
    plain = to_nir(sparse_network("brf", delays=None), dt=2e-3)
    assert not any(isinstance(node, nir.Delay) for node in plain.nodes.values())


def test_the_integers_are_those_of_the_same_network_on_inputs_that_come_late() -> None:
    """The delays of the program put to 0, the inputs shifted by hand."""
    program, inputs = exported(sparse_network("brf"))
    name = program.inputs[0].name
    prompt = replace(
        program, projections=tuple(replace(p, delay=0) if p.source == name else p for p in program.projections)
    )
    late = np.zeros_like(inputs)
    for channel, delay in enumerate(DELAYS):
        late[delay:, :, channel] = inputs[: len(inputs) - delay, :, channel]
    found = compare(emulate(prompt, late, "all"), emulate(program, inputs, "all"), program)
    assert found.equal and found.compared > 10_000
    assert not compare(emulate(prompt, inputs, "all"), emulate(program, inputs, "all"), program).equal


def arrays() -> dict[str, Any]:
    return sparse_network("lif_zero").to_arrays()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda a: a.update(input_delays=[1, 2]), "2 input_delays for 12 input channels"),
        (lambda a: a.update(input_delays=[63] * 12), r"input_delays\[0\] is 63; expected whole steps from 0 to 62"),
        (lambda a: a.update(input_delays=[0.5] * 12), r"input_delays\[0\] is 0.5"),
        (lambda a: a["layers"][0].update(mask=np.ones((24, 11), bool)), "hidden0: mask is bool of shape"),
        (lambda a: a["layers"][0].update(mask=np.ones((24, 12))), "hidden0: mask is float64"),
        (lambda a: a["layers"][0].update(recurrent_mask=np.zeros((24, 24), bool)), r"48 synapse\(s\) whose weight"),
        (lambda a: a["layers"][1].update(recurrent_mask=np.zeros((3, 3), bool)), "readout: recurrent_mask is bool"),
    ],
)
def test_masks_and_delays_that_do_not_fit_are_refused_in_one_line(spoil: Any, says: str) -> None:
    given = arrays()
    spoil(given)
    with pytest.raises(ExportError, match=says) as caught:
        network_arrays(given)
    assert "\n" not in str(caught.value)


def test_the_protocol_of_a_plain_network_is_as_before() -> None:
    plain = network("lif_zero").to_arrays()
    assert set(plain) == {"layers", "input_scale", "input_format", "decision"}
    assert not any("mask" in key for layer in plain["layers"] for key in layer)
    assert set(arrays()["layers"][0]) - set(plain["layers"][0]) == {"mask", "recurrent_mask"}
    assert isinstance(hypr.Network.from_structure(sparse_network("brf").structure()), Network)
