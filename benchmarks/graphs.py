"""Sparse and convolutional synapses by event against the same network with dense ones, on the compiled emulator.

python -m benchmarks.graphs                                                  (two networks, time and peak memory)
python -m benchmarks.graphs --against ../hypr-0.1 --bundle bundles/ecg       (and a chain against another tree)

Networks: ``picture`` has the size of N-MNIST (2 x 34 x 34 inputs, 2 % of them active, three convolutions of 8, 16 and
16 channels, a dense readout), ``recurrent`` 1,024 neurons with 5 % of all recurrent synapses. Every measurement is a
process of its own; forms take turns, and the least of all rounds counts. Integers are compared: the output of all
samples, all spikes and states of some.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.emulator import bundle_case, ecg_shaped
from benchmarks.memory import peak_mib
from benchmarks.options import json_file, names_of
from benchmarks.output import write_json
from benchmarks.timing import machine
from benchmarks.versions import HERE, Comparison, compare_trees
from hardware import Convolution, Dense, Program, ProgramBuilder, Sparse, emulate
from hardware.synapses import Connections

FORMS = ("event", "dense")
COMPARED = 5
"""Samples of which all states are compared."""

PICTURE = ((8, 2, 1_920), (16, 2, 7_200), (16, 1, 19_200))
"""Channels, stride and threshold of the convolutions; thresholds for some percent of activity."""

Row = dict[str, Any]


def picture(form: str) -> Program:
    """Three convolutions of 3 x 3 and a readout, LIF."""
    rng = np.random.default_rng(1)
    graph = ProgramBuilder()
    source, shape = graph.input("pixels", (2, 34, 34)), (2, 34, 34)
    for index, (channels, stride, threshold) in enumerate(PICTURE):
        kernel = rng.integers(-60, 100, (channels, shape[0], 3, 3)).astype(np.int8)
        made = Convolution.of(kernel, shape, stride=(stride, stride), padding=(1, 1))
        target = graph.population(f"conv{index}", made.out_shape, "lif", {"A": 3700, "TH": threshold}, {"K": 12})
        graph.project(source, target, _in_form(made, form), exponent=4)
        source, shape = target, made.out_shape
    _readout(graph, rng, source, int(np.prod(shape)))
    return graph.build()


def recurrent(form: str) -> Program:
    """64 inputs, 1,024 recurrent LIF neurons, a readout."""
    rng = np.random.default_rng(2)
    weight = np.where(rng.random((1024, 1024)) < 0.05, rng.integers(-127, 128, (1024, 1024)), 0)
    graph = ProgramBuilder()
    graph.input("spikes", 64)
    graph.population("neurons", 1024, "lif", {"A": 3700, "TH": 22_400}, {"K": 12})
    graph.project("spikes", "neurons", rng.integers(-60, 127, (1024, 64)), exponent=4)
    graph.project("neurons", "neurons", _in_form(Sparse.from_matrix(weight), form), exponent=4, delay=1)
    _readout(graph, rng, "neurons", 1024)
    return graph.build()


def _in_form(synapses: Connections, form: str) -> Connections:
    return Dense(synapses.matrix()) if form == "dense" else synapses


def _readout(graph: ProgramBuilder, rng: np.random.Generator, source: str, size: int) -> None:
    graph.population("readout", 10, "li", {"A": 4000}, {"K": 12})
    graph.project(source, "readout", rng.integers(-127, 128, (10, size)), exponent=2)


NETWORKS = {"picture": (picture, 0.02), "recurrent": (recurrent, 0.1)}
"""Name -> network, share of active inputs."""


def measure(network: str, form: str, repeats: int, steps: int, samples: int) -> Row:
    """One network in one form, in this process, on one thread; spikes of hidden populations are not kept while timed.

    The peak is that of the first run, with the making of its tables, above what the program and its inputs occupy.
    """
    make, rate = NETWORKS[network]
    program = make(form)
    shape = (steps, samples, program.inputs[0].size)
    inputs = (np.random.default_rng(3).random(shape, np.float32) < rate).astype(np.uint8)
    emulate(recurrent("event"), np.zeros((2, 1, 64), np.uint8), threads=1)  # loads the compiled code
    before = _forget_peak()
    output = emulate(program, inputs, threads=1, keep_spikes=False).output
    peak = None if before is None else peak_mib() - before
    walls, processor = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        emulate(program, inputs, threads=1, keep_spikes=False)
        walls.append(time.perf_counter() - wall)
        processor.append(time.process_time() - cpu)
    some = emulate(program, np.ascontiguousarray(inputs[:, :COMPARED]), "all", threads=1)
    arrays = {"all/output": output, **some.arrays()}
    digest = hashlib.sha256()
    for key, value in arrays.items():
        digest.update(key.encode() + np.ascontiguousarray(value).tobytes())
    return {
        "network": network,
        "synapses": form,
        "stored_mib": sum(_stored(projection.synapses) for projection in program.projections) / 2**20,
        "peak_mib": peak,
        "least_s": min(walls),
        "cpu_s": min(processor),
        "rates": {name: float(value.mean()) for name, value in some.spikes.items()},
        "updates": steps * samples * sum(population.size for population in program.populations),
        "integers": sum(value.size for value in arrays.values()),
        "sha256": digest.hexdigest(),
    }


def _stored(synapses: Connections) -> int:
    if isinstance(synapses, Sparse):
        return synapses.indptr.nbytes + synapses.indices.nbytes + synapses.weight.nbytes
    return (synapses.kernel if isinstance(synapses, Convolution) else synapses.weight).nbytes


def _forget_peak() -> float | None:
    """Linux: the peak of this process becomes what it occupies now, in MiB; None where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_mib()


