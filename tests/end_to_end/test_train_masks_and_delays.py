"""Runs with fixed connectivity and input delays: keys of the configuration, and going on with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import hypr
from export.bundle.bundle import Bundle
from hypr.deployment.deploy import export_run, verify_bundle
from hypr.deployment.evaluation import time_major
from hypr.errors import HyprError
from hypr.integer.stage import IntegerStage
from hypr.training import build, checkpoint, config, runs
from hypr.training.data import load_data
from hypr.training.train import train

DELAYS = [3, 0, 1, 0, 2, 5, 0, 1, 0, 0, 4, 0, 9, 1, 0, 2]
SMALL = [
    "network.layers.0.width=12",
    "network.layers.0.density=0.5",
    "network.layers.0.recurrent_density=0.25",
    f"network.input_delays={DELAYS}",
    "training.batch=256",
    "device=cpu",
    "epochs=4",
]


def network(*overrides: str) -> hypr.Network:
    settings = config.load("digits-brf", [*SMALL, *overrides])
    return build.build_network(settings, load_data(settings, "train"))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path).tensors


def test_densities_and_delays_of_the_configuration_are_those_of_the_network():
    net = network()
    masks = net.layers[0].masks()
    assert masks["weight"].sum(1).tolist() == [8] * 12
    assert masks["recurrent_weight"].sum(1).tolist() == [3] * 12
    assert net.layers[1].masks() == {}
    assert net.input_delays == tuple(DELAYS)
    assert network("network.readout.density=0.5").layers[1].masks()["weight"].sum(1).tolist() == [6] * 10


def test_masks_are_drawn_from_their_seed_and_weights_from_that_of_the_run():
    plain = network()
    again, other, fixed = network(), network("seed=1"), network("seed=1", "network.mask_seed=0")
    assert torch.equal(plain.layers[0].masks()["weight"], again.layers[0].masks()["weight"])
    assert not torch.equal(plain.layers[0].masks()["weight"], other.layers[0].masks()["weight"])
    assert torch.equal(plain.layers[0].masks()["weight"], fixed.layers[0].masks()["weight"])
    assert not torch.equal(plain.layers[0].weight, fixed.layers[0].weight)
    kept = plain.layers[0].masks()["weight"]
    dense = config.load("digits-brf", ["network.layers.0.width=12"])
    drawn = build.build_network(dense, load_data(dense, "train")).layers[0].weight
    torch.testing.assert_close(plain.layers[0].weight[kept], drawn[kept] * 2**0.5, rtol=1e-6, atol=0)  # float32


def test_a_mask_does_not_choose_synapses_by_their_weight():
    """Mask and weights have seeds of their own, also where both come from that of the run."""
    net = network("network.layers.0.width=200")
    for name, mask in net.layers[0].masks().items():
        kept = net.layers[0].get_parameter(name).detach()[mask]
        deviation = float(kept.std()) / len(kept) ** 0.5
        assert abs(float(kept.mean())) < 5 * deviation, name


def test_the_resolved_configuration_names_them(tmp_path):
    train(config.load("digits-brf", [*SMALL, "epochs=1"]), tmp_path / "run")
    written = (tmp_path / "run" / runs.CONFIG).read_text()
    assert f"input_delays = {DELAYS}" in written
    assert "density = 0.5, recurrent_density = 0.25" in written
    assert config.load(tmp_path / "run" / runs.CONFIG).network.input_delays == DELAYS


@pytest.mark.parametrize("rule", ["hypr", "bptt"])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one_and_masked_weights_stay_0(rule, tmp_path):
    whole = config.load("digits-brf", [*SMALL, f"rule={rule}", "optimiser.kind=adamw", "optimiser.weight_decay=0.1"])
    train(whole, tmp_path / "whole")
    _interrupted(whole, tmp_path / "cut")
    train(whole, tmp_path / "cut", resume=True)
    one, two = (weights(tmp_path / name / runs.LAST) for name in ("whole", "cut"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    for name in ("weight", "recurrent_weight"):
        mask = one[f"layers.0.{name.removesuffix('weight')}mask"]
        assert torch.count_nonzero(one[f"layers.0.{name}"][~mask]) == 0
        assert torch.count_nonzero(one[f"layers.0.{name}"][mask]) == mask.sum()
    run = runs.open_run(tmp_path / "whole", "last")
    assert run.network.input_delays == tuple(DELAYS)
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]


class _Stop(Exception):
    pass


class _Stopping:
    """Progress that ends a run in its third epoch."""

    def begin(self, epochs: int, updates: int, done: int) -> None: ...

    def update(self, epoch: int, loss: float) -> None:
        if epoch == 3:
            raise _Stop

    def epoch(self, line: dict[str, Any]) -> None: ...

    def end(self) -> None: ...


def _interrupted(settings: config.Config, folder: Path) -> None:
    with pytest.raises(_Stop):
        train(settings, folder, progress=_Stopping())  # type: ignore[arg-type]
    assert runs.open_run(folder, "last").epoch == 2


def test_training_goes_on_from_another_run_with_the_masks_of_that_run(tmp_path):
    train(config.load("digits-brf", [*SMALL, "epochs=1"]), tmp_path / "first")
    begun = [*SMALL, "epochs=1", "seed=5", f"training.initial={tmp_path / 'first'}"]
    train(config.load("digits-brf", begun), tmp_path / "second")
    one, two = (weights(tmp_path / name / runs.LAST) for name in ("first", "second"))
    assert torch.equal(one["layers.0.mask"], two["layers.0.mask"])
    for change, says in (
        ("network.layers.0.density=0.25", "hidden0.weight of .* has 96 synapses, this configuration 48"),
        (f"network.input_delays={[0] * 16}", "other network.input_delays"),
    ):
        settings = config.load("digits-brf", [*begun, change])
        with pytest.raises(HyprError, match=says) as caught:
            build.initial_network(settings, load_data(settings, "train"))
        assert "\n" not in str(caught.value)


SPARSE = [*SMALL, "network.layers.0.width=48", "network.layers.0.density=0.125", "epochs=2"]


def test_a_float_run_is_exported_with_sparse_projections_and_delays(tmp_path):
    train(config.load("digits-brf", [*SPARSE, "network.layers.0.recurrent_density=0.06"]), tmp_path / "run")
    exported = export_run(runs.open_run(tmp_path / "run"), tmp_path / "bundle", to=("nir", "onnx"))
    bundle = Bundle.open(tmp_path / "bundle")
    program, test = bundle.program, runs.open_run(tmp_path / "run").load_data("test")
    assert program == exported.bundle.program
    assert verify_bundle(bundle, time_major(test.subset(slice(0, 20))), ("emulator", "onnx", "reference")).equal
    source = program.inputs[0].name
    assert {p.delay for p in program.projections if p.source == source} == set(DELAYS)
    assert {p.synapses.kind for p in program.projections if p.target == "hidden0"} == {"sparse"}
    hidden = [p for p in program.projections if p.target == "hidden0"]
    masks = runs.open_run(tmp_path / "run").network.layers[0].masks()
    count = sum(len(p.synapses.coo()[2]) for p in hidden)
    assert 0.9 * 48 * (2 + 3) < count <= int(masks["weight"].sum() + masks["recurrent_weight"].sum()) == 48 * (2 + 3)


def test_a_run_on_integers_resumes_with_the_same_bits_and_exports_the_integers_of_its_last_forward_pass(tmp_path):
    settings = config.load("digits-brf", [*SPARSE, "quantization=6", "epochs=4"])
    train(settings, tmp_path / "whole")
    _interrupted(settings, tmp_path / "cut")
    train(settings, tmp_path / "cut", resume=True)
    one, two = (weights(tmp_path / name / runs.LAST) for name in ("whole", "cut"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    mask = one["layers.0.mask"]
    assert torch.count_nonzero(one["layers.0.weight"][~mask]) == 0
    run = runs.open_run(tmp_path / "whole", "last")
    exported = export_run(run, tmp_path / "bundle", to=("nir",))
    assert run.settings is not None and run.result is not None
    assert IntegerStage(run.network, run.settings).quantize().program == exported.bundle.program
    assert exported.integer_accuracy == run.result["last"]["test"]


class Bare(hypr.Neuron):
    """A neuron of a user that takes no masks."""

    kind = "bare_in_this_test"
    state_names = ("u",)

    def __init__(self, n_in: int, n: int, generator: torch.Generator | None = None) -> None:
        super().__init__(n_in, n, True, "slayer", generator)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["network.input_delays=[1, 2]"], "network: 2 input_delays for 16 input channels"),
        ([f"network.input_delays={[63] * 16}"], r"network: input_delays\[0\] is 63"),
        (["network.readout.recurrent_density=0.5"], "network.readout.recurrent_density: neuron 'li' takes no"),
        (
            ["network.layers.0.neuron=bare_in_this_test", "network.layers.0.options={}"],
            "network.layers.0.density: neuron 'bare_in_this_test' takes no mask",
        ),
        (["network.layers.0.options={recurrent=false}"], "network.layers.0.options: BRF: a recurrent_mask needs"),
        (["network.layers.0.options={mask=true}"], "unknown key 'mask'"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_in_one_line(overrides, says):
    with pytest.raises(HyprError, match=says) as caught:
        network(*overrides)
    assert "\n" not in str(caught.value)


def test_delays_reach_the_gradient(tmp_path):
    for name, delays in (("late", DELAYS), ("later", DELAYS[::-1])):
        train(config.load("digits-brf", [*SMALL, "epochs=1", f"network.input_delays={delays}"]), tmp_path / name)
    one, two = (weights(tmp_path / name / runs.LAST) for name in ("late", "later"))
    assert not torch.equal(one["layers.0.weight"], two["layers.0.weight"])
