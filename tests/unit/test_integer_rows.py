"""Training on integers with a unit for each row: chosen once, stored, and the integers of export."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch

import export
import hypr
from export.errors import ExportError
from export.quantization.formats import QuantizationSettings
from hardware import emulate
from hypr.errors import HyprError
from hypr.integer.stage import IntegerStage
from tests.unit.hypr_cases import batch, network
from tests.unit.test_integer_stage import NAMES, RULES, differing, exported, on_integers, prepared, time_major


@pytest.mark.parametrize("scale", ["per_row", "per_layer", "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_training_with_units_by_row_sees_the_integers_of_export(name: str, dtype: torch.dtype, scale: str) -> None:
    net, stage, data = prepared(name, settings=QuantizationSettings(weight_bits=4, weight_scale=scale), dtype=dtype)
    units = stage.settings.state_units
    assert units is not None and (scale == "per_layer" or len(set(units[0])) > 1)
    for rule in RULES:
        recorded = on_integers(stage, partial(RULES[rule](net).backward, *data))
        assert recorded.integers.program == exported(net, stage)
        trace = emulate(recorded.integers.program, time_major(data[0]), "all")
        assert differing(net, recorded, trace)[0] == 0, rule
        assert trace.spikes["hidden0"].any()


def test_units_stay_when_weights_change_and_survive_a_file() -> None:
    net, stage, (x, y, mask) = prepared("brf", settings=QuantizationSettings(weight_bits=4))
    before = stage.settings
    for _ in range(3):
        net.zero_grad(set_to_none=True)
        with stage.active():
            hypr.HYPR(net).backward(x, y, mask)
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.data -= 0.5 * parameter.grad
        net.constrain_()
    assert stage.settings == before
    again = IntegerStage(net, QuantizationSettings.from_json(before.to_json()))
    assert again.settings == before and again.quantize().program == exported(net, stage)
    assert export.quantize(export.to_nir(net, dt=1e-3), **asdict(before)) == exported(net, stage)


def test_random_networks_with_units_by_row_agree_in_every_integer() -> None:
    compared = 0
    for seed in range(30):
        rng = np.random.default_rng([12, seed])
        names = [str(rng.choice(NAMES)) for _ in range(int(rng.integers(1, 4)))]
        net = network(*names, seed=seed, recurrent=bool(rng.integers(2)))
        net = net.to(torch.float32) if rng.integers(2) else net
        for layer in net.layers:
            layer.weight.data *= float(rng.choice([1, 1, 3, 30]))
        x, y, mask = batch(net, steps=25, size=3, seed=seed)
        settings = QuantizationSettings(
            weight_bits=tuple(rng.integers(2, 9, len(net.layers)).tolist()),
            weight_scale=str(rng.choice(["per_row", "per_layer"])),
            state_fraction_bits=tuple(rng.integers(12, 20, len(net.layers)).tolist()) if rng.integers(2) else None,
        )
        rule = [hypr.HYPRWindow(net, window=7), hypr.BPTT(net)][seed % 2]
        try:
            stage = IntegerStage(net, settings, x.numpy())
            recorded = on_integers(stage, partial(rule.backward, x, y, mask))
        except (ExportError, HyprError) as error:
            assert "state_fraction_bits" in str(error), f"seed {seed}: {error}"  # states too fine for these weights
            continue
        trace = emulate(exported(net, stage), time_major(x), "all")
        wrong, count = differing(net, recorded, trace)
        assert wrong == 0, f"seed {seed}: {wrong} of {count} integers, {names}, {settings}"
        compared += count
    assert compared > 30_000


def test_units_of_another_network_are_refused() -> None:
    _, stage, _ = prepared("brf", settings=QuantizationSettings(weight_bits=4))
    other = network("brf", "brf")
    with pytest.raises(ExportError, match="state_units are those of another network"):
        IntegerStage(other, stage.settings).quantize()
