"""A stream holds the same memory after any number of steps."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from hypr import ALIF, BRF, LI, Network
from hypr.learning import HYPR, EProp, HYPRWindow
from hypr.learning.windows import Carry, WindowedRule

RULES = {
    "hypr": lambda net: HYPR(net, window=6),
    "hypr, readout memory": lambda net: HYPR(net, window=6, readout_memory=True),
    "hypr-window": lambda net: HYPRWindow(net, window=6, boundary_spike=True, readout_memory=True),
    "eprop": EProp,
}


def network(width: int = 7) -> Network:
    generator = torch.Generator().manual_seed(5)
    layers = [
        BRF(3, width, dt=0.1, generator=generator),
        ALIF(width, width, generator=generator),
        LI(width, 2, generator=generator),
    ]
    return Network(layers)


def carried(carry: Carry) -> dict[str, torch.Tensor]:
    """Every tensor that goes from one chunk to the next."""
    found = {f"{index}/state{k}": value for index, pair in enumerate(carry.states) for k, value in enumerate(pair)}
    for index, eligibility in enumerate(carry.eligibilities):
        if eligibility is not None:
            parts = {"weight": eligibility.weight, "recurrent": eligibility.recurrent, "bias": eligibility.bias}
            parts |= eligibility.parameters
            found |= {f"{index}/{name}": value for name, value in parts.items() if value is not None}
    return found


@pytest.mark.parametrize("rule", RULES)
def test_what_a_stream_carries_does_not_grow(rule):
    """Neither the number and shape of the carried tensors nor the memory behind them: a view of a long chunk's
    trajectory would keep the whole of it.
    """
    generator = torch.Generator().manual_seed(1)
    learner: WindowedRule = RULES[rule](network())
    stream = learner.stream(2)
    shapes, held = [], []
    for length in (6, 1, 13, 60, 200):
        x = (torch.rand(2, length, 3, generator=generator) < 0.5).float()
        stream.feed(x, torch.randint(0, 2, (2, length), generator=generator))
        tensors = carried(stream._carry)
        shapes.append({name: value.shape for name, value in tensors.items()})
        storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors.values()}
        held.append(sum(storages.values()))
    assert all(one == shapes[0] for one in shapes) and len(shapes[0]) >= 12
    needed = sum(4 * shape.numel() for shape in shapes[0].values())
    window = 6 * 2 * 4 * (3 * 7 * 2 + 16)  # a view may keep the last window's states, never more
    assert max(held) <= needed + 2 * window


@pytest.mark.slow
def test_the_process_does_not_grow_over_a_hundred_thousand_steps():
    generator = torch.Generator().manual_seed(2)
    net = network(16)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    stream = HYPR(net, window=100).stream(2)
    peaks = []
    for number in range(100):
        x = (torch.rand(2, 1000, 3, generator=generator) < 0.3).float()
        optimiser.zero_grad()
        stream.feed(x, torch.randint(0, 2, (2, 1000), generator=generator))
        optimiser.step()
        if number >= 9:
            peaks.append(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
            )
    # 90,000 steps would fill 90 MiB with the states and currents of these layers alone; the allocator may still settle.
    assert peaks[-1] - peaks[0] < 8