def in_turn(networks: Sequence[str], rounds: int, *sizes: int) -> list[Row]:
    """A row per network and form: least times and peaks over the rounds; ``sizes``: repeats, steps, samples.

    Raises:
        SystemExit: the forms of a network compute different integers.
    """
    rows: dict[tuple[str, str], Row] = {}
    for _ in range(rounds):
        for network in networks:
            for form in FORMS:
                row = _in_own_process(network, form, *sizes)
                known = rows.setdefault((network, form), row)
                for key in ("least_s", "cpu_s", "peak_mib"):
                    known[key] = None if row[key] is None else min(known[key], row[key])
                if row["sha256"] != rows[network, FORMS[0]]["sha256"]:
                    raise SystemExit(f"benchmarks.graphs: {network}: {form} synapses give other integers")
    for (network, _), row in rows.items():
        row["times_slower"] = row["cpu_s"] / rows[network, FORMS[0]]["cpu_s"]
    return list(rows.values())


def _in_own_process(network: str, form: str, *sizes: int) -> Row:
    what = ",".join([network, form, *map(str, sizes)])
    command = [sys.executable, "-m", "benchmarks.graphs", f"--one={what}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        raise SystemExit(f"benchmarks.graphs: {network}, {form}: {reason}")
    row: Row = json.loads(done.stdout)
    return row


def print_rows(rows: Sequence[Row]) -> None:
    print(
        "| network | synapses | stored MiB | peak of a run MiB | least ms | cpu ms | ns per update | times slower | "
        "integers equal |\n|---|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        peak = "not measured" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        print(
            f"| {row['network']} | {row['synapses']} | {row['stored_mib']:.3f} | {peak} | {1e3 * row['least_s']:.0f} | "
            f"{1e3 * row['cpu_s']:.0f} | {1e9 * row['cpu_s'] / row['updates']:.2f} | {row['times_slower']:.2f} | "
            f"{row['integers']:,} |"
        )
    for row in rows[:: len(FORMS)]:
        rates = ", ".join(f"{name} {rate:.3f}" for name, rate in row["rates"].items())
        print(f"{row['network']}: spikes per neuron and step {rates}")


def print_comparison(found: Comparison, other: Path) -> None:
    print("\n| chain | least ms | least cpu ms |\n|---|---|---|")
    for name, times in ((str(other), found.theirs), ("this tree", found.ours)):
        least = [1e3 * min(pair[clock] for pair in times) for clock in range(2)]
        print(f"| {name} | {least[0]:.2f} | {least[1]:.2f} |")
    print(
        f"median of {len(found.ours)} ratios, that tree / this tree: wall {found.ratio(0):.3f}, "
        f"cpu {found.ratio(1):.3f}; {found.integers:,} integers equal"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.graphs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=names_of(NETWORKS), default="picture,recurrent", help="comma-separated")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each network and form; 0 for none")
    parser.add_argument("--repeats", type=int, default=3, help="runs in each of them")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another tree: time a chain in both, in turn")
    parser.add_argument("--bundle", type=Path, help="bundle whose program and test sequences are that chain")
    parser.add_argument("--turns", type=int, default=60, help="of both trees")
    parser.add_argument("--json", type=json_file, metavar="FILE.json", help="write all figures to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what _in_own_process measures
    options = parser.parse_args(arguments)
    if options.one:
        network, form, *sizes = options.one.split(",")
        print(json.dumps(measure(network, form, *map(int, sizes))))
        return 0
    if options.against is not None and not (options.against / "hardware").is_dir():
        parser.error(f"--against {options.against}: has no folder hardware; give the root of another checkout")
    description = machine()
    print(f"{description['processor']}, {description['cores']} cores, load {description['load']}; one thread")
    rows = in_turn(options.networks, options.rounds, options.repeats, options.steps, options.samples)
    if rows:
        print_rows(rows)
    figures: dict[str, Any] = {"machine": description, "rows": rows}
    if options.against is not None:
        program, inputs = ecg_shaped() if options.bundle is None else bundle_case(options.bundle)
        found = compare_trees(program, inputs, options.against, options.turns)
        print_comparison(found, options.against)
        figures["chain"] = {"ratio_wall": found.ratio(0), "ratio_cpu": found.ratio(1), **vars(found)}
    if options.json:
        write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
