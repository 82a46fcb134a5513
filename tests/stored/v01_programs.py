"""Programs of version 0.1 with their inputs and integers: what ``write_v01.py`` stores under ``programs/``.

Runs with the packages of version 0.1 on the path, and with nothing of them but their public names.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import hardware

STEPS, BATCH = 16, 3
STATE_MAX = 2**23 - 1
MAX_CURRENT = 2**31 - 1 - 2**26
SINGLE = {  # every model and option, with recurrent synapses and without
    "brf": {},
    "se_adlif-current": {"adaptation_spike": "current"},
    "se_adlif-previous": {"adaptation_spike": "previous"},
    "alif": {},
    "lif-zero": {"reset": "zero"},
    "lif-subtract": {"reset": "subtract"},
    "cuba_lif": {},
}
RANDOM = 20


def write_programs(folder: Path) -> dict[str, dict[str, Any]]:
    """Write each program as ``NAME.npz`` and its run as ``NAME.trace.npz``; returns what is expected of each."""
    folder.mkdir(parents=True)
    return {name: _write(folder, name, program) for name, program in _programs()}


def _programs() -> Iterator[tuple[str, Any]]:
    for name, options in SINGLE.items():
        for recurrent in (True, False):
            yield f"{name}-{'recurrent' if recurrent else 'forward'}", _single(name.split("-")[0], options, recurrent)
    yield "li", _random(_generator("li"), models=["li"], sizes=(3, 8))
    for number in range(RANDOM):
        yield f"random-{number:02}", _random(_generator(f"random {number}"))
    yield "multiplier-largest", _largest_multiplier()
    yield "nothing-counts", _nothing_counts()
    yield "one-by-one", _random(_generator("one"), layers=1, sizes=1, inputs=1, recurrent=1.0, models=["brf"])
    for model in ("lif", "li", "cuba_lif"):
        yield f"limit-{model}", _at_the_limit(model)


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng([1, zlib.crc32(name.encode())])


def _random(rng: np.random.Generator, **limits: Any) -> Any:
    return importlib.import_module("hardware.random_programs").random_program(rng, **limits)


def _single(model: str, options: dict[str, str], recurrent: bool) -> Any:
    """Two layers of that model, each of which spikes, but not all the time."""
    rng = _generator(f"{model} {options} {recurrent}")
    while True:
        found = _random(rng, models=[model], layers=2, sizes=(4, 10), recurrent=float(recurrent), output=model)
        layers = tuple(replace(layer, options={**layer.options, **options}) for layer in found.layers)
        program = replace(found, layers=layers)
        trace = hardware.emulate(program, _inputs(program, model), "all")
        if all(0.02 < spikes.mean() < 0.9 for spikes in trace.spikes.values()):
            return program


def _largest_multiplier() -> Any:
    program = _random(_generator("multiplier"), layers=2, models=["brf", "li"], output="li", sizes=(4, 8))
    largest = np.full(program.output.size, 2**24 - 1, np.int32)
    largest[0] = 1
    return replace(program, decision=hardware.Decision("sum", 1, largest))


def _nothing_counts() -> Any:
    """A decision that ignores more steps than there are: sums over no steps are 0."""
    program = _random(_generator("nothing"), layers=1, models=["li"], sizes=(3, 6))
    return replace(program, decision=hardware.Decision("sum", STEPS + 5, None))


def _at_the_limit(model: str) -> Any:
    """The first neuron can receive exactly the largest current (cuba_lif: the largest without counting on its leak)."""
    spec = hardware.MODELS[model]
    shifts = dict.fromkeys(spec.shifts, 12)
    values = {"A": 4000, "TH": 2**22, "du": -1, "dv": 100, "vth": 2**16}
    parameters = {name: np.full(2, values[name], np.int32) for name in spec.parameters}
    bias = np.array([0, -5], np.int32)
    if model == "cuba_lif":  # 2^18 synaptic units are 2^24 in the current, which wraps once
        weight, largest, exponent = np.array([[127, 127, 2], [-127, -127, -2]], np.int8), 1, 10
    else:
        weight, largest, exponent = np.array([[127, 121, 0], [-127, 64, 0]], np.int8), 2**23 - 1, 0
        bias[0] = MAX_CURRENT - 248 * largest
    synapses = hardware.Synapses(weight, exponent, 8)
    layer = hardware.Layer("edge", model, synapses, None, bias, parameters, shifts)
    low = -largest if model != "cuba_lif" else 0
    return hardware.Program((layer,), hardware.InputFormat(3, low, largest), hardware.Decision("per_step"))


def _inputs(program: Any, name: str) -> np.ndarray:
    rng = _generator(f"inputs of {name}")
    inputs = importlib.import_module("hardware.random_programs").random_inputs(rng, program, STEPS, BATCH)
    if name.startswith("limit"):
        inputs[::2, 0], inputs[1::4, 0] = program.input.high, program.input.low
    return np.asarray(inputs)


def _write(folder: Path, name: str, program: Any) -> dict[str, Any]:
    digest = hardware.save(program, folder / f"{name}.npz")
    inputs = _inputs(program, name)
    start = _start(program, name)
    trace = importlib.import_module("hardware.reference").run(program, inputs, "all", start)
    for backend in ("numpy", "numba"):
        found = hardware.emulate(program, inputs, "all", start, backend=backend)
        assert hardware.compare(trace, found, program).equal, (name, backend)
    arrays = {"input_spikes": inputs, "decision": hardware.classify(program, trace.output), **trace.arrays()}
    if start is not None:
        arrays |= {f"start/{key}": value for key, value in start.states.items()}
        arrays |= {f"start/spikes/{key}": value for key, value in start.spikes.items()}
    with (folder / f"{name}.trace.npz").open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **{key: _narrow(value) for key, value in arrays.items()})
    states = [value for key, value in trace.arrays().items() if key != "output" and not key.startswith("spikes/")]
    return {
        "content_sha256": digest,
        "spikes": int(sum(value.sum() for value in trace.spikes.values())),
        "saturated": int(sum((np.abs(value) == STATE_MAX).sum() for value in states)),
    }


def _start(program: Any, name: str) -> Any:
    """States to start from, for every third random program; q of a resonator is not negative."""
    if not name.startswith("random") or int(name[-2:]) % 3:
        return None
    random_programs = importlib.import_module("hardware.random_programs")
    start = random_programs.random_state(_generator(f"start of {name}"), program, BATCH)
    states = {key: np.abs(value) if key.startswith("q/") else value for key, value in start.states.items()}
    return hardware.NetworkState(states, start.spikes)


def _narrow(array: np.ndarray) -> np.ndarray:
    """The same integers in the smallest type that holds them."""
    for kind in (np.uint8, np.int8, np.int16, np.int32):
        if np.array_equal(array.astype(kind), array):
            return array.astype(kind)
    return array
