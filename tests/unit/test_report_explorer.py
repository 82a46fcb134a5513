"""The numbers in a report's page are those of the traces."""

from __future__ import annotations

import base64
import gzip

import numpy as np
import pytest
import torch

import hypr
from export import quantize, to_nir
from export.interchange import discretise, float_engine
from export.quantization.dequantize import formats_of
from hardware import emulate
from hypr.report import explorer


@pytest.fixture(scope="module")
def traces():
    torch.manual_seed(1)
    net = hypr.Network([hypr.SEAdLIF(5, 7), hypr.LI(7, 3)])
    x = torch.rand(16, 50, 5).lt(0.3).float()
    hypr.fit_activity_(net, x)
    graph = to_nir(net, dt=1e-3)
    program = quantize(graph, calibration=x)
    inputs = x.int().numpy().transpose(1, 0, 2)
    real = float_engine.run(discretise.discretise(graph), inputs, "all")
    return program, real, emulate(program, inputs, "all")


def unpacked(packed):
    return gzip.decompress(base64.b64decode(packed.blob))


def test_every_integer_float_and_spike_is_in_the_page(traces):
    program, real, whole = traces
    packed = explorer.pack(program, real, whole, ["a", "b", "c"])
    raw, steps = unpacked(packed), packed.header["steps"]
    assert steps == 50 and packed.header["sequences"] == ["a", "b", "c"]
    for layer, form in zip(packed.header["layers"], formats_of(program), strict=True):
        name, size = layer["name"], layer["size"]
        assert layer["neurons"] == list(range(size))
        assert layer["units"] == np.broadcast_to(form.unit, (size,)).tolist()
        for state, place in layer["traces"].items():
            key, count = f"{state}/{name}", 3 * size * steps
            integers = np.frombuffer(raw, "<i4", count, place["integer"]).reshape(3, size, steps)
            np.testing.assert_array_equal(integers, whole.states[key][:, :3].transpose(1, 2, 0))
            floats = np.frombuffer(raw, "<f4", count, place["float"]).reshape(3, size, steps)
            np.testing.assert_array_equal(floats, real.states[key][:, :3].transpose(1, 2, 0).astype("f4"))
        if layer["spiking"]:
            both = np.frombuffer(raw, "u1", 3 * size * steps, layer["spikes"]).reshape(3, size, steps)
            np.testing.assert_array_equal(both % 2, (real.spikes[name] > 0)[:, :3].transpose(1, 2, 0))
            np.testing.assert_array_equal(both // 2, (whole.spikes[name] > 0)[:, :3].transpose(1, 2, 0))
            assert both.any()


def test_what_does_not_fit_the_page_is_left_out_and_said(traces, monkeypatch):
    program, real, whole = traces
    monkeypatch.setattr(explorer, "MOST_NEURONS", 4)
    monkeypatch.setattr(explorer, "MOST_VALUES", 400)
    packed = explorer.pack(program, real, whole, ["a", "b", "c"])
    assert packed.header["sequences"] == ["a"]
    hidden = packed.header["layers"][0]
    counts = whole.spikes[hidden["name"]].sum(axis=(0, 1))
    assert len(hidden["neurons"]) == 4 and counts[hidden["neurons"]].sum() == np.sort(counts)[-4:].sum()
    assert "Of the 7 neurons of hidden0, the states of the 4 most active are in this page." in packed.caption
