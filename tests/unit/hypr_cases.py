"""Small random networks, batches and comparisons for the tests of neurons and learning rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import hypr
from hypr.kernels import reference
from hypr.kernels.types import Eligibility, LayerTrajectory
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF, random_mask

LIMIT = 1e-10  # relative, float64: sums of some thousand terms, each with an error of 1e-16


class OwnNeuron(hypr.Neuron):
    """A neuron of a user: its step alone, Jacobians by forward-mode differentiation."""

    state_names = ("u", "v")
    trainable = {"decay": hypr.Range((0.6, 0.95), 0.0, 0.99), "pull": hypr.Range((0.1, 0.4))}

    def step(self, state, z, current, parameters):
        u, v = state
        u = parameters["decay"] * u * (1 - z) + current - parameters["pull"] * v
        z = self.spike(u - 1.0)
        return (u, 0.9 * v + u * z), z


MODELS: dict[str, Callable[..., Neuron]] = {
    "brf": lambda i, n, **k: BRF(i, n, dt=0.05, omega_range=(3, 8), **k),
    "brf_exponential": lambda i, n, **k: BRF(
        i, n, variant="exponential", dt=0.05, exponential_b=True, b_range=(0.05, 0.8), surrogate="slayer_wide", **k
    ),
    "brf_log": lambda i, n, **k: BRF(i, n, dt=0.05, exponential_omega=True, surrogate="slayer", **k),
    "se_adlif_previous": lambda i, n, **k: SEAdLIF(i, n, adaptation_spike="previous", **k),
    "se_adlif_current": lambda i, n, **k: SEAdLIF(i, n, adaptation_spike="current", **k),
    "alif": lambda i, n, **k: ALIF(i, n, **k),
    "alif_same": lambda i, n, **k: ALIF(i, n, reset="same", **k),
    "lif_zero": lambda i, n, **k: LIF(i, n, reset="zero", **k),
    "lif_subtract": lambda i, n, **k: LIF(i, n, reset="subtract", **k),
    "cuba_lif_zero": lambda i, n, **k: CubaLIF(i, n, reset="zero", **k),
    "cuba_lif_subtract": lambda i, n, **k: CubaLIF(i, n, reset="subtract", **k),
    "own": lambda i, n, **k: OwnNeuron(i, n, **k),
}
"""Hidden layers by name: ``MODELS[name](n_in, n, recurrent=...)``."""

NO_KERNELS = ("own", "alif_same")
"""Those that only the reference kernels run."""

GAIN = {"brf": 14.0, "se_adlif": 10.0, "alif": 6.0, "lif": 14.0, "cuba": 4.0, "own": 2.0}
"""Factor on the initial weights at which small networks spike often enough for a test to see every path."""


def network(
    *names: str,
    n_in: int = 4,
    n: int = 6,
    n_out: int = 3,
    recurrent: bool = True,
    seed: int = 0,
    density: float | None = None,
    input_delays: Sequence[int] | None = None,
) -> Network:
    """float64 network of the named hidden layers and a leaky readout, scaled to spike; ``density`` of all synapses."""
    torch.manual_seed(seed)
    layers: list[Neuron] = []
    for index, name in enumerate(names):
        sources = n_in if index == 0 else n
        masks = {} if density is None else {"mask": random_mask(n, sources, density)}
        if masks and recurrent:
            masks["recurrent_mask"] = random_mask(n, n, density or 1.0)
        layers.append(MODELS[name](sources, n, recurrent=recurrent, **masks))
    last = None if density is None else random_mask(n_out, n, density)
    net = Network([*layers, LI(n, n_out, tau_range=(3.0, 8.0), mask=last)], input_delays=input_delays).double()
    for layer in net.layers[:-1]:
        gain = next(value for key, value in GAIN.items() if layer.kind.startswith(key))
        layer.weight.data *= gain
        layer.bias.data.uniform_(-0.3, 0.3)
        if layer.recurrent_weight is not None:
            layer.recurrent_weight.data *= 0.5 * gain
    net.layers[-1].bias.data.uniform_(-0.1, 0.1)
    return net


def batch(net: Network, steps: int = 20, size: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """(x spikes (B, T, n_in), y classes (B, T), mask (B, T) with a few steps out)."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(size, steps, net.n_in, generator=generator) < 0.4).double()
    y = torch.randint(net.n_out, (size, steps), generator=generator)
    mask = (torch.rand(size, steps, generator=generator) < 0.8).double()
    return x, y, mask


def gradients(rule: Rule, *arguments: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and a copy of every gradient of one ``backward``, from cleared gradients."""
    rule.net.zero_grad(set_to_none=True)
    value = rule.backward(*arguments)
    return value, held(rule.net)


def held(net: Network) -> dict[str, Tensor]:
    """Copies of the gradients that the parameters hold now."""
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def worst(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest relative difference max|a - b| / max|b| over the tensors; both must hold the same names."""
    assert found.keys() == expected.keys(), (sorted(found), sorted(expected))
    largest = 0.0
    for name, value in expected.items():
        scale = float(value.abs().max())
        difference = float((found[name] - value).abs().max())
        largest = max(largest, difference / scale if scale else difference)
    return largest


def layer_trajectory(name: str, steps: int = 15, size: int = 3, seed: int = 0) -> tuple[Neuron, LayerTrajectory]:
    """A layer and a window of its own dynamics from a random start, in float64, with spikes in it."""
    net = network(name, seed=seed)
    layer = net.layers[0]
    generator = torch.Generator().manual_seed(seed + 1)
    pre = (torch.rand(steps, size, layer.n_in, generator=generator) < 0.4).double()
    state = 0.5 * torch.randn(size, len(layer.state_names), layer.n, generator=generator).double()
    spikes = (torch.rand(size, layer.n, generator=generator) < 0.3).double()
    with torch.no_grad():
        return layer, reference.run_layer(layer, pre, state, spikes)


def eligibility_tensors(eligibility: Eligibility) -> dict[str, Tensor]:
    """Its tensors by name."""
    named = {"weight": eligibility.weight, "recurrent": eligibility.recurrent, "bias": eligibility.bias}
    return {name: value for name, value in named.items() if value is not None} | dict(eligibility.parameters)


def drawn_eligibility(layer: Neuron, size: int, filters: int) -> Eligibility:
    """A random one, as it might come from the window before."""
    found = reference.start_eligibility(layer, size, filters)
    for index, value in enumerate(eligibility_tensors(found).values()):
        value.normal_(generator=torch.Generator().manual_seed(index))
    return found
