"""Traces of brian2-loihi, as ``golden/loihi1`` stores them, as programs of ``cuba_lif``: indirect evidence, for Loihi 1
and this one neuron model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware import Dense, Input, Population, Program, Projection


@dataclass(frozen=True, eq=False)
class Loihi1Case:
    """One network and what that emulator computed.

    Attributes:
        inputs: spikes (T, 1, N_in).
        expected: ``spikes/NAME`` and ``v/NAME`` -> integers (T, 1, N).
    """

    name: str
    program: Program
    inputs: np.ndarray
    expected: dict[str, np.ndarray]


def load_loihi1(folder: Path, prefix: str) -> list[Loihi1Case]:
    """Cases whose names begin with ``prefix``: ``chain``, ``graph`` or nothing."""
    return [_read(path) for path in sorted(folder.glob(f"{prefix}*.npz"))]


def _read(path: Path) -> Loihi1Case:
    with np.load(path, allow_pickle=False) as archive:
        a = dict(archive)
    names = sorted(key.removeprefix("vth/") for key in a if key.startswith("vth/"))
    populations = tuple(_population(name, a) for name in names)
    count = sum(key.startswith("projection/") for key in a)
    projections = tuple(_projection(str(k), a, names) for k in range(count))
    program = Program((Input("input", a["x"].shape[1]),), populations, projections, (names[-1],))
    expected = {f"{state}/{name}": a[f"{state}/{name}"][:, None] for name in names for state in ("spikes", "v")}
    return Loihi1Case(path.stem, program, a["x"][:, None], expected)


def _population(name: str, a: dict[str, np.ndarray]) -> Population:
    size = a[f"v/{name}"].shape[1]

    def each(value: np.ndarray) -> np.ndarray:
        return np.broadcast_to(value, (size,)).astype(np.int32)

    parameters = {"du": each(a[f"decay_I/{name}"]) - 1, "dv": each(a[f"decay_v/{name}"]), "vth": each(a[f"vth/{name}"])}
    return Population(name, size, "cuba_lif", np.zeros(size, np.int32), parameters, {})


def _projection(k: str, a: dict[str, np.ndarray], names: list[str]) -> Projection:
    source, target = (str(name) for name in a[f"projection/{k}"])
    inside = source in names
    delay = int(a[f"delay/{k}"]) + inside  # a spike of a population arrives one step later there
    weight = Dense(a[f"weight/{k}"].astype(np.int8))
    return Projection(f"{k}", source if inside else "input", target, weight, int(a[f"exponent/{k}"]), delay)
