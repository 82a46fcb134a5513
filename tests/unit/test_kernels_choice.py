"""Which implementation runs a layer: compiled kernels unasked, the reference for what they do not know."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import hypr
from hypr.errors import HyprError
from hypr.kernels import dispatch
from tests.paths import ROOT
from tests.unit.hypr_cases import MODELS, NO_KERNELS, OwnNeuron


class _Louder(hypr.BRF):
    """A user's variation of a built-in neuron, whose step the kernels do not know."""

    def step(self, state, z, current, parameters):
        return super().step(state, z, 2.0 * current, parameters)


class _OwnSurrogate:
    def psi(self, x):
        return 1.0 / (1.0 + x * x)


def test_neurons_and_surrogates_of_a_user_run_on_the_reference():
    for layer in (OwnNeuron(2, 3), _Louder(2, 3), hypr.BRF(2, 3, surrogate=_OwnSurrogate())):
        assert dispatch.kernel_name(layer) == "reference"
        with torch.no_grad(), dispatch.use("compiled"), pytest.raises(HyprError, match="no compiled kernel"):
            dispatch.run_layer(
                layer, torch.zeros(1, 1, 2), torch.zeros(1, len(layer.state_names), 3), torch.zeros(1, 3)
            )
    assert dispatch.kernel_name(hypr.BRF(2, 3)) == "cpu"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", [*(name for name in MODELS if name not in NO_KERNELS), "li"])
def test_every_neuron_runs_on_compiled_kernels_unasked(kind, dtype):
    layer = (hypr.LI(3, 5) if kind == "li" else MODELS[kind](3, 5)).to(dtype)
    with dispatch.use("auto"):
        assert dispatch.kernel_name(layer) == "cpu"


def test_half_precision_runs_on_the_reference():
    assert dispatch.kernel_name(hypr.BRF(2, 3).to(torch.bfloat16)) == "reference"


_STEP = """
import torch, hypr
from hypr.learning import HYPR
net = hypr.Network([hypr.BRF(3, 5), hypr.LI(5, 2)])
HYPR(net, window=4).backward(torch.rand(2, 9, 3), torch.zeros(2, dtype=torch.int64))
from numba.core.dispatcher import Dispatcher
from hypr.kernels.cpu import loss as cpu_loss
from hypr.kernels.cpu import scan as cpu_scan
from hypr.kernels.cpu import window as cpu_window
used = [v for m in (cpu_loss, cpu_scan, cpu_window) for v in vars(m).values() if isinstance(v, Dispatcher)]
print(sum(sum(v.stats.cache_hits.values()) for v in used), sum(sum(v.stats.cache_misses.values()) for v in used))
"""


def test_a_second_process_compiles_nothing():
    counts = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", _STEP], cwd=ROOT, capture_output=True, text=True, check=True)
        counts.append([int(number) for number in done.stdout.split()])
    hits, misses = counts[1]
    assert hits > 0 and misses == 0
