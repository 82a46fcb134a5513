"""Checkpoints: exact, whole or absent, and checked before anything is changed."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

import hypr
from hypr.errors import HyprError
from hypr.training import checkpoint, runs


def network(width: int = 5, seed: int = 0) -> hypr.Network:
    generator = torch.Generator().manual_seed(seed)
    return hypr.Network(
        [hypr.BRF(3, width, generator=generator), hypr.LI(width, 2, generator=generator)], input_scale=1 / 16
    )


def test_a_network_comes_back_bit_for_bit_with_its_structure(tmp_path):
    before = network()
    runs.save_weights(tmp_path / "a.safetensors", before, {"epoch": 3})
    saved = checkpoint.read(tmp_path / "a.safetensors")
    after = runs.rebuild(saved)
    assert saved.details["epoch"] == 3
    assert after.structure() == before.structure()
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])


def test_double_precision_is_kept(tmp_path):
    before = network().double()
    runs.save_weights(tmp_path / "a.safetensors", before, {"epoch": 1})
    after = runs.rebuild(checkpoint.read(tmp_path / "a.safetensors"))
    assert after.dtype == torch.float64
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(value, tmp_path):
    broken = network()
    broken.layers[0].weight.data[1, 2] = value
    runs.save_weights(tmp_path / "a.safetensors", broken, {"epoch": 1})
    with pytest.raises(HyprError, match=r"'layers\.0\.weight' has 1 value\(s\) that are NaN or infinite") as error:
        checkpoint.read(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)


def test_every_truncation_is_refused_in_one_line(tmp_path):
    runs.save_weights(tmp_path / "a.safetensors", network(), {"epoch": 1})
    whole = (tmp_path / "a.safetensors").read_bytes()
    for length in [*range(64), *range(64, len(whole), 97), len(whole) - 1]:
        (tmp_path / "a.safetensors").write_bytes(whole[:length])
        with pytest.raises(HyprError, match="damaged or cut short") as error:
            checkpoint.read(tmp_path / "a.safetensors")
        assert "\n" not in str(error.value)


def test_a_file_of_another_program_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(safetensors.torch.save({"x": torch.zeros(2)}))
    with pytest.raises(HyprError, match="no checkpoint of this program"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_details_that_are_no_object_are_refused(tmp_path):
    header = {"format": checkpoint.FORMAT_01, "details": json.dumps([1])}
    (tmp_path / "a.safetensors").write_bytes(safetensors.torch.save({"x": torch.zeros(2)}, header))
    with pytest.raises(HyprError, match="must be a JSON object"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(HyprError, match="cannot be read"):
        checkpoint.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("layers.0.bias"), "'layers.0.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' has no place"),
        (lambda t: t.update({"layers.0.bias": torch.zeros(6)}), r"'layers.0.bias' is torch.float32 \(6,\), expected"),
        (lambda t: t.update({"layers.0.bias": torch.zeros(5).double()}), "'layers.0.bias' is torch.float64"),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(change, words, tmp_path):
    tensors = dict(network(seed=1).state_dict())
    change(tensors)
    checkpoint.save(tmp_path / "a.safetensors", tensors, {})
    target = network(seed=0)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(HyprError, match=words):
        checkpoint.load_weights(target, checkpoint.read(tmp_path / "a.safetensors"))
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_checkpoint_without_structure_is_refused(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", network().state_dict(), {"epoch": 1})
    with pytest.raises(HyprError, match="describes no network"):
        runs.rebuild(checkpoint.read(tmp_path / "a.safetensors"))


def test_an_optimiser_goes_on_as_if_it_had_not_stopped(tmp_path):
    def steps(parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimiser.step()

    names, shapes = ["a", "b"], [(3, 2), (4,)]
    whole = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimiser = torch.optim.Adam(whole, lr=0.1)
    steps(whole, optimiser, range(5))
    checkpoint.save(tmp_path / "o.safetensors", checkpoint.optimiser_tensors(optimiser, names), {})
    resumed = [torch.nn.Parameter(parameter.detach().clone()) for parameter in whole]
    second = torch.optim.Adam(resumed, lr=0.1)
    checkpoint.restore_optimiser(second, names, checkpoint.read(tmp_path / "o.safetensors"))
    steps(whole, optimiser, range(5, 9))
    steps(resumed, second, range(5, 9))
    assert all(torch.equal(one, two) for one, two in zip(whole, resumed, strict=True))
