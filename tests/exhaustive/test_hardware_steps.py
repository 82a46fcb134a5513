"""One-step equality: all 2^24 states of one-state models, and millions of random states of the others with borders.

Three forms of each step are compared: NumPy (``hardware.neurons``), compiled (``hardware.compiled.neurons``) and the
oracle. The oracle is scalar: for all states its formula is written once more on arrays (:func:`oracle_form`), and for a
sample of states the oracle runs as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hardware import reference
from hardware.chain import Layer
from hardware.compiled.neurons import MODEL_CODES, step_lanes
from hardware.compiled.tables import parameter_rows
from hardware.models import MODELS, STATE_MAX
from hardware.neurons import STEPS, constants
from hardware.program import Program
from hardware.random_programs import random_program
from hardware.random_values import random_state_values

BLOCK = 2**20
DECAYS = ((12, 0), (12, 1), (12, 3686), (12, 3900), (12, 4095), (12, 4096), (16, 65535), (8, 255))


def compiled(
    layer: Layer, states: tuple[np.ndarray, ...], before: np.ndarray, drive: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The compiled step on lanes; arguments as for ``hardware.neurons``, one row."""
    lanes = drive.size
    rows = parameter_rows(layer.model, constants(layer), layer.size)
    parameters = np.ascontiguousarray(np.tile(rows, (1, lanes // layer.size)))
    table = np.stack(states).astype(np.float64)
    after = np.zeros(lanes, np.uint8)
    option = layer.options.get("reset") == "subtract" or layer.options.get("adaptation_spike") == "previous"
    step_lanes(
        MODEL_CODES[layer.model], option, parameters, table, drive.astype(np.int32), before.astype(np.uint8), after
    )
    return tuple(table.astype(np.int64)), after.astype(bool)


def all_states() -> Iterator[np.ndarray]:
    """Every 24-bit state, -(2^23 - 1) to 2^23 - 1, in blocks."""
    for start in range(-STATE_MAX, STATE_MAX + 1, BLOCK):
        yield np.arange(start, min(start + BLOCK, STATE_MAX + 1), dtype=np.int64)


def one_neuron(model: str, k: int, decay: int, **options: str) -> Layer:
    rng = np.random.default_rng([k, decay])
    layer = random_program(rng, layers=1, models=(model,), sizes=1, border=False, coefficient_bits=k).layers[0]
    parameters = {**layer.parameters, "A": np.array([decay], np.int32)}
    return Layer(layer.name, model, layer.input, layer.recurrent, layer.bias, parameters, {"K": k}, options, k)


def oracle_form(layer: Layer, u: np.ndarray, drive: int) -> tuple[np.ndarray, np.ndarray]:
    """FP-3.4 and FP-3.6 written with integer division of magnitudes, independent of ``hardware.fixed_point``."""
    n = reference.neuron_constants(layer, 0)
    product = np.abs(u) * n["A"] // 2 ** n["K"]
    u_new = np.clip(np.where(u < 0, -product, product) + drive + n["bias"], -reference.MAX, reference.MAX)
    if layer.model == "li":
        return u_new, np.zeros(u.shape, bool)
    z = u_new > n["TH"]
    return np.where(z, 0 if n["reset"] == "zero" else u_new - n["TH"], u_new), z


@pytest.mark.parametrize(
    ("model", "options", "k", "decay"),
    [
        pytest.param(model, options, k, decay, marks=() if decay == 3686 else pytest.mark.slow)
        for model, options in (("li", {}), ("lif", {"reset": "zero"}), ("lif", {"reset": "subtract"}))
        for k, decay in DECAYS
    ],
)
def test_all_states_of_one_state_models(model: str, options: dict[str, str], k: int, decay: int) -> None:
    layer = one_neuron(model, k, decay, **options)
    n = constants(layer)
    seen = 0
    for u in all_states():
        for drive in (0, -123_457, 2**20 + 1):
            current = np.full(u.shape, drive)
            before = np.zeros(u.shape, bool)
            (expected,), spikes = oracle_form(layer, u, drive)[:1], oracle_form(layer, u, drive)[1]
            (plain,), z = STEPS[model](n, (u,), before, current)
            (fast,), fast_z = compiled(layer, (u,), before, current)
            assert np.array_equal(plain, expected)
            assert np.array_equal(fast, expected)
            if model == "lif":
                assert z is not None
                assert np.array_equal(z, spikes)
                assert np.array_equal(fast_z, spikes)
        seen += u.size
    assert seen == 2 * STATE_MAX + 1
    for value in (-STATE_MAX, -1, 0, 1, STATE_MAX, 4095, -4097):
        state, spike = reference.STEPS[model](reference.neuron_constants(layer, 0), [value], 0, 0)
        expected_u, expected_z = oracle_form(layer, np.array([value]), 0)
        assert (state[0], bool(spike)) == (int(expected_u[0]), bool(expected_z[0]))


def random_steps(model: str, seed: int, lanes: int) -> tuple[Program, tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    rng = np.random.default_rng([11, seed])
    program = random_program(rng, layers=1, models=(model,), sizes=(4, 12))
    size = program.layers[0].size
    lanes -= lanes % size
    states = tuple(random_state_values(rng, (lanes,)) for _ in MODELS[model].states)
    drive = random_state_values(rng, (lanes,)) * rng.integers(1, 8, lanes)
    if model == "cuba_lif":
        drive >>= 6
    return program, states, rng.random(lanes) < 0.5, drive


def in_torch(
    layer: Layer, states: tuple[np.ndarray, ...], before: np.ndarray, drive: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """The step of the integer S-stage of training, (lanes / N, N) each."""
    torch = pytest.importorskip("torch", reason="the integer S-stage of training runs in torch")
    from export.torch_steps import STEPS as TORCH_STEPS

    tensors = {name: torch.from_numpy(value.astype(np.int64)) for name, value in layer.parameters.items()}
    tensors["bias"] = torch.from_numpy(layer.bias.astype(np.int64))
    current = torch.from_numpy(drive)
    if layer.model != "cuba_lif":
        current = current + tensors["bias"]
    previous = torch.from_numpy(before.astype(np.int64))
    now = tuple(torch.from_numpy(state) for state in states)
    new, z = TORCH_STEPS[layer.model](now, previous, current, tensors, layer.shifts, layer.options)
    return [state.numpy() for state in new], z.numpy()


def check_random_states(model: str, seed: int, lanes: int, sampled: int) -> int:
    """NumPy against compiled and torch on many states; all against the oracle on some. Returns the number of states."""
    program, states, before, drive = random_steps(model, seed, lanes)
    layer = program.layers[0]
    shape = (-1, layer.size)
    new, z = STEPS[model](
        constants(layer), tuple(s.reshape(shape) for s in states), before.reshape(shape), drive.reshape(shape)
    )
    fast, fast_z = compiled(layer, states, before, drive)
    for name, a, b in zip(MODELS[model].states, new, fast, strict=True):
        assert np.array_equal(a.reshape(-1), b), f"seed {seed}, state {name}"
    if z is not None:
        assert np.array_equal(z.reshape(-1), fast_z), f"seed {seed}, spikes"
    again, again_z = in_torch(
        layer, tuple(s.reshape(shape) for s in states), before.reshape(shape), drive.reshape(shape)
    )
    for name, a, b in zip(MODELS[model].states, again, fast, strict=True):
        assert np.array_equal(a.reshape(-1), b), f"seed {seed}, state {name} in torch"
    if z is not None:
        assert np.array_equal(again_z.reshape(-1), fast_z), f"seed {seed}, spikes in torch"
    for lane in np.random.default_rng(seed).integers(0, drive.size, sampled):
        n = reference.neuron_constants(layer, int(lane) % layer.size)
        state, spike = reference.STEPS[model](n, [int(s[lane]) for s in states], int(before[lane]), int(drive[lane]))
        assert state == [int(s[lane]) for s in fast], f"seed {seed}, lane {lane}"
        assert bool(spike) == bool(fast_z[lane])
    return drive.size


@pytest.mark.parametrize("model", MODELS)
def test_random_states_with_borders(model: str) -> None:
    assert sum(check_random_states(model, seed, 20_000, 200) for seed in range(10)) > 190_000


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_hundred_million_random_states_with_borders(model: str) -> None:
    assert sum(check_random_states(model, seed, 5 * 10**5, 300) for seed in range(201)) > 10**8


def test_mulsh_is_exact_for_every_carrier_at_its_borders() -> None:
    """FP-1.2 in int64, in float64 with trunc, and split in int32 halves, against Python ints."""
    from hardware.fixed_point import mulsh

    rng = np.random.default_rng(0)
    for k in range(17):
        x = random_state_values(rng, (4000,))
        c = np.minimum(
            np.where(rng.random(4000) < 0.2, 2**k - rng.integers(0, 2, 4000), rng.integers(0, 2**k + 1, 4000)), 2**k
        )
        expected = [reference.mulsh(a, b, k) for a, b in zip(x.tolist(), c.tolist(), strict=True)]
        assert mulsh(x, c, k).tolist() == expected
        assert np.trunc(x * (c * 2.0**-k)).astype(np.int64).tolist() == expected
        high, low = np.abs(x) >> k, np.abs(x) & (2**k - 1)
        assert (high * c).max() < 2**32
        assert (low * c).max() < 2**32
        assert (np.sign(x) * (high * c + ((low * c) >> k))).tolist() == expected
