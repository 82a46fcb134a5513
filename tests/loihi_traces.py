"""Compare every engine with traces of a Loihi 1 emulator: ``python -m tests.loihi_traces FOLDER``

The format is that of ``golden/loihi1`` (its README): one npz per network of current-based LIF neurons. Spikes and
membranes of every neuron at every step must be equal. One line per file; exit 1 on a difference, 2 where the folder
holds no trace. What equality is evidence of: the traces are those of brian2-loihi, whose authors report errorless
agreement with the Loihi 1 chip; it is indirect, about Loihi 1, and about this one neuron model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hardware import Dense, Input, Population, Program, ProgramError, Projection, Trace
from tests.graph_traces import chosen_engines
from tests.trace_engines import ALL, ENGINES, differences, run_lava


def load_trace(path: Path) -> tuple[Program, np.ndarray, dict[str, np.ndarray]]:
    """A file as program, inputs (T, 1, N) and what is expected (keys of a Trace, (T, 1, N)).

    Raises:
        ProgramError: a value that the contract does not hold.
    """
    with np.load(path, allow_pickle=False) as archive:
        data = dict(archive)
    names = [key.split("/", 1)[1] for key in data if key.startswith("v/")]
    populations = tuple(_population(name, data) for name in names)
    projections = tuple(_projection(key.split("/", 1)[1], data) for key in data if key.startswith("projection/"))
    program = Program((Input("in", data["x"].shape[1]),), populations, projections, tuple(names))
    expected = {f"v/{name}": data[f"v/{name}"][:, None] for name in names}
    expected.update({f"spikes/{name}": data[f"spikes/{name}"][:, None] for name in names})
    return program, data["x"][:, None].astype(np.int32), expected


def _population(name: str, data: dict[str, np.ndarray]) -> Population:
    """In the terms of FP-3.5: du is Lava's decay, one less than that of the chip's emulator."""
    size = data[f"v/{name}"].shape[1]

    def each(value: np.ndarray | int) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, np.int32), (size,))

    parameters = {
        "du": each(data[f"decay_I/{name}"] - 1),
        "dv": each(data[f"decay_v/{name}"]),
        "vth": each(data[f"vth/{name}"]),
    }
    return Population(name, size, "cuba_lif", each(0), parameters, {})


def _projection(key: str, data: dict[str, np.ndarray]) -> Projection:
    source, target = (str(end) for end in data[f"projection/{key}"])
    weight = data[f"weight/{key}"]
    if weight.min() < -127 or weight.max() > 127:
        raise ProgramError(f"projection {key}: mantissas {weight.min()} to {weight.max()} do not fit 8 symmetric bits")
    delay = int(data[f"delay/{key}"]) + (0 if source == "in" else 1)  # that tool delivers a spike one step later
    synapses = Dense(weight.astype(np.int8))
    return Projection(f"projection{key}", source, target, synapses, int(data[f"exponent/{key}"]), delay)


def check(folder: Path, engines: Sequence[str]) -> int:
    """Exit status; prints a line per file."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        print(f"{folder}: no trace here (*.npz)", file=sys.stderr)
        return 2
    cases = [(path.stem, *load_trace(path)) for path in paths]
    lava: list[Trace | str] = [""] * len(cases)
    if "lava" in engines:
        lava = run_lava([(program, inputs) for _, program, inputs, _ in cases])
    failures = compared = scheduled = 0
    for (name, program, inputs, expected), in_lava in zip(cases, lava, strict=True):
        traces = {engine: ENGINES[engine](program, inputs) for engine in engines if engine != "lava"}
        if isinstance(in_lava, Trace):
            traces["lava"] = in_lava
            scheduled += 1
        wrong = [
            f"{engine}: {count} of {key} differ, {first}"
            for engine, trace in traces.items()
            for key, count, first in differences(trace, expected)
        ]
        compared += len(traces) * sum(values.size for values in expected.values())
        failures += bool(wrong)
        note = f"; lava: {in_lava}" if isinstance(in_lava, str) and in_lava else ""
        verdict = "DIFFERENT: " + "; ".join(wrong) if wrong else f"ok on {', '.join(traces)}"
        print(f"{name}: {verdict}{note}", flush=True)
    lava_note = f", {scheduled} of them in Lava" if "lava" in engines else ""
    print(f"{len(cases)} traces{lava_note}, {compared} integers: {failures} wrong")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.loihi_traces", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engines", help=f"comma-separated, of {', '.join(ALL)}; by default all that run here")
    given = parser.parse_args()
    return check(given.folder, chosen_engines(given.engines))


if __name__ == "__main__":
    sys.exit(main())
