"""What a block of training on integers leaves behind: weights and parameters come back, whatever happens in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hypr
from export.quantization.formats import QuantizationSettings
from hypr.errors import HyprError
from hypr.network import Network
from tests.unit.test_integer_stage import NAMES, prepared


def snapshot(net: Network) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    effective = [{k: v.detach().clone() for k, v in layer.effective().items()} for layer in net.layers]
    return {name: value.detach().clone() for name, value in net.state_dict().items()}, effective


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fails", [False, True])
def test_weights_and_parameters_come_back_whether_the_block_ends_or_raises(name: str, fails: bool) -> None:
    net, stage, (x, y, mask) = prepared(name, settings=QuantizationSettings(weight_bits=3, coefficient_bits=8))
    weights, effective = snapshot(net)
    data = [parameter.data.data_ptr() for parameter in net.parameters()]

    def use() -> None:
        with stage.active():
            inside = snapshot(net)
            assert not torch.equal(inside[0]["layers.0.weight"], weights["layers.0.weight"])
            assert any(not torch.equal(inside[1][0][key], value) for key, value in effective[0].items())
            hypr.HYPR(net).backward(x, y, mask)
            if fails:
                raise RuntimeError("on purpose")

    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            use()
    else:
        use()
    again = snapshot(net)
    assert all(torch.equal(again[0][key], value) for key, value in weights.items())
    for before, after in zip(effective, again[1], strict=True):
        assert before.keys() == after.keys() and all(torch.equal(after[key], value) for key, value in before.items())
    assert [parameter.data.data_ptr() for parameter in net.parameters()] == data
    assert net.stage is None and all("effective" not in layer.__dict__ for layer in net.layers)


def test_weights_come_back_when_one_layer_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    net, stage, _ = prepared("brf", "brf")
    weights, _ = snapshot(net)
    broken = net.layers[1].weight

    def refuse(self: object, *_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(type(net.layers[2]), "effective", property(refuse))
    with pytest.raises(MemoryError), stage.active():
        pass
    monkeypatch.undo()
    assert broken is net.layers[1].weight
    assert all(torch.equal(snapshot(net)[0][key], value) for key, value in weights.items())


def test_a_second_block_inside_the_first_is_refused_and_the_first_goes_on() -> None:
    net, stage, (x, y, mask) = prepared("brf")
    weights, _ = snapshot(net)
    with stage.active():
        with pytest.raises(HyprError, match="already"), stage.active():
            pass
        hypr.HYPR(net).backward(x, y, mask)
        assert net.stage is not None
    assert all(torch.equal(snapshot(net)[0][key], value) for key, value in weights.items())
