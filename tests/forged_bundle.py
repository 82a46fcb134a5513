"""One small bundle with everything in it, made without training, for the tests that forge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from export import to_nir
from export.bundle.bundle import Bundle, Origin, write_bundle
from export.interchange import float_engine
from export.quantization.quantize import quantize
from hypr import data
from hypr.deployment.evaluation import float_accuracy, integer_accuracy, outputs_of, time_major


def arrays(scale: float = 1.0) -> dict[str, Any]:
    """An untrained network for the digits (8 channels of 0 to 16, 10 classes), lively enough to spike."""
    rng = np.random.default_rng(5)
    hidden = {
        "kind": "brf",
        "weight": scale * rng.normal(0, 4, (6, 8)).astype(np.float32),
        "bias": rng.normal(0, 0.1, 6).astype(np.float32),
        "recurrent_weight": scale * rng.normal(0, 6, (6, 6)).astype(np.float32),
        "parameters": {"omega": rng.uniform(3, 10, 6), "b_offset": 0.5, "theta": 1.0, "gamma": 0.9, "dt": 0.01},
        "options": {"variant": "euler"},
    }
    readout = {
        "kind": "li",
        "weight": rng.normal(0, 1, (10, 6)).astype(np.float32),
        "bias": np.zeros(10, np.float32),
        "recurrent_weight": None,
        "parameters": {"kappa": np.exp(-1 / 20)},
        "options": {},
    }
    return {"layers": [hidden, readout], "input_format": {"low": 0, "high": 16}}


def digits_bundle(folder: Path, scale: float = 1.0) -> Bundle:
    """The bundle as ``hypr export`` writes it: data set, seed and both accuracies in its manifest.

    Args:
        scale: of the weights into the hidden layer; a small one silences it.
    """
    test = data.load("digits", "test", encoding="graded", pixels_per_step=8)
    few = data.load("digits", "train", encoding="graded", pixels_per_step=8).dense(slice(0, 64))
    graph = to_nir(arrays(scale), dt=1e-3)
    program = quantize(graph, calibration=few, allow_zero=("hidden0.recurrent", "hidden0.input"), log=False)
    dataset = {
        "name": "digits",
        "encoding": test.encoding,
        "options": {"pixels_per_step": 8},
        "split_seed": 0,
        "test_sha256": test.sha256,
        "source": None,
    }
    written = write_bundle(graph, program, folder, origin=Origin(dataset=dataset, seed=5))
    network = written.float_network()
    metrics = {
        "integer_test_accuracy": integer_accuracy(program, outputs_of(program, test), test),
        "float_test_accuracy": float_accuracy(
            network.decision, float_engine.run(network, time_major(test)).output, test
        ),
    }
    origin = Origin(dataset=dataset, seed=5, metrics=metrics)
    return write_bundle(graph, program, folder, origin=origin, overwrite=True)
