"""A neuron of one's own: exported, run by oracle, emulator and training on integers, refused where it cannot be "
"held."""

from __future__ import annotations

import sys

import nir
import numpy as np
import pytest
import torch

import hypr
from export import quantize, read, to_nir, write
from export.bundle.bundle import write_bundle
from export.errors import ExportError, UnsupportedError
from export.quantization.formats import QuantizationSettings
from export.verification import engines
from hardware import compare, emulate, own, reference
from hardware.errors import ProgramError
from hardware.fixed_point import mulsh, sat
from hardware.models import MODELS, OWN_MODELS
from hardware.program_file import load, save
from hypr.errors import HyprError
from hypr.examples.own_neuron import Leaky
from hypr.integer.stage import IntegerStage


class LeakyTwice(hypr.Neuron):
    """The same neuron with a second, scalar step."""

    kind = "leaky_twice"
    state_names = ("u",)
    trainable = Leaky.trainable
    step = Leaky.step
    integer_parameters = Leaky.integer_parameters
    integer_step = staticmethod(Leaky.integer_step)
    quantize = staticmethod(Leaky.quantize)
    dequantize = staticmethod(Leaky.dequantize)

    @staticmethod
    def integer_scalar_step(n, s, z_before, drive):
        u = 0 if z_before else s[0]
        u = max(-(2**23 - 1), min(2**23 - 1, reference.mulsh(u, n["D"], n["K"]) + drive + n["bias"]))
        return [u], 1 if u > n["TH"] else 0


def network(kind=Leaky, seed=0):
    torch.manual_seed(seed)
    net = hypr.Network([kind(6, 20), kind(20, 12), hypr.LI(12, 3)], decision={"rule": "sum"})
    x = (torch.rand(24, 50, 6) < 0.2).float()
    hypr.fit_activity_(net, x)
    return net, x


def exported(net, x, **settings):
    return quantize(to_nir(net, dt=1e-3), calibration=x.numpy(), **settings)


@pytest.mark.parametrize("kind", [Leaky, LeakyTwice])
def test_oracle_and_emulator_agree_on_every_integer(kind):
    net, x = network(kind)
    program = exported(net, x)
    inputs = x.int().numpy().transpose(1, 0, 2)
    a, b = emulate(program, inputs, "all"), reference.run(program, inputs[:, :4], "all")
    few = emulate(program, inputs[:, :4], "all")
    assert compare(few, b, program).first_divergence is None
    assert all(value.any() for value in a.spikes.values())


def test_a_wrong_second_step_is_found_and_named():
    net, x = network(LeakyTwice)
    program = exported(net, x)
    right = own.OWN["leaky_twice"]
    inputs = x.int().numpy().transpose(1, 0, 2)[:, :2]
    wrong = lambda n, s, z, drive: ([min(s[0] + 1, 5)], 0)  # noqa: E731
    own.register(own.OwnNeuron(right.spec, right.step, wrong, right.real))
    try:
        found = compare(
            emulate(program, inputs, "all"), reference.run(program, inputs, "all"), program
        ).first_divergence
    finally:
        own.register(right)
    assert found is not None and found.layer == "hidden0"
    assert found.clause == "integer step of 'leaky_twice'"


def test_integers_follow_the_float_neuron_closely():
    net, x = network()
    program = exported(net, x, coefficient_bits=16)
    whole = emulate(program, x.int().numpy().transpose(1, 0, 2)).spikes["hidden0"]
    real = net.trajectory(x)["hidden0"].spikes[1:].numpy()
    assert np.mean(whole != real) < 0.01  # 8-bit weights move some spikes by a step; a wrong neuron differs in 4 %
    assert real.mean() > 0.015


def test_training_on_integers_runs_the_integers_that_export_writes():
    net, x = network()
    stage = IntegerStage(net, QuantizationSettings(), x.numpy())
    rule, optimiser = hypr.HYPR(net), torch.optim.Adam(net.parameters(), lr=0.01)
    y = torch.arange(24) % 3
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        with stage.active() as integers:
            losses.append(float(rule.backward(x, y)))
            recorded = net.trajectory(x)
        before = integers.program
        optimiser.step()
        net.constrain_()
    inputs = x.int().numpy().transpose(1, 0, 2)
    trace = emulate(before, inputs, "all")
    for name in ("hidden0", "hidden1"):
        assert (trace.spikes[name] == recorded[name].spikes[1:].numpy()).all()
    assert losses[-1] < losses[0]
    assert (quantize(to_nir(net, dt=1e-3), stage.settings)) == stage.quantize().program


