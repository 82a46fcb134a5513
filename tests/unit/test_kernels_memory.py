"""Memory of recorded windows is used again, and never while something still looks at it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import hypr
from hypr.kernels.cpu import memory as cpu_memory
from hypr.kernels.cpu.memory import empty
from hypr.learning import BPTT

SHAPE, DTYPE = (3, 200, 1000), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def nothing_waits():
    cpu_memory.release()
    yield
    cpu_memory.release()


def place(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_the_last_reference_is_gone():
    array = empty(SHAPE, DTYPE)
    assert array.shape == SHAPE and array.dtype == DTYPE and array.flags.c_contiguous and array.flags.writeable
    before = place(array)
    del array
    assert place(empty(SHAPE, DTYPE)) == before


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[1],
        lambda array: array[1][::2][3:4],
        lambda array: tuple(array)[2],
        lambda array: torch.from_numpy(array),
        lambda array: torch.from_numpy(array[0]).view(-1)[5:].detach(),
        lambda array: torch.from_numpy(array).permute(2, 0, 1)[7].numpy(),
    ],
    ids=["slice", "slices", "unpacked", "torch", "torch_view", "numpy_of_torch"],
)
def test_memory_is_not_used_again_while_a_view_exists(view):
    array = empty(SHAPE, DTYPE)
    array[:] = 1.0
    seen, before = view(array), place(array)
    del array
    gc.collect()
    other = empty(SHAPE, DTYPE)
    other[:] = 2.0
    assert place(other) != before and bool((seen == 1.0).all())
    del seen
    gc.collect()
    assert place(empty(SHAPE, DTYPE)) == before


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(cpu_memory, "_KEPT", 5 * 2**20)
    for size in (2**20, 2**20 + 4, 2**20 + 8, 3 * 2**20, 2**20, 6 * 2**20):
        pieces = [empty((size // 4,), DTYPE) for _ in range(3)]
        del pieces
        assert sum(size * len(waiting) for size, waiting in cpu_memory._free.items()) <= 5 * 2**20


def test_results_that_a_user_keeps_do_not_change_under_later_updates():
    net = hypr.Network([hypr.LIF(3, 64), hypr.LI(64, 2)])
    x, y = (torch.rand(64, 100, 3) < 0.3).float(), torch.randint(2, (64,))  # states of 1.6 MiB
    kept = net.trajectory(x)["hidden0"]
    before = [value.clone() for value in (kept.states, kept.spikes, kept.current)]
    for _ in range(3):
        BPTT(net).backward(1 - x, y)
        with torch.no_grad():
            net(1 - x)
    for value, expected in zip((kept.states, kept.spikes, kept.current), before, strict=True):
        assert torch.equal(value, expected)
