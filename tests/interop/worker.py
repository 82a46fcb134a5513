"""What the workers share: a worker runs in the environment of one tool and talks through files.

``python -m tests.interop.NAME make FOLDER COUNT SEED`` writes random networks of the tool in the format of
``cases/tools``: NAME.nir, NAME.npz and ``expected.json``. ``python -m tests.interop.NAME run FOLDER`` reads every .nir
file there as the tool does, runs it on the inputs of the .npz beside it with the options of the .json, and writes
NAME.out.npy, or NAME.err with the reason.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Made = tuple[Any, np.ndarray, np.ndarray, dict[str, Any]]
"""NIR graph, inputs (T, B, N), outputs (T, B, N), entry of ``expected.json``."""


def inputs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Input spikes (T, B, N) float32 of one density."""
    return (rng.random((40, 3, size)) < rng.uniform(0.15, 0.5)).astype(np.float32)


def stepped(net: Any, given: np.ndarray) -> np.ndarray:
    """Outputs (T, B, N) of a network of torch that takes a step and its state, and gives output and state."""
    import torch

    state, found = None, []
    with torch.no_grad():
        for x in given:
            output, state = net(torch.tensor(x), state)
            found.append(output.numpy())
    return np.stack(found)


def main(
    make: Callable[[np.random.Generator], Made] | None, run: Callable[[Path, np.ndarray, Mapping[str, Any]], np.ndarray]
) -> None:
    """The command line of a worker."""
    import nir

    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "run":
        for path in sorted(folder.glob("*.nir")):
            with np.load(path.with_suffix(".npz")) as file:
                given = file["input_spikes"].astype(np.float32)
            options = json.loads(path.with_suffix(".json").read_text())
            try:
                np.save(path.with_suffix(".out.npy"), run(path, given, options))
            except Exception as error:
                path.with_suffix(".err").write_text(f"{type(error).__name__}: {error}")
        return
    assert make is not None, "this tool only reads here"
    count, seed = int(sys.argv[3]), int(sys.argv[4])
    expected = {}
    for index in range(count):
        name = f"live_{index:03d}"
        graph, given, output, entry = make(np.random.default_rng([seed, index]))
        nir.write(folder / f"{name}.nir", graph)
        arrays: Any = {"input_spikes": given.astype(np.int8), entry.pop("output", "output_spikes"): output}
        np.savez_compressed(folder / f"{name}.npz", **arrays)
        expected[name] = entry
    (folder / "expected.json").write_text(json.dumps(expected))
