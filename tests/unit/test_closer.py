"""Powers of two or units by neuron at 8 bits: decided by spikes on calibration inputs, the simpler one in doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import export
from export.interchange.float_engine import run
from export.interchange.steps import StepNetwork
from export.quantization.closer import clearly_less, comparison_inputs
from export.quantization.quantize import prepare
from hardware import emulate
from hardware.program import Program
from tests.random_networks import random_network


def _network(seed: int, spread: float) -> tuple[StepNetwork, np.ndarray]:
    """A recurrent network whose neurons' weights differ in size by powers of ten, and calibration inputs (B, T, N)."""
    rng = np.random.default_rng(seed)
    steps = export.discretise(export.to_nir(random_network(rng, ("lif", "lif"), size=12)))
    network = prepare(steps, None, export.QuantizationSettings(), {})
    first = network.populations[0]
    size = 10.0 ** rng.uniform(-spread, 0.0, first.size)
    parameters = {**first.parameters, "theta": first.parameters["theta"] * size}
    populations = (replace(first, parameters=parameters, bias=first.bias * size), *network.populations[1:])
    projections = tuple(
        replace(item, weights=item.weights.scaled(size)) if item.target == first.name else item
        for item in network.projections
    )
    low, high = network.input_format
    inputs = rng.integers(low, high + 1, (40, 50, network.input_size))
    return replace(network, populations=populations, projections=projections), inputs


def _programs(network: StepNetwork, inputs: np.ndarray) -> dict[str, Program]:
    return {
        scale: export.quantize(network, calibration=inputs, log=False, weight_scale=scale)
        for scale in ("auto", "power_of_two", "per_row")
    }


def _same(one: Program, other: Program) -> bool:
    matrices = zip(one.projections, other.projections, strict=True)
    return all(np.array_equal(a.synapses.matrix(), b.synapses.matrix()) for a, b in matrices)


def test_the_default_is_the_scale_whose_spikes_are_clearly_closer_on_sequences_that_no_unit_was_fitted_on() -> None:
    chosen = {"power_of_two": 0, "per_row": 0}
    for seed in range(12):
        network, inputs = _network(seed, 0.0 if seed % 2 else 3.0)
        programs = _programs(network, inputs)
        others = inputs[16:].swapaxes(0, 1)
        real = run(network, others).spikes
        wrong = {
            scale: np.mean(
                [np.mean(emulate(program, others).spikes[k] != v, axis=(0, 2)) for k, v in real.items()], axis=0
            )
            for scale, program in programs.items()
        }
        gain = wrong["power_of_two"] - wrong["per_row"]
        error = np.std(gain, ddof=1) / np.sqrt(len(gain))
        clear = wrong["per_row"].mean() <= 0.9 * wrong["power_of_two"].mean() and gain.mean() > 2 * error
        expected = "per_row" if clear else "power_of_two"
        assert _same(programs["auto"], programs[expected]), (seed, expected)
        if not _same(programs["per_row"], programs["power_of_two"]):
            chosen[expected] += 1
    assert min(chosen.values()) >= 2, chosen


def test_a_little_better_or_unsurely_better_is_not_enough() -> None:
    old = np.full(20, 0.10)
    noise = np.where(np.arange(20) % 2, 0.2, -0.2)
    assert clearly_less(old, old * 0.85)
    assert not clearly_less(old, old * 0.95), "sure, but less than a tenth"
    assert not clearly_less(old, old * 0.85 + noise), "a tenth, but not sure"
    assert not clearly_less(old, old)
    assert not clearly_less(old, old * 1.5)
    assert not clearly_less(old[:1], old[:1] * 0.1), "one sequence has no standard error"


def test_a_readout_alone_has_no_spikes_to_compare_and_keeps_powers_of_two() -> None:
    rng = np.random.default_rng(3)
    steps = export.discretise(export.to_nir(random_network(rng, ("li",), size=6)))
    low, high = steps.input_format
    inputs = rng.integers(low, high + 1, (40, 30, steps.input_size))
    programs = _programs(steps, inputs)
    assert _same(programs["auto"], programs["power_of_two"])


@pytest.mark.parametrize(("samples", "first"), [(64, 16), (32, 16), (31, 0), (2, 0), (1, 0)])
def test_sequences_of_the_fits_are_left_out_where_there_are_enough(samples: int, first: int) -> None:
    network, _ = _network(0, 0.0)
    x = np.random.default_rng(0).integers(0, 2, (samples, 20, network.input_size))
    np.testing.assert_array_equal(comparison_inputs(network, x), x[first:].swapaxes(0, 1))


def test_long_sequences_are_cut_so_that_memory_does_not_grow() -> None:
    network, _ = _network(0, 0.0)
    widest = max(network.input_size, *(item.size for item in network.populations))
    x = np.zeros((8, 400_000, network.input_size), np.uint8)
    assert comparison_inputs(network, x).shape[:2] == (2**21 // (2 * widest), 2)
