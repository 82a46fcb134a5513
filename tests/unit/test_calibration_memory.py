"""Calibration runs time in chunks: the same peaks as in one piece, and memory that does not grow with the steps."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import export
from export.interchange.float_engine import run, run_chunk
from export.interchange.steps import StepInput, StepNetwork, StepPopulation, StepProjection
from export.interchange.weights import DenseWeights
from export.quantization.recordings import statistics


def _lif(size: int, inputs: int, seed: int = 0, delay: int = 1) -> StepNetwork:
    rng = np.random.default_rng(seed)
    p = {
        "alpha": np.full(size, 0.9),
        "theta": np.ones(size),
        "gain": np.ones(size),
        "v_reset": np.zeros(size),
        "leak": np.zeros(size),
    }
    hidden = StepPopulation("hidden", "lif", np.zeros(size), p, {"reset": "zero"})
    return StepNetwork(
        (StepInput("input", inputs),),
        (hidden,),
        (
            StepProjection("in", "input", "hidden", DenseWeights(rng.normal(0, 0.3, (size, inputs))), 3),
            StepProjection("back", "hidden", "hidden", DenseWeights(rng.normal(0, 0.1, (size, size))), delay),
        ),
        ("hidden",),
        1e-3,
        {"rule": "spike_count", "ignore_first": 0},
    )


@pytest.mark.parametrize("delay", [1, 2, 7, 40])
@pytest.mark.parametrize("length", [1, 5, 16])
def test_a_run_in_chunks_is_the_run_in_one_piece(delay: int, length: int) -> None:
    network = _lif(20, 6, seed=delay, delay=delay)
    x = (np.random.default_rng(length).random((61, 3, 6)) < 0.4).astype(np.uint8)
    whole, carry, pieces = run(network, x, "all"), None, []
    for start in range(0, 61, length):
        trace, carry = run_chunk(network, x[start : start + length], "all", carry)
        pieces.append(trace)
    np.testing.assert_array_equal(np.concatenate([t.spikes["hidden"] for t in pieces]), whole.spikes["hidden"])
    # sums of another order of the same numbers
    np.testing.assert_allclose(
        np.concatenate([t.states["u/hidden"] for t in pieces]), whole.states["u/hidden"], rtol=0, atol=1e-12
    )
    assert whole.spikes["hidden"].any()


@pytest.mark.parametrize("settings", [{"weight_scale": "power_of_two"}, {}, {"weight_bits": 4}])
def test_memory_of_calibration_does_not_grow_with_the_steps(settings: dict[str, Any]) -> None:
    network = _lif(256, 16)
    peaks = {}
    for steps in (1_000, 40_000):
        x = (np.random.default_rng(1).random((8, steps, 16)) < 0.05).astype(np.uint8)
        tracemalloc.start()
        export.quantize(network, calibration=x, log=False, **settings)
        peaks[steps] = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    assert peaks[40_000] - peaks[1_000] < 10, peaks  # MiB


def test_several_recordings_of_unlike_lengths_count_together() -> None:
    network = _lif(20, 6)
    rng = np.random.default_rng(2)
    arrays = [(rng.random((2, steps, 6)) < p).astype(np.uint8) for steps, p in ((30, 0.1), (700, 0.5), (5, 0.9))]
    together, alone = statistics(network, arrays), [statistics(network, item) for item in arrays]
    np.testing.assert_array_equal(
        together.peaks["u/hidden"], np.max([item.peaks["u/hidden"] for item in alone], axis=0)
    )
    np.testing.assert_array_equal(together.spikes["hidden"], sum(item.spikes["hidden"] for item in alone))
    assert together.steps == 2 * 735


def test_an_empty_list_of_recordings_is_refused() -> None:
    with pytest.raises(export.ExportError, match="empty list"):
        export.quantize(_lif(4, 2), calibration=[])
