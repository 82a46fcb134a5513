"""BPTT steps of other frameworks, same sizes and data: recurrent LIF layer, leaky readout, cross entropy per step.

Each framework runs its own LIF with its own surrogate, in its plain form for recurrent layers on the CPU; the networks
have the same layers, not the same equations. A framework that is not installed is left out. Spyx runs on JAX: its whole
step is compiled ahead of time, and the time of that is kept apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

Step = Callable[[], Tensor]


@dataclass(frozen=True)
class Peer:
    """One training step of another framework.

    Attributes:
        call: does the step and returns the loss.
        compile_seconds: wall time of compiling the step ahead of its first call, None where nothing is compiled.
    """

    call: Step
    compile_seconds: float | None = None


Build = Callable[[Tensor, Tensor, int, int], Peer]


def available() -> dict[str, Build]:
    """Builders by name, for the frameworks that are installed: x (B, T, n_in), y (B, T), hidden, outputs -> Peer."""
    return {name: build for name, (build, needs) in _builders().items() if all(map(find_spec, needs))}


def missing() -> list[str]:
    """Names of the frameworks that are left out because they, or what they run on, are not installed."""
    return [name for name in _builders() if name not in available()]


def _builders() -> dict[str, tuple[Build, tuple[str, ...]]]:
    return {
        "snntorch": (_snntorch, ("snntorch",)),
        "norse": (_norse, ("norse",)),
        "spikingjelly": (_spikingjelly, ("spikingjelly",)),
        "spyx": (_spyx, ("spyx", "jax", "flax")),
        "torch-autograd": (_torch, ()),
    }


def _step(module: nn.Module, x: Tensor, y: Tensor) -> Peer:
    """Forward over x (B, T, n_in), mean cross entropy with classes y (B, T), backward."""
    pre, target = x.transpose(0, 1).contiguous(), y.T.reshape(-1)

    def call() -> Tensor:
        module.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(module(pre).flatten(0, 1), target)
        loss.backward()
        return loss.detach()

    return Peer(call)


def _snntorch(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Peer:
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Linear(x.shape[2], hidden), nn.Linear(hidden, outputs)
            self.cell = snn.RLeaky(beta=0.95, linear_features=hidden)
            self.readout = snn.Leaky(beta=0.95, reset_mechanism="none")

        def forward(self, pre: Tensor) -> Tensor:
            spike, membrane = self.cell.init_rleaky()
            read, results = self.readout.init_leaky(), []
            for current in self.into(pre):
                spike, membrane = self.cell(current, spike, membrane)
                _, read = self.readout(self.out(spike), read)
                results.append(read)
            return torch.stack(results)

    return _step(Net(), x, y)


def _norse(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Peer:
    import norse.torch as norse

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = norse.LIFRecurrent(x.shape[2], hidden)
            self.readout = norse.LILinearCell(hidden, outputs)

        def forward(self, pre: Tensor) -> Tensor:
            spikes, _ = self.cell(pre)
            state, results = None, []
            for row in spikes:
                value, state = self.readout(row, state)
                results.append(value)
            return torch.stack(results)

    return _step(Net(), x, y)


def _spikingjelly(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Peer:
    from spikingjelly.activation_based import functional, layer, neuron

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Linear(x.shape[2], hidden), nn.Linear(hidden, outputs)
            self.cell = layer.LinearRecurrentContainer(
                neuron.LIFNode(tau=10.0, detach_reset=True), hidden, hidden, step_mode="m"
            )

        def forward(self, pre: Tensor) -> Tensor:
            functional.reset_net(self)
            read, results = torch.zeros(pre.shape[1], outputs), []
            for row in self.out(self.cell(self.into(pre))):
                read = read + (row - read) / 20.0
                results.append(read)
            return torch.stack(results)

    return _step(Net(), x, y)


def _spyx(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Peer:
    """Spyx's own recurrent LIF (SuperSpike surrogate, its default) under its scan, compiled by XLA for the CPU."""
    import jax

    jax.config.update("jax_platforms", "cpu")  # before the first array; a GPU would not be compared like with like
    import spyx.nn
    from flax import nnx
    from jax import numpy as jnp

    rngs = nnx.Rngs(0)
    model = spyx.nn.Sequential(
        nnx.Linear(x.shape[2], hidden, rngs=rngs),
        spyx.nn.RLIF((hidden,), beta=0.95, rngs=rngs),
        nnx.Linear(hidden, outputs, rngs=rngs),
        spyx.nn.LI((outputs,), beta=0.95, rngs=rngs),
    )
    structure, parameters = nnx.split(model)
    pre, target = jnp.asarray(x.transpose(0, 1).numpy()), jnp.asarray(y.T.numpy(), dtype=jnp.int32)

    def mean_loss(parameters: nnx.State, pre: jax.Array, target: jax.Array) -> jax.Array:
        traces, _ = spyx.nn.run(nnx.merge(structure, parameters), pre)
        likelihood = jnp.take_along_axis(jax.nn.log_softmax(traces), target[..., None], axis=-1)
        return -likelihood.mean()

    start = time.perf_counter()
    step = jax.jit(jax.value_and_grad(mean_loss)).lower(parameters, pre, target).compile()
    seconds = time.perf_counter() - start

    def call() -> Tensor:
        # JAX returns before it has computed: wait for the loss and for every gradient.
        loss, _ = jax.block_until_ready(step(parameters, pre, target))
        return torch.tensor(float(loss))

    return Peer(call, seconds)


def _torch(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Peer:
    """Our own LIF step under torch.autograd, without any kernel of ours: what a plain PyTorch loop costs."""
    import hypr
    from hypr.learning.autograd import Autograd

    net = hypr.Network([hypr.LIF(x.shape[2], hidden), hypr.LI(hidden, outputs)])
    rule = Autograd(net)

    def call() -> Tensor:
        net.zero_grad(set_to_none=True)
        return rule.backward(x, y)

    return Peer(call)
