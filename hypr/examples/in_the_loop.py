"""A chip in the training loop: what a network loses on a chip that differs from its program, training on it regains.

On real data: ``python -m hypr.examples.in_the_loop SEED`` trains on scikit-learn's handwritten digits, one pixel per
step as level-crossing spikes; with the folder of a run of ``hypr train`` instead its network is taken.
"""

import contextlib
import sys
from dataclasses import replace

import torch

import hypr
from export import QuantizationSettings
from hardware import emulate
from hypr.data import SequenceDataset, load
from hypr.training.data import load_data
from hypr.training.metrics import evaluate
from hypr.training.runs import open_run


# --8<-- [start:chip]
def odd_chip(program, inputs, state):
    """Your board goes here. Simulated: every third neuron of the first layer fires at half of its threshold."""
    hidden, *others = program.populations
    threshold = hidden.parameters["TH"].copy()
    threshold[::3] //= 2
    hidden = replace(hidden, parameters={**hidden.parameters, "TH": threshold})
    return emulate(replace(program, populations=(hidden, *others)), inputs, "all", state)


def fit(net, stage, x, y, mask, epochs, lr, batch):
    """A loop like any other; inside ``stage.active()`` the chip runs forward, and gradients are of its states."""
    rule, optimiser = hypr.HYPR(net, readout_memory=True), torch.optim.Adam(net.parameters(), lr=lr)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = lr * (1 - epoch / epochs)
        for index in torch.randperm(len(x)).split(batch):
            optimiser.zero_grad()
            with contextlib.nullcontext() if stage is None else stage.active():
                rule.backward(x[index], y[index], mask[index])
            optimiser.step()  # outside: the float weights are the ones that learn
            net.constrain_()


# --8<-- [end:chip]


def on_digits(seed: int, neurons: int = 128, epochs: int = 30, more: int = 10) -> dict[str, float]:
    """Train SE-adLIF neurons on digits, then as :func:`on_both_chips`."""
    train, test = (load("digits", split, encoding="crossings", seed=seed) for split in ("train", "test"))
    torch.manual_seed(seed)
    hidden, readout = hypr.SEAdLIF(train.channels, neurons), hypr.LI(neurons, train.classes, tau_range=(15.0, 25.0))
    net = hypr.Network([hidden, readout], decision={"rule": "sum", "ignore_first": 40})
    data = tensors(net, train)
    hypr.fit_activity_(net, data[0][:64])
    fit(net, None, *data, epochs, lr=0.02, batch=64)
    return on_both_chips(net, train, test, more, lr=0.01, batch=64)


def on_run(folder: str) -> dict[str, float]:
    """:func:`on_both_chips` for the best network of a run of ``hypr train``."""
    run = open_run(folder)
    torch.manual_seed(run.config.training.seed)
    train, test = (load_data(run.config, split) for split in ("train", "test"))
    return on_both_chips(run.network, train, test, more=5, lr=0.02, batch=run.config.training.batch)


def on_both_chips(
    net: hypr.Network, train: SequenceDataset, test: SequenceDataset, more: int, lr: float, batch: int
) -> dict[str, float]:
    """Test accuracies: of the float network, on the right and the odd chip, and on the odd chip after ``more`` epochs
    without and with it in the loop."""
    right = hypr.IntegerStage(net, QuantizationSettings(), train.dense(slice(0, 64)))
    odd = hypr.IntegerStage(net, right.settings, engine=odd_chip)
    found = {"float": accuracy(net, None, test), "right chip": accuracy(net, right, test)}
    found["odd chip"] = accuracy(net, odd, test)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for name, stage in (("odd chip, trained on without it", right), ("odd chip, trained in the loop", odd)):
        net.load_state_dict(before)
        fit(net, stage, *tensors(net, train), more, lr, batch)
        found[name] = accuracy(net, odd, test)
    return found


def tensors(net: hypr.Network, data: SequenceDataset) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, labels, and the steps that count."""
    mask = torch.from_numpy(data.mask).float()
    mask[:, : int(net.decision["ignore_first"])] = 0
    return torch.from_numpy(data.dense()), torch.from_numpy(data.labels), mask


def accuracy(net: hypr.Network, stage: hypr.IntegerStage | None, test: SequenceDataset) -> float:
    """Of the float network, or of the integers as that stage runs them."""
    with contextlib.nullcontext() if stage is None else stage.active():
        return evaluate(net, test, 512).accuracy


if __name__ == "__main__":
    (given,) = sys.argv[1:] or ["0"]
    for name, value in (on_digits(int(given)) if given.isdigit() else on_run(given)).items():
        print(f"{name:<32} {100 * value:.1f} %")