def test_nir_files_give_the_same_program_again(tmp_path):
    net, x = network()
    graph = to_nir(net, dt=1e-3)
    write(graph, tmp_path / "net.nir")
    again = read(tmp_path / "net.nir")
    assert type(again.nodes["hidden0"]).__name__ == "OwnNeuron"
    assert quantize(again, calibration=x.numpy()) == exported(net, x)


def test_a_file_is_refused_where_the_neuron_is_unknown(tmp_path, monkeypatch):
    net, x = network()
    program = exported(net, x)
    save(program, tmp_path / "program.npz")
    write(to_nir(net, dt=1e-3), tmp_path / "net.nir")
    monkeypatch.delitem(own.OWN, "example_leaky")
    monkeypatch.delitem(OWN_MODELS, "example_leaky")
    with pytest.raises(ExportError, match=r"neuron of someone's own; import its module first \(--with MODULE\)"):
        quantize(read(tmp_path / "net.nir"), calibration=x.numpy())
    with pytest.raises(ProgramError, match="unknown model 'example_leaky'"):
        load(tmp_path / "program.npz")


def test_onnx_and_lava_refuse_with_the_reason(tmp_path):
    net, x = network()
    program = exported(net, x)
    for target in ("onnx", "lava"):
        with pytest.raises(UnsupportedError, match=f"which {target} cannot hold.*--to nir"):
            write_bundle(None, program, tmp_path / "b", ("nir", target))
        with pytest.raises(UnsupportedError, match=f"engine '{target}' does not know neuron 'example_leaky'"):
            engines.get(target).run(program, x.int().numpy().transpose(1, 0, 2), ())
    assert not (tmp_path / "b").exists()


def test_a_changed_integer_step_is_noticed_when_the_bundle_is_checked(tmp_path, monkeypatch):
    net, x = network()
    bundle = write_bundle(to_nir(net, dt=1e-3), exported(net, x), tmp_path / "b", ("nir",))
    name = "the integer step of 'example_leaky' is the one that the export recorded"
    assert all(bundle.checks().values()) and bundle.checks()[name]
    old = own.OWN["example_leaky"]

    def changed(n, states, spikes_before, drive):
        u = sat(mulsh(np.where(spikes_before, 0, states[0]), n["D"], n["K"]) + drive + n["bias"] + 1)
        return (u,), u > n["TH"]

    monkeypatch.setitem(own.OWN, "example_leaky", own.OwnNeuron(old.spec, changed, None, old.real))
    assert not bundle.checks()[name]


def test_a_certificate_counts_implementations_and_holds_the_hash_of_their_source():
    one, two = (own.describe(exported(*network(kind))) for kind in (Leaky, LeakyTwice))
    assert one["example_leaky"]["implementations"] == 1
    assert "their equality says nothing" in one["example_leaky"]["statement"]
    assert two["leaky_twice"]["implementations"] == 2
    assert two["leaky_twice"]["source_sha256"] != one["example_leaky"]["source_sha256"]
    assert own.describe(exported(hypr.Network([hypr.LIF(6, 4), hypr.LI(4, 2)]), torch.ones(4, 9, 6))) == {}


def test_what_a_class_lacks_is_named():
    class Bare(hypr.Neuron):
        kind = "bare_neuron"
        state_names = ("u",)

        def step(self, state, z, current, parameters):
            return (current,), self.spike(current - 1.0)

    with pytest.raises(ExportError, match=r"neuron 'bare_neuron' has no integer step.*integer_step and quantize"):
        to_nir(hypr.Network([Bare(3, 2), hypr.LI(2, 2)]), dt=1e-3)
    with pytest.raises(HyprError, match="has an integer_step but no quantize"):
        type("Half", (hypr.Neuron,), {"kind": "half_neuron", "integer_step": staticmethod(lambda *_: None)})
    with pytest.raises(ProgramError, match="cannot be called 'lif'"):
        own.register(own.OwnNeuron(MODELS["lif"], Leaky.integer_step, None, own.OWN["example_leaky"].real))


def test_the_generic_node_survives_nir_alone(tmp_path):
    net, _ = network()
    write(to_nir(net, dt=1e-3), tmp_path / "net.nir")
    node = nir.read(tmp_path / "net.nir").nodes["hidden0"]
    assert node.kind == "example_leaky" and node.names == "decay"
    decay = net.layers[0].decay.detach().double().numpy()
    assert (node.values.astype(np.float64)[0] == decay).all()
    assert "hypr.examples.own_neuron" in sys.modules
