"""Hashes of a fixed emulation and of a fixed export, which must be the same on every interpreter and numpy.

``python -m tests.reproducible`` prints them as JSON; ``--hardware`` those that need numpy alone. Inputs and weights
come from a congruential generator on whole numbers, so that no library's random numbers are part of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PROGRAMS = Path(__file__).resolve().parent / "stored" / "v01" / "programs"
STEPS, BATCH = 24, 3


class Numbers:
    """Whole numbers of a congruential generator (Knuth's MMIX), upper bits."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, limit: int) -> int:
        self.state = (6364136223846793005 * self.state + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit

    def array(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """int64, both ends included."""
        count = int(np.prod(shape))
        return np.array([low + self.below(high - low + 1) for _ in range(count)], np.int64).reshape(shape)


def emulation(backend: str = "numpy") -> str:
    """SHA-256 over every output, spike and state of the stored programs of version 0.1 on fixed inputs.

    Args:
        backend: of ``hardware.emulate``, or ``reference`` for the oracle.
    """
    from hardware import emulate, load, reference

    digest = hashlib.sha256()
    for number, path in enumerate(sorted(item for item in PROGRAMS.glob("*.npz") if ".trace" not in item.name)):
        program = load(path)
        item = program.inputs[0]
        inputs = Numbers(number).array((STEPS, BATCH, item.size), int(item.low), int(item.high)).astype(np.int32)
        if backend == "reference":
            trace = reference.run(program, inputs, "all")
        else:
            trace = emulate(program, inputs, "all", backend=backend)
        for name, value in sorted(trace.arrays().items()):
            digest.update(f"{path.stem} {name} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value, "<i4").tobytes())
    return digest.hexdigest()


def network() -> dict[str, Any]:
    """Arrays of a network of three kinds of neurons, all of whose numbers are short binary fractions."""
    draw = Numbers(7)

    def fractions(shape: tuple[int, ...], low: int, high: int, unit: float) -> np.ndarray:
        return draw.array(shape, low, high) * unit

    brf = {
        "kind": "brf",
        "weight": fractions((9, 5), -1000, 1000, 2.0**-3),
        "bias": fractions((9,), -8, 8, 2.0**-6),
        "recurrent_weight": fractions((9, 9), -1000, 1000, 2.0**-5),
        "parameters": {
            "omega": fractions((9,), 12, 40, 0.25),
            "b_offset": fractions((9,), 2, 16, 0.0625),
            "theta": 1.0,
            "gamma": 0.875,
            "dt": 2.0**-7,
        },
        "options": {"variant": "euler"},
    }
    lif = {
        "kind": "lif",
        "weight": fractions((7, 9), -1000, 1000, 2.0**-8),
        "bias": fractions((7,), -8, 8, 2.0**-6),
        "recurrent_weight": None,
        "parameters": {"alpha": fractions((7,), 700, 1000, 2.0**-10), "theta": 1.0},
        "options": {"reset": "subtract"},
    }
    readout = {
        "kind": "li",
        "weight": fractions((3, 7), -1000, 1000, 2.0**-9),
        "bias": np.zeros(3),
        "recurrent_weight": None,
        "parameters": {"kappa": fractions((3,), 900, 1000, 2.0**-10)},
        "options": {},
    }
    return {"layers": [brf, lif, readout], "input_format": {"low": 0, "high": 1}}


def export_hashes() -> dict[str, str]:
    """File of a bundle -> SHA-256 of its content, whatever compression, HDF5 or protobuf do with it."""
    from onnx import load_model

    from export import quantize, read, to_nir
    from export.bundle.bundle import write_bundle
    from export.bundle.manifest import of_program
    from export.onnx.same import fingerprint

    calibration = Numbers(11).array((16, STEPS, 5), 0, 1).astype(np.int8)
    graph = to_nir(network(), dt=2.0**-10)
    program = quantize(graph, calibration=calibration, log=False)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(graph, program, Path(folder) / "bundle")
        found = {"program": program.content_hash, "manifest.json": _of_json(of_program(program))}
        for name, path in bundle.files().items():
            if name.endswith(".nir"):
                found[name] = _of_graph(read(path))
            elif name.endswith(".onnx"):
                found[name] = fingerprint(load_model(path))
            elif name.endswith(".npz"):
                found[name] = _of_archive(path.read_bytes())
            elif name.endswith("run_on_lava.py"):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _of_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _of_archive(content: bytes) -> str:
    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in sorted(archive.namelist()):
            digest.update(name.encode() + b"\0" + archive.read(name))
    return digest.hexdigest()


def _of_graph(graph: Any) -> str:
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                digest.update(f"{key}:".encode())
                add(value[key])
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode() + value.tobytes())
        else:
            digest.update(repr(value.item() if isinstance(value, np.generic) else value).encode())

    for name, node in sorted(graph.nodes.items()):
        digest.update(f"{name} {type(node).__name__}".encode())
        add({key: value for key, value in vars(node).items() if key not in ("input_type", "output_type")})
    digest.update(repr(sorted(map(tuple, graph.edges))).encode())
    add(graph.metadata)
    return digest.hexdigest()


def hashes(hardware_alone: bool = False) -> dict[str, str]:
    """All of them by name."""
    found = {f"emulation, {backend}": emulation(backend) for backend in ("numpy", "reference")}
    return found if hardware_alone else {**found, **{f"export, {k}": v for k, v in export_hashes().items()}}


if __name__ == "__main__":
    print(json.dumps(hashes("--hardware" in sys.argv), indent=1))
