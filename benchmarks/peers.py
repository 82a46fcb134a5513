"""BPTT steps of other frameworks, same sizes and data: recurrent LIF layer, leaky readout, cross entropy per step.

Each framework runs its own LIF with its own surrogate, in its plain form for recurrent layers on the CPU; the networks
have the same layers, not the same equations. A framework that is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

Step = Callable[[], Tensor]


def available() -> dict[str, Callable[[Tensor, Tensor, int, int], Step]]:
    """Step builders by name, for the frameworks that are installed."""
    builders = {"snntorch": _snntorch, "norse": _norse, "spikingjelly": _spikingjelly, "torch-autograd": _torch}
    return {name: build for name, build in builders.items() if name == "torch-autograd" or find_spec(name) is not None}


def _step(module: nn.Module, x: Tensor, y: Tensor) -> Step:
    """Forward over x (B, T, n_in), mean cross entropy with classes y (B, T), backward."""
    pre, target = x.transpose(0, 1).contiguous(), y.T.reshape(-1)

    def call() -> Tensor:
        module.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(module(pre).flatten(0, 1), target)
        loss.backward()
        return loss.detach()

    return call


def _snntorch(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Step:
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


def _norse(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Step:
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


def _spikingjelly(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Step:
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


def _torch(x: Tensor, y: Tensor, hidden: int, outputs: int) -> Step:
    """Our own LIF step under torch.autograd, without any kernel of ours: what a plain PyTorch loop costs."""
    import hypr
    from hypr.learning.autograd import Autograd

    net = hypr.Network([hypr.LIF(x.shape[2], hidden), hypr.LI(hidden, outputs)])
    rule = Autograd(net)

    def call() -> Tensor:
        net.zero_grad(set_to_none=True)
        return rule.backward(x, y)

    return call
