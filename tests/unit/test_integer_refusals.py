"""Training on integers refuses, in one line, what has no integer form."""

from __future__ import annotations

import pytest

import hypr
from export.errors import ExportError
from export.quantization.formats import QuantizationSettings
from hardware.errors import InputError
from hypr.errors import HyprError
from hypr.integer.stage import IntegerStage
from tests.unit.hypr_cases import batch, network

FINE = QuantizationSettings(weight_bits=8, coefficient_bits=16)


def test_the_exponential_resonator_is_refused_with_the_reason() -> None:
    net = network("brf_exponential")
    with pytest.raises(ExportError, match=r"hidden0: the exponential BRF has no integer form.*variant='euler'"):
        IntegerStage(net, FINE, batch(net)[0].numpy())


def test_neurons_and_scales_without_integers_are_refused() -> None:
    for name in ("own", "cuba_lif_subtract"):
        net = network(name)
        with pytest.raises((ExportError, HyprError)):
            IntegerStage(net, FINE, batch(net)[0].numpy())
    with pytest.raises(ExportError, match="per_column"):
        IntegerStage(network("brf"), QuantizationSettings(weight_scale="per_column"))


def test_open_formats_need_calibration_inputs() -> None:
    with pytest.raises(ExportError, match="calibration"):
        IntegerStage(network("brf"), FINE)


def test_inputs_that_are_no_integers_of_the_declared_range_are_refused() -> None:
    net = network("brf")
    x, y, mask = batch(net)
    stage = IntegerStage(net, FINE, x.numpy())
    for values, kind, message in ((0.3 * x, HyprError, r"0\.3 at sample"), (2 * x, InputError, "0 to 1, got 0 to 2")):
        with pytest.raises(kind, match=message), stage.active():
            hypr.HYPR(net).backward(values, y, mask)
