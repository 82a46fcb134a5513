"""Integer engines side by side: compiled emulator, NumPy emulator, torch, ONNX Runtime, Lava, scalar oracle.

python -m benchmarks.emulator --bundle bundles/ecg        (its own test sequences)
python -m benchmarks.emulator                             (a random network of the ECG task's shape)

Every engine is first compared with the compiled emulator, all states of all steps, on the sequences that it is timed
on. A rate counts neuron updates: steps x sequences x neurons. Slow engines run fewer sequences.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import json_file, png_file
from benchmarks.output import pyplot, save_figure, write_json
from benchmarks.timing import Timing, as_dictionary, interleave, machine
from export.onnx.runtime import OnnxNetwork
from hardware import compare, emulate, reference
from hardware.chain import InputFormat, Layer, Synapses
from hardware.emulator import Emulator
from hardware.errors import HardwareError
from hardware.program import Program
from hardware.random_programs import random_program
from hardware.trace import Trace

STEPS, SEQUENCES = 1300, 141  # of the ECG task


@dataclass(frozen=True)
class Contender:
    """An engine, the number of sequences it runs, and how it is called: ``run(inputs, record)``."""

    sequences: int
    run: Callable[[np.ndarray, Any], Trace]


def ecg_shaped() -> tuple[Program, np.ndarray]:
    """A random network 4 -> 36 recurrent BRF -> 6 and random inputs, when no bundle is given."""
    rng = np.random.default_rng(5)
    hidden = random_program(rng, layers=1, models=("brf",), sizes=36, inputs=4, border=False, recurrent=1.0).layers[0]
    readout = random_program(rng, layers=1, models=("li",), sizes=6, inputs=36, border=False).layers[0]
    weight = rng.integers(-127, 128, (6, 36)).astype(np.int8)
    last = Layer(
        "readout",
        "li",
        Synapses(weight, 2),
        None,
        readout.bias,
        readout.parameters,
        readout.shifts,
        {},
        readout.coefficient_bits,
    )
    program = Program.chain((replace(hidden, name="hidden0"), last), InputFormat(4))
    return program, (rng.random((STEPS, SEQUENCES, 4)) < 0.05).astype(np.uint8)


def bundle_case(path: Path) -> tuple[Program, np.ndarray]:
    """Program and test sequences of a bundle."""
    from export.bundle.bundle import Bundle
    from hypr.deployment.deploy import bundle_data
    from hypr.deployment.evaluation import time_major

    bundle = Bundle.open(path)
    return bundle.program, time_major(bundle_data(bundle))


def contenders(program: Program, available: int, lava: bool) -> dict[str, Contender]:
    """All engines that run here."""
    found = {
        "emulator, 1 thread": Contender(available, lambda x, record: emulate(program, x, record, threads=1)),
        "emulator, 2 threads": Contender(available, lambda x, record: emulate(program, x, record, threads=2)),
        "emulator in NumPy": Contender(available, lambda x, record: Emulator(program).run(x, record)),
        "ONNX Runtime": Contender(available, functools.partial(_onnx, OnnxNetwork.open(program))),
        "scalar oracle": Contender(1, lambda x, record: reference.run(program, x, record)),
    }
    try:
        from hypr.integer import run as in_torch

        found["torch"] = Contender(available, lambda x, record: in_torch(program, x, record))
    except ImportError:
        print("torch: not installed, left out", file=sys.stderr)
    if lava:
        from hardware.lava import runtime

        found["Lava, its own Dense"] = Contender(
            2, lambda x, record: runtime.run(program, x, record, connections="dense")
        )
        found["Lava, batched"] = Contender(16, lambda x, record: runtime.run(program, x, record, connections="batched"))
    return found


def _onnx(network: Any, x: np.ndarray, record: Any) -> Trace:
    return network.run(x, record)


def check(program: Program, inputs: np.ndarray, engines: dict[str, Contender]) -> dict[str, int]:
    """Integers compared per engine; SystemExit at the first difference."""
    expected = emulate(program, inputs, "all")
    compared = {}
    for name, engine in engines.items():
        part = inputs[:, : engine.sequences]
        want = expected if engine.sequences == inputs.shape[1] else emulate(program, np.ascontiguousarray(part), "all")
        found = compare(want, engine.run(np.ascontiguousarray(part), "all"), program)
        if not found.equal or found.not_compared:
            raise SystemExit(f"{name} differs from the emulator: {found.first_divergence or found.not_compared}")
        compared[name] = found.compared
    return compared


def table(
    program: Program, inputs: np.ndarray, engines: dict[str, Contender], timings: dict[str, Timing]
) -> list[dict[str, Any]]:
    """One row per engine, fastest first; ratios against the compiled emulator on one thread."""
    neurons = sum(layer.size for layer in program.layers)
    rows = []
    for name, engine in engines.items():
        updates = inputs.shape[0] * min(engine.sequences, inputs.shape[1]) * neurons
        timing = timings[name]
        rows.append(
            {
                "engine": name,
                "sequences": engine.sequences,
                "updates": updates,
                "least_s": timing.least,
                "cpu_s": timing.cpu,
                "median_s": timing.median,
                "updates_per_s": updates / timing.least,
            }
        )
    base = next(row["updates_per_s"] for row in rows if row["engine"] == "emulator, 1 thread")
    for row in rows:
        row["times_slower"] = base / row["updates_per_s"]
    return sorted(rows, key=lambda row: row["times_slower"])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Bar chart of the rates."""
    figure, axes = pyplot().subplots(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    names, rates = [row["engine"] for row in rows][::-1], [row["updates_per_s"] for row in rows][::-1]
    axes.barh(names, rates, color="#4a6fa5")
    axes.set(xscale="log", xlabel="neuron updates per second")
    for index, rate in enumerate(rates):
        axes.text(rate, index, f" {rate:.3g}", va="center")
    axes.margins(x=0.15)
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.emulator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="bundle whose program and test sequences are used")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-lava", action="store_true", help="leave Lava out")
    parser.add_argument("--json", type=json_file, metavar="FILE.json", help="write all figures to this file")
    parser.add_argument("--plot", type=png_file, metavar="FILE.png", help="write a bar chart to this file")
    options = parser.parse_args(arguments)
    program, inputs = ecg_shaped() if options.bundle is None else bundle_case(options.bundle)
    try:
        engines = contenders(program, inputs.shape[1], not options.no_lava)
        compared = check(program, inputs, engines)
    except HardwareError as error:
        print(f"benchmarks.emulator: {error}", file=sys.stderr)
        return 2
    parts = {name: np.ascontiguousarray(inputs[:, : engine.sequences]) for name, engine in engines.items()}
    calls = {name: functools.partial(engine.run, parts[name], ()) for name, engine in engines.items()}
    timings = interleave(calls, options.repeats, seconds=20.0)
    rows = table(program, inputs, engines, timings)
    rate = float(np.mean([spikes.mean() for spikes in emulate(program, inputs).spikes.values()]))
    description = machine()
    print(
        f"{description['processor']}, {description['cores']} cores, load {description['load']}; "
        f"T = {inputs.shape[0]}, spikes per neuron and step {rate:.3f}; states not recorded while timed"
    )
    print(
        "| engine | sequences | least ms | cpu ms | M updates/s | times slower | integers equal |\n"
        "|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['engine']} | {row['sequences']} | {1e3 * row['least_s']:.1f} | {1e3 * row['cpu_s']:.1f} | "
            f"{row['updates_per_s'] / 1e6:.4g} | {row['times_slower']:.4g} | {compared[row['engine']]:,} |"
        )
    if options.json:
        figures = {"machine": description, "rows": rows, "timings": as_dictionary(timings), "compared": compared}
        write_json(options.json, figures)
    if options.plot:
        draw(rows, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
