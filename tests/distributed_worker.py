"""What each process does that ``torchrun`` starts in the tests of data parallel training.

python tests/distributed_worker.py gradients FILE      gradients of every case, written by the first process
python tests/distributed_worker.py train FOLDER N ...  trains; the first process dies after N updates (0: never)
python tests/distributed_worker.py apart FILE          weights that differ between the processes
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import safetensors.torch
import torch

from hypr import BRF, LI, Network
from hypr.training import config
from hypr.training.build import build_rule
from hypr.training.config import RuleConfig
from hypr.training.distributed import Group, GroupError, joined
from hypr.training.train import train

RULES = {
    "hypr": RuleConfig(name="hypr", window=7, readout_memory=True),
    "hypr-window": RuleConfig(name="hypr-window", window=7),
    "bptt": RuleConfig(name="bptt"),
    "eprop": RuleConfig(name="eprop"),
}
BATCHES = {"even": 4, "uneven": 5, "one sequence": 1, "a part without counted steps": 4}


def cases() -> list[tuple[str, str, torch.dtype]]:
    """(rule, batch, type) of every case."""
    return [(rule, batch, dtype) for rule in RULES for batch in BATCHES for dtype in (torch.float32, torch.float64)]


def gradients(group: Group, rule: str, batch: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Gradient, loss and right decisions of a batch that is the same in every process."""
    generator = torch.Generator().manual_seed(3)
    layers = [BRF(6, 9, dt=0.1, omega_range=(1.0, 8.0), generator=generator), LI(9, 4, generator=generator)]
    network = Network(layers).to(dtype)
    count = BATCHES[batch]
    x = (torch.rand(count, 40, 6, generator=generator) < 0.4).to(dtype)
    y = torch.randint(0, 4, (count, 40), generator=generator)
    mask = torch.rand(count, 40, generator=generator) < 0.7
    if batch == "a part without counted steps":
        mask[2:] = False
    network.layers[0].weight.grad = torch.ones_like(network.layers[0].weight)  # backward adds to what is there
    network.layers[1].bias.requires_grad_(False)  # has no gradient, here as there
    loss = group.backward(build_rule(RULES[rule], network, "cross_entropy"), x, y, mask)
    assert network.layers[1].bias.grad is None
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return found | {"loss": torch.tensor([loss], dtype=dtype)}


def write_gradients(path: Path) -> None:
    with joined("cpu") as (group, _):
        assert group.size > 1
        found: dict[str, torch.Tensor] = {}
        for rule, batch, dtype in cases():
            one = gradients(group, rule, batch, dtype)
            group.check_same("gradients", one)
            found |= {f"{rule}/{batch}/{dtype}/{name}": value for name, value in one.items()}
        if group.leader:
            safetensors.torch.save_file(found, path)


class DiesAfter:
    """Progress that kills its process after some updates."""

    def __init__(self, updates: int) -> None:
        self.left = updates

    def begin(self, epochs, updates, done):
        """Nothing to do."""

    def update(self, epoch, loss):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def epoch(self, line):
        """Nothing to do."""

    def end(self):
        """Nothing to do."""


def write_apart(path: Path) -> None:
    with joined("cpu") as (group, _):
        group.check_same("weights", {"w": torch.arange(5.0)})
        try:
            group.check_same("weights", {"w": torch.arange(5.0) + 1e-7 * group.rank})
        except GroupError as error:
            path.with_suffix(f".{group.rank}").write_text(str(error))


if __name__ == "__main__":
    if sys.argv[1] == "gradients":
        write_gradients(Path(sys.argv[2]))
    elif sys.argv[1] == "apart":
        write_apart(Path(sys.argv[2]))
    else:
        train(config.load("digits-brf", sys.argv[4:]), sys.argv[2], resume=True, progress=DiesAfter(int(sys.argv[3])))
