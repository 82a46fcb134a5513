"""One step of FP-3.8 and FP-3.9: all 2^24 states of ``lif``, random states with borders of ``cuba_lif``; NumPy,
compiled and torch against the clauses written once more on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hardware import reference
from hardware.chain import Layer
from hardware.compiled.neurons import model_code, step_lanes
from hardware.compiled.tables import parameter_rows
from hardware.models import MOST_SPIKES, STATE_MAX
from hardware.neurons import STEPS, constants
from hardware.random_programs import random_program
from hardware.random_values import random_state_values
from tests.exhaustive.test_hardware_steps import all_states, in_torch, one_neuron
from tests.exhaustive.test_resets import decayed

COUNTS = [name for name, most in MOST_SPIKES.items() if most > 1]
MAX = STATE_MAX


def clause(options: Mapping[str, str], th: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FP-3.8 with reset zero or subtract at once, FP-3.9: subtraction bit by bit of the count, without a division."""
    th = np.broadcast_to(np.asarray(th), x.shape)
    if options["spikes"] == "one":
        z = (x >= th).astype(np.int64)
        return np.where(z > 0, 0 if options["reset"] == "zero" else np.maximum(x - th, -MAX), x), z
    rest, count, most = x.copy(), np.zeros(x.shape, np.int64), MOST_SPIKES[options["spikes"]]
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        fires = (rest >= bit * th) & (count + bit <= most)
        count += np.where(fires, bit, 0)
        rest -= np.where(fires, bit * th, 0)
    return rest, count


def compiled(layer: Layer, states: tuple[np.ndarray, ...], before: np.ndarray, drive: np.ndarray) -> Any:
    rows = parameter_rows(layer.model, constants(layer), layer.size)
    parameters = np.ascontiguousarray(np.tile(rows, (1, drive.size // layer.size)))
    table, after = np.stack(states).astype(np.float64), np.zeros(drive.size, np.uint8)
    code, option = model_code(layer.model, layer.options), layer.options["reset"] == "subtract"
    step_lanes(code, option, parameters, table, drive.astype(np.int32), before.astype(np.uint8), after)
    return tuple(table.astype(np.int64)), after


OPTIONS = [{"reset": how, "fires": "at", "spikes": "one"} for how in ("zero", "subtract")]
OPTIONS += [{"reset": "subtract", "fires": "at", "spikes": name} for name in COUNTS]


def named(options: dict[str, str]) -> str:
    return "-".join(options.values())


@pytest.mark.parametrize("options", OPTIONS, ids=named)
@pytest.mark.parametrize("threshold", [1, 40_001, STATE_MAX])
def test_all_states_of_lif(options: dict[str, str], threshold: int) -> None:
    layer = one_neuron("lif", 12, 3686, **options)
    layer = replace(layer, parameters={**layer.parameters, "TH": np.array([threshold], np.int32)})
    n, one = constants(layer), reference.neuron_constants(layer, 0)
    spikes = 0
    for number, u in enumerate(all_states()):
        before, current = np.zeros(u.size, bool), np.full(u.shape, 2**19 + 1)
        x = np.clip(decayed(u, 3686, 12) + current + n["bias"], -MAX, MAX)
        expected, count = clause(layer.options, threshold, x)
        for (found,), z in (STEPS["lif"](n, (u,), before, current), compiled(layer, (u,), before, current)):
            assert np.array_equal(found, expected)
            assert z is not None and np.array_equal(z, count)
        spikes += int(count.sum())
        for lane in range(number, u.size, u.size // 3):
            state, z = reference.STEPS["lif"](one, [int(u[lane])], 0, 2**19 + 1)
            assert (state[0], z) == (int(expected[lane]), int(count[lane]))
    assert spikes > 1_000_000 or threshold == STATE_MAX


@pytest.mark.parametrize("options", OPTIONS, ids=named)
def test_random_states_of_cuba_lif_with_borders(options: dict[str, str]) -> None:
    spikes = 0
    for seed in range(10):
        rng = np.random.default_rng([13, seed])
        layer = random_program(rng, layers=1, models=("cuba_lif",), sizes=(4, 12)).layers[0]
        small = np.maximum(layer.parameters["vth"] >> rng.integers(0, 17, layer.size), 1).astype(np.int32)
        layer = replace(layer, options=options, parameters={**layer.parameters, "vth": small})
        shape = (20_000 // layer.size, layer.size)
        u, v, drive = (random_state_values(rng, shape) for _ in range(3))
        before, drive = np.zeros(shape, bool), drive >> 6
        p = {name: value.astype(np.int64) for name, value in layer.parameters.items()}
        y = decayed(u, 4095 - p["du"], 12) + drive * 64
        y = np.where(y > 2**23, y - 2**24, np.where(y <= -(2**23), y + 2**24, y))
        x = np.clip(decayed(v, 4096 - p["dv"], 12) + y + layer.bias, -MAX, MAX)
        expected, count = clause(layer.options, p["vth"] * 64, x)
        for (new_u, new_v), z in (
            STEPS["cuba_lif"](constants(layer), (u, v), before, drive),
            compiled(layer, (u.reshape(-1), v.reshape(-1)), before.reshape(-1), drive.reshape(-1)),
            in_torch(layer, (u, v), before, drive),
        ):
            assert np.array_equal(new_u.reshape(shape), y), f"seed {seed}"
            assert np.array_equal(new_v.reshape(shape), expected), f"seed {seed}"
            assert z is not None and np.array_equal(np.asarray(z).reshape(shape), count), f"seed {seed}"
        spikes += int(count.sum())
    assert spikes > 10_000
