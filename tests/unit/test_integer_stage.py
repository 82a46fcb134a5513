"""Training on integers: what a learning rule sees are the integers of the exported Program, and its gradients are exact
for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

import hypr
from export import quantize, to_nir
from export.errors import ExportError
from export.quantization.formats import QuantizationSettings
from hardware import Program, emulate
from hardware.trace import Trace
from hypr.errors import HyprError
from hypr.integer.stage import IntegerNetwork, IntegerStage
from hypr.kernels.types import LayerTrajectory
from hypr.learning.autograd import Autograd
from hypr.learning.rule import Rule
from hypr.network import Network
from tests.unit.hypr_cases import LIMIT, batch, gradients, held, network, worst

NAMES = ("brf", "se_adlif_previous", "se_adlif_current", "alif", "lif_zero", "lif_subtract", "cuba_lif_zero")
STEPS = 40
RULES: Mapping[str, Callable[[Network], Rule]] = {
    "hypr": lambda net: hypr.HYPR(net),
    "hypr in windows": lambda net: hypr.HYPR(net, window=7),
    "hypr-window": lambda net: hypr.HYPRWindow(net, window=9),
    "bptt": lambda net: hypr.BPTT(net),
    "eprop": lambda net: hypr.EProp(net),
}
FINE = QuantizationSettings(weight_bits=8, coefficient_bits=16)


@dataclass(frozen=True)
class Recorded:
    """What a rule saw while it ran on integers, windows joined; states as in :class:`LayerTrajectory`."""

    integers: IntegerNetwork
    layers: list[LayerTrajectory]


def on_integers(stage: IntegerStage, step: Callable[[], object]) -> Recorded:
    """Run ``step`` with the stage active, and keep every trajectory that passes to the learning rule."""
    seen: list[list[LayerTrajectory]] = []
    with stage.active() as integers:
        inner = stage.network.stage
        assert inner is not None

        def recording(pre, states):
            seen.append(inner(pre, states))
            return seen[-1]

        stage.network.stage = recording
        step()
    layers = []
    for windows in zip(*seen, strict=True):
        states = torch.cat([windows[0].states[:1], *(w.states[1:] for w in windows)])
        spikes = torch.cat([windows[0].spikes[:1], *(w.spikes[1:] for w in windows)])
        layers.append(
            LayerTrajectory(
                torch.cat([w.pre for w in windows]), states, spikes, torch.cat([w.current for w in windows])
            )
        )
    return Recorded(integers, layers)


def exported(net: Network, stage: IntegerStage) -> Program:
    """The Program that export makes of the same weights."""
    return quantize(to_nir(net, dt=1e-3), stage.settings)


def time_major(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.numpy().transpose(1, 0, 2)).astype(np.int32)


def differing(net: Network, recorded: Recorded, trace: Trace) -> tuple[int, int]:
    """(differing, compared) integers between what a rule saw and a trace with all states."""
    wrong = compared = 0
    for neuron, program, reals, seen in zip(
        net.layers, recorded.integers.program.populations, recorded.integers.reals, recorded.layers, strict=True
    ):
        after = neuron.after_reset(seen.states.double(), seen.spikes.double())[1:].numpy()
        whole = np.rint(after / reals.units).astype(np.int64)
        for index, state in enumerate(neuron.state_names):
            expected = trace.states[f"{state}/{program.name}"]
            wrong, compared = wrong + int((whole[:, :, index] != expected).sum()), compared + expected.size
        if neuron.spiking:
            expected = trace.spikes[program.name]
            wrong, compared = wrong + int((seen.spikes[1:].numpy() != expected).sum()), compared + expected.size
    return wrong, compared


def prepared(
    *names: str, settings: QuantizationSettings = FINE, dtype: torch.dtype = torch.float64, seed: int = 3
) -> tuple[Network, IntegerStage, tuple[Tensor, Tensor, Tensor]]:
    """Network, stage calibrated on the batch, and the batch."""
    net = network(*names, seed=seed).to(dtype)
    x, y, mask = batch(net, steps=STEPS, size=4)
    return net, IntegerStage(net, settings, x.numpy()), (x, y, mask)


# ---- the integers of training are those of the exported Program


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_states_seen_in_training_are_those_of_the_emulator_on_the_exported_program(name: str, rule: str) -> None:
    for dtype in (torch.float32, torch.float64):
        check_training(*prepared(name, dtype=dtype), rule)


def check_training(net: Network, stage: IntegerStage, data: tuple[Tensor, Tensor, Tensor], rule: str) -> None:
    program = exported(net, stage)
    recorded = on_integers(stage, lambda: RULES[rule](net).backward(*data))
    assert recorded.integers.program == program
    trace = emulate(program, time_major(data[0]), "all")
    assert trace.spikes["hidden0"].mean() > 0.01, "a silent network shows nothing"
    wrong, compared = differing(net, recorded, trace)
    assert compared > 3 * STEPS * 4 and wrong == 0


def test_random_networks_in_random_formats_agree_in_every_integer() -> None:
    """One to three mixed layers, 2 to 8 bits, states from coarse to saturating, graded inputs, both precisions."""
    compared = saturated = 0
    for seed in range(60):
        rng = np.random.default_rng([11, seed])
        names = [str(rng.choice(NAMES)) for _ in range(int(rng.integers(1, 4)))]
        net = network(*names, seed=seed, recurrent=bool(rng.integers(2)))
        net = net.to(torch.float32) if rng.integers(2) else net
        for layer in net.layers:
            layer.weight.data *= float(rng.choice([1, 1, 3, 30]))
        x, y, mask = batch(net, steps=25, size=3, seed=seed)
        if rng.integers(2):
            net.input_scale, net.input_format = 1 / 16, (0, 16)
            x = x * torch.from_numpy(rng.integers(0, 17, x.shape))
        count = len(net.layers)
        settings = QuantizationSettings(
            weight_bits=tuple(rng.integers(2, 9, count).tolist()),
            coefficient_bits=tuple(rng.integers(8, 17, count).tolist()),
            state_fraction_bits=tuple(rng.integers(12, 22, count).tolist()) if rng.integers(2) else None,
        )
        window = int(rng.integers(1, 25))
        rule = [hypr.HYPR(net, window=window), hypr.HYPRWindow(net, window=window), hypr.BPTT(net)][seed % 3]
        try:
            stage = IntegerStage(net, settings, x.numpy())
            program = exported(net, stage)
            recorded = on_integers(stage, partial(rule.backward, x, y, mask))
        except (ExportError, HyprError) as error:
            assert "state_fraction_bits" in str(error), f"seed {seed}: {error}"  # states too fine for these weights
            continue
        trace = emulate(program, time_major(x), "all")
        wrong, count = differing(net, recorded, trace)
        assert wrong == 0, f"seed {seed}: {wrong} of {count} integers, {names}, {settings}"
        assert all(bool(torch.isfinite(value).all()) for value in held(net).values()), f"seed {seed}"
        compared += count
        saturated += any(int(np.abs(value).max()) == 2**23 - 1 for value in trace.states.values())
    assert compared > 60_000 and saturated >= 5


def test_accuracy_is_measured_on_integers_too() -> None:
    net, stage, (x, _, _) = prepared("brf")
    with stage.active() as integers, torch.no_grad():
        output = net(x).transpose(0, 1).numpy()
    trace = emulate(exported(net, stage), time_major(x))
    assert np.array_equal(np.rint(output / integers.reals[-1].units[0]), trace.output)


def test_formats_stay_when_weights_change() -> None:
    net, stage, (x, y, mask) = prepared("brf")
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
    assert stage.last is not None and stage.last.program != exported(net, stage)
    recorded = on_integers(stage, lambda: hypr.HYPR(net).backward(x, y, mask))
    assert differing(net, recorded, emulate(exported(net, stage), time_major(x), "all"))[0] == 0


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", NAMES)
def test_the_float_step_with_the_reals_of_the_integers_gives_the_next_integer_state(name: str, bits: int) -> None:
    """From the same state, to within four units, one for each product that is shifted right. Two cases differ by more:
    where a BRF's q is not 0, its damping is rounded to 2^-bits and the float neuron's gamma is not; after a spike of
    ALIF, whose jump is 1 - rho in the float neuron, with rho rounded, and a number of its own in the integers."""
    net = network(name, seed=3)
    net.input_scale, net.input_format = 1 / 16, (0, 16)
    x, y, mask = batch(net, steps=STEPS, size=4)
    x = 16 * x
    stage = IntegerStage(net, QuantizationSettings(coefficient_bits=bits), x.numpy())
    recorded = on_integers(stage, lambda: hypr.BPTT(net).backward(x, y, mask))
    with stage.active(), torch.no_grad():
        for layer, seen, reals in zip(net.layers, recorded.layers, recorded.integers.reals, strict=True):
            after, z = layer.step(seen.states[:-1].unbind(2), seen.spikes[:-1], seen.current, layer.effective())
            units = torch.from_numpy(reals.units)
            apart = (torch.stack(after, 2) - seen.states[1:]) / units
            if layer.spiking:
                same = z == seen.spikes[1:]  # a membrane within its rounding of the threshold goes either way
                apart = apart * same[:, :, None]
                assert float((~same).double().mean()) < 0.01
            allowed = 4 + inexpressible(layer.kind, seen, units, bits)
            assert bool((apart.abs() <= allowed).all()), float((apart.abs() - allowed).max())


def inexpressible(kind: str, seen: LayerTrajectory, units: Tensor, bits: int) -> Tensor:
    """Units by which a step may differ because the float neuron has no number for what the integers have."""
    before = seen.states[:-1]
    if kind == "brf":
        return (before[:, :, 2:] != 0) * (before / units).abs().amax(2, keepdim=True) * 2.0 ** (1 - bits)
    if kind == "alif":
        return seen.spikes[:-1][:, :, None] * 2.0 ** -(bits + 1) / units[1]
    return torch.zeros(())


# ---- gradients


class OnRecordedStates(Autograd):
    """Plain automatic differentiation of the float steps, their values replaced by recorded ones after every step."""

    def __init__(self, net: Network, recorded: Recorded, **options) -> None:
        super().__init__(net, **options)
        self._recorded, self._calls = recorded, 0

    def _step(self, *arguments, **options):
        after, output = super()._step(*arguments, **options)
        t, index = divmod(self._calls, len(self.net.layers))
        self._calls += 1
        seen = self._recorded.layers[index]
        after = tuple(a + (seen.states[t + 1, :, k] - a).detach() for k, a in enumerate(after))
        return after, output + (seen.spikes[t + 1] - output).detach()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rule", "paths"), [("bptt", "full"), ("hypr", "same_step")])
def test_gradient_is_that_of_automatic_differentiation_on_the_integer_states(name: str, rule: str, paths: str) -> None:
    net, stage, data = prepared(name, name, settings=QuantizationSettings(weight_bits=4, coefficient_bits=10))
    net.zero_grad(set_to_none=True)
    recorded = on_integers(stage, lambda: RULES[rule](net).backward(*data))
    found = held(net)
    net.zero_grad(set_to_none=True)
    with stage.active():
        OnRecordedStates(net, recorded, paths=paths).backward(*data)
    assert worst(found, held(net)) < LIMIT


@pytest.mark.parametrize("name", ["alif", "lif_subtract", "se_adlif_previous"])
def test_own_spikes_act_on_the_integer_states_too(name: str) -> None:
    net, stage, data = prepared(name, settings=QuantizationSettings(weight_bits=4, coefficient_bits=10))
    net.zero_grad(set_to_none=True)
    recorded = on_integers(stage, lambda: hypr.HYPR(net, readout_memory=True, own_spike=True).backward(*data))
    found = held(net)
    net.zero_grad(set_to_none=True)
    with stage.active():
        OnRecordedStates(net, recorded, paths="own_state", own_spike=True).backward(*data)
    assert worst(found, held(net)) < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_gradient_at_8_and_16_bits_points_where_the_float_one_does(name: str) -> None:
    """Not closer than 0.9: where a rounded weight moves one spike by a step, every later term of that neuron moves
    too, so the two gradients are those of two slightly different spike trains."""
    net, stage, data = prepared(name, seed=1)
    _, real = gradients(hypr.HYPR(net), *data)
    with stage.active():
        _, whole = gradients(hypr.HYPR(net), *data)
    for parameter in ("layers.0.weight", "layers.0.recurrent_weight", "layers.1.weight"):
        a, b = real[parameter].flatten(), whole[parameter].flatten()
        assert float(a @ b / (a.norm() * b.norm())) > 0.9, parameter
    assert worst(whole, real) > 1e-9, "the two gradients cannot be the same to the last digit"


@pytest.mark.parametrize("name", NAMES)
def test_windows_do_not_change_the_gradient(name: str) -> None:
    net, stage, data = prepared(name, name)
    found = []
    for rule in (hypr.HYPR(net), hypr.HYPR(net, window=7), hypr.EProp(net)):
        with stage.active():
            found.append(gradients(rule, *data)[1])
    assert worst(found[1], found[0]) < LIMIT
    assert worst(found[2], found[0]) < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_chunks_of_a_stream_give_the_gradient_and_the_integers_of_the_whole_sequence(name: str) -> None:
    net, stage, (x, y, _) = prepared(name)
    with stage.active():
        _, whole = gradients(hypr.HYPR(net), x, y)
    net.zero_grad(set_to_none=True)
    stream = hypr.HYPR(net, window=6).stream(len(x), steps=STEPS)

    def feed() -> None:
        for start, stop in ((0, 5), (5, 6), (6, 23), (23, STEPS)):
            stream.feed(x[:, start:stop], y[:, start:stop])

    recorded = on_integers(stage, feed)
    assert worst(held(net), whole) < LIMIT
    assert differing(net, recorded, emulate(exported(net, stage), time_major(x), "all"))[0] == 0


def test_a_current_beyond_float32_is_refused_and_exact_in_float64() -> None:
    """Only CubaLIF's synaptic current may leave 24 bits (FP-3.5)."""
    settings = QuantizationSettings(state_fraction_bits=(19, 18))
    net, stage, (x, y, mask) = prepared("cuba_lif_zero", settings=settings, seed=2)
    net.layers[0].weight.data *= 400
    program = exported(net, stage)
    trace = emulate(program, time_major(x), "all")
    assert int(np.abs(trace.states["u/hidden0"]).max()) > 2**24
    recorded = on_integers(stage, lambda: hypr.HYPR(net, window=7).backward(x, y, mask))
    assert differing(net, recorded, trace)[0] == 0
    net.to(torch.float32)
    with pytest.raises(HyprError, match=r"hidden0 reaches \d+.*state_fraction_bits"), stage.active():
        hypr.HYPR(net).backward(x, y, mask)


def test_a_threshold_that_never_moves_has_finite_gradients() -> None:
    torch.manual_seed(0)
    net = Network([hypr.ALIF(4, 6, beta=0.0), hypr.LI(6, 3)]).double()
    net.layers[0].weight.data *= 6
    x, y, mask = batch(net, steps=STEPS)
    stage = IntegerStage(net, FINE, x.numpy())
    recorded = on_integers(stage, lambda: hypr.HYPR(net, window=9).backward(x, y, mask))
    trace = emulate(exported(net, stage), time_major(x), "all")
    assert trace.spikes["hidden0"].mean() > 0.01
    assert differing(net, recorded, trace)[0] == 0
    assert all(bool(torch.isfinite(value).all()) for value in held(net).values())


def test_a_copy_of_the_network_gets_a_stage_with_the_same_formats() -> None:
    net, stage, _ = prepared("alif")
    copy = Network.from_structure(net.structure()).double()
    copy.load_state_dict(net.state_dict())
    assert stage.of(net) is stage
    assert stage.of(copy).quantize().program == exported(net, stage)
