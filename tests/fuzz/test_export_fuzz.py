"""Random networks and damaged files against the NIR path and quantization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from export.interchange.discretise import discretise
from tests.random_networks import random_inputs, random_network


def _round_trip(seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    calibration = random_inputs(rng, network, 30, 2).swapaxes(0, 1)
    settings: dict[str, Any] = {
        "weight_bits": int(rng.integers(2, 9)),
        "coefficient_bits": int(rng.integers(8, 17)),
        "weight_scale": str(rng.choice(["power_of_two", "per_layer", "per_row"])),
        "scale_choice": str(rng.choice(["squared_error", "maximum"])),
        "guard_bits": int(rng.integers(4, 8)),
    }
    program = export.quantize(export.to_nir(network), calibration=calibration, **settings)
    export.write(export.quantized_nir(program), folder / "q.nir")
    assert export.quantize(export.read(folder / "q.nir")) == program, f"seed {seed}: {settings}"


@pytest.mark.parametrize("seed", range(60))
def test_quantized_graph_round_trips_to_the_same_program(seed: int, tmp_path: Path) -> None:
    _round_trip(seed, tmp_path)


@pytest.mark.slow
def test_four_hundred_quantized_graphs_round_trip_to_the_same_program(tmp_path: Path) -> None:
    for seed in range(1000, 1400):
        _round_trip(seed, tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_give_a_graph_or_one_line(seed: int, tmp_path: Path) -> None:
    """A damaged file is read as a valid graph or refused by ExportError; nothing else escapes."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "net.nir"
    export.write(export.to_nir(random_network(rng, ("brf", "lif", "li"))), path)
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 30))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    path.write_bytes(bytes(data))
    try:
        steps = discretise(export.read(path))
    except export.ExportError as error:
        assert "\n" not in str(error), f"seed {seed}"
    else:
        assert all(np.isfinite(layer.weight).all() for layer in steps.layers), f"seed {seed}"
