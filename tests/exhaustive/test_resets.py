"""One step of every reset of FP-3.7: all 2^24 states of ``lif``, random states with borders of ``cuba_lif``; NumPy,
compiled, torch and the oracle against the clause written once more on arrays."""

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
from hardware.models import STATE_MAX
from hardware.neurons import STEPS, constants
from hardware.random_programs import random_program
from hardware.random_values import random_state_values
from tests.exhaustive.test_hardware_steps import all_states, in_torch, one_neuron

RESETS = [
    {"reset": how, "reset_at": at}
    for at in ("same", "next", "carried")
    for how in (("zero", "subtract", "none") if at == "same" else ("zero", "subtract"))
]
MAX = STATE_MAX


def named(options: Mapping[str, str]) -> str:
    return "-".join(options.values())


def clause(
    options: Mapping[str, str], th: np.ndarray | int, x: np.ndarray, x_before: np.ndarray, z_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """FP-3.7 by cases of masks, without a shared line of the engines."""
    new, z = x.copy(), np.zeros(x.shape, bool)
    th = np.broadcast_to(np.asarray(th), x.shape)
    resets = z_before.copy()
    if options["reset_at"] == "carried":
        again = x_before > th
        z[again] = x[again] > 2 * th[again]  # x - th > th
        z[~again] = x[~again] > th[~again]
        resets = z
    elif options["reset_at"] == "same":
        resets = z = x > th
    if options["reset"] == "zero":
        new[resets] = 0
    if options["reset"] == "subtract":
        new[resets] = np.maximum(x[resets] - th[resets], -MAX)
    return new, (new > th if options["reset_at"] == "next" else z)


def compiled(layer: Layer, states: tuple[np.ndarray, ...], before: np.ndarray, drive: np.ndarray) -> Any:
    rows = parameter_rows(layer.model, constants(layer), layer.size)
    parameters = np.ascontiguousarray(np.tile(rows, (1, drive.size // layer.size)))
    table, after = np.stack(states).astype(np.float64), np.zeros(drive.size, np.uint8)
    code = model_code(layer.model, layer.options)
    option = layer.options["reset"] == "subtract"
    step_lanes(code, option, parameters, table, drive.astype(np.int32), before.astype(np.uint8), after)
    return tuple(table.astype(np.int64)), after.astype(bool)


def decayed(x: np.ndarray, factor: np.ndarray | int, k: int) -> np.ndarray:
    product = np.abs(x) * factor // 2**k
    return np.where(x < 0, -product, product)


@pytest.mark.parametrize("options", RESETS, ids=named)
@pytest.mark.parametrize("threshold", [0, 2_500_000, STATE_MAX])
def test_all_states_of_lif(options: dict[str, str], threshold: int) -> None:
    layer = one_neuron("lif", 12, 3686, **options)
    layer = replace(layer, parameters={**layer.parameters, "TH": np.array([threshold], np.int32)})
    n, one = constants(layer), reference.neuron_constants(layer, 0)
    spikes = 0
    for number, u in enumerate(all_states()):
        before = np.random.default_rng(number).random(u.size) < 0.5
        for drive in (-123_457, 2**21 + 1):
            current = np.full(u.shape, drive)
            x = np.clip(decayed(u, 3686, 12) + drive + n["bias"], -MAX, MAX)
            expected, expected_z = clause(options, threshold, x, u, before)
            for (found,), z in (STEPS["lif"](n, (u,), before, current), compiled(layer, (u,), before, current)):
                assert np.array_equal(found, expected)
                assert z is not None and np.array_equal(z, expected_z)
            spikes += int(expected_z.sum())
            for lane in range(number, u.size, u.size // 3):
                state, spike = reference.STEPS["lif"](one, [int(u[lane])], int(before[lane]), drive)
                assert (state[0], bool(spike)) == (int(expected[lane]), bool(expected_z[lane]))
    assert spikes > 1_000_000 or threshold == STATE_MAX


def cuba_form(layer: Layer, states: tuple[np.ndarray, ...], before: np.ndarray, drive: np.ndarray) -> Any:
    p = {name: value.astype(np.int64) for name, value in layer.parameters.items()}
    y = decayed(states[0], 4095 - p["du"], 12) + drive * 64
    y = np.where(y > 2**23, y - 2**24, np.where(y <= -(2**23), y + 2**24, y))
    x = np.clip(decayed(states[1], 4096 - p["dv"], 12) + y + layer.bias, -MAX, MAX)
    v, z = clause(layer.options, p["vth"] * 64, x, states[1], before)
    return (y, v), z


def check_cuba(options: dict[str, str], seed: int, lanes: int) -> int:
    rng = np.random.default_rng([12, seed])
    layer = random_program(rng, layers=1, models=("cuba_lif",), sizes=(4, 12)).layers[0]
    layer = replace(layer, options=options)
    shape = (lanes // layer.size, layer.size)
    u, v, drive = (random_state_values(rng, shape) for _ in range(3))
    before, drive = rng.random(shape) < 0.5, drive >> 6
    expected, expected_z = cuba_form(layer, (u, v), before, drive)
    for (new_u, new_v), z in (
        STEPS["cuba_lif"](constants(layer), (u, v), before, drive),
        compiled(layer, (u.reshape(-1), v.reshape(-1)), before.reshape(-1), drive.reshape(-1)),
        in_torch(layer, (u, v), before, drive),
    ):
        assert np.array_equal(new_u.reshape(shape), expected[0]), f"seed {seed}"
        assert np.array_equal(new_v.reshape(shape), expected[1]), f"seed {seed}"
        assert z is not None and np.array_equal(z.reshape(shape), expected_z), f"seed {seed}"
    for row in range(0, shape[0], max(1, shape[0] // 20)):
        for i in range(layer.size):
            n = reference.neuron_constants(layer, i)
            state, z = reference.STEPS["cuba_lif"](
                n, [int(u[row, i]), int(v[row, i])], int(before[row, i]), int(drive[row, i])
            )
            assert state == [int(expected[0][row, i]), int(expected[1][row, i])] and z == expected_z[row, i]
    return int(expected_z.sum())


@pytest.mark.parametrize("options", RESETS, ids=named)
def test_random_states_of_cuba_lif_with_borders(options: dict[str, str]) -> None:
    assert sum(check_cuba(options, seed, 20_000) for seed in range(10)) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("options", RESETS, ids=named)
def test_ten_million_random_states_of_cuba_lif(options: dict[str, str]) -> None:
    assert sum(check_cuba(options, seed, 10**6) for seed in range(10)) > 500_000
