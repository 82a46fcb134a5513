"""Training steps of this tree beside those of another one, in two processes that take turns, one thread each.

    python -m benchmarks.steps --against ../hypr-0.1 [--cases narrow,wide] [--json out.json]

Both get the same weights, spikes and classes; the rules are those that both have (for ``hypr-window`` without its extra
carries). Processor time counts, least of all rounds: on a machine that others use it nearly does not contain their
share. The same tree twice differs by up to 7 % from process to process, by where its memory lies, so both are started
several times. Gradients are compared, too, relative to the largest: an order of summation may change, an equation not
(but a neuron's defaults may: ALIF's surrogate is not that of version 0.1).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.options import json_file, names_of
from benchmarks.output import write_json
from benchmarks.timing import machine
from benchmarks.training import Case, batch, network
from benchmarks.versions import HERE, Tree

SCRIPT = """
import gc, inspect, json, sys, time
import numpy as np, torch
import hypr
from hypr.learning import BPTT, HYPR, HYPRWindow
from hypr.neurons import ALIF, BRF, LI, LIF, SEAdLIF

torch.set_num_threads(1)
PLAIN = {key: False for key in ("boundary_spike", "readout_memory", "own_spike")
         if key in inspect.signature(HYPRWindow).parameters}
NEURONS = {"brf": BRF, "se_adlif": SEAdLIF, "alif": ALIF, "lif": LIF}
calls = []
for case, file in json.loads(sys.argv[1]):
    given = np.load(file)
    net = hypr.Network([NEURONS[case["neuron"]](case["inputs"], case["hidden"]), LI(case["hidden"], case["outputs"])])
    net.load_state_dict({key: torch.from_numpy(given[key]) for key in net.state_dict()})
    x, y = torch.from_numpy(given["x"]), torch.from_numpy(given["y"])
    if case["rule"] == "bptt":
        rule = BPTT(net)
    elif case["rule"] == "hypr":
        rule = HYPR(net, window=case["window"])
    else:
        rule = HYPRWindow(net, window=case["window"], **PLAIN)

    def call(net=net, rule=rule, x=x, y=y):
        net.zero_grad(set_to_none=True)
        rule.backward(x, y)

    call()
    np.savez(file.removesuffix(".npz") + sys.argv[2], **{key: p.grad.numpy() for key, p in net.named_parameters()
                                                         if p.grad is not None})
    calls.append(call)
print(json.dumps({"file": hypr.__file__}), flush=True)
gc.disable()
for line in sys.stdin:
    call, steps = calls[int(line.split()[0])], int(line.split()[1])
    call()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        call()
    print(json.dumps([(time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps]), flush=True)
"""

Row = dict[str, Any]

_NARROW = Case()  # QTDB: T 1300, batch 16, 4 -> 36
_WIDE = Case(steps=1300, batch=8, inputs=140, hidden=1024, outputs=20)
CASES: dict[str, list[Case]] = {
    "narrow": [
        *(replace(_NARROW, window=window) for window in (None, 130, 10)),
        replace(_NARROW, rule="hypr-window", window=130),
        replace(_NARROW, rule="bptt"),
        *(replace(_NARROW, neuron=neuron, window=130) for neuron in ("alif", "se_adlif", "lif")),
        *(replace(_NARROW, neuron=neuron, rule="bptt") for neuron in ("alif", "se_adlif", "lif")),
    ],
    "middle": [
        replace(_NARROW, steps=250, batch=32, inputs=140, hidden=256, outputs=20, rule=rule)
        for rule in ("hypr", "bptt")
    ],
    "wide": [replace(_WIDE, rule="hypr-window", window=window) for window in (None, 130)],
}


def compare_steps(cases: Sequence[Case], other: Path, launches: int, rounds: int, steps: int) -> list[Row]:
    """A row per case: least processor milliseconds of both trees, their ratio, and how far gradients are apart.

    Args:
        other: folder of the other tree.
        launches: how often both processes are started; the first to start changes.
        rounds: of each launch; in each of them both trees do ``steps`` steps of every case, one tree after the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [_given(case, Path(folder) / f"{number}") for number, case in enumerate(cases)]
        told = json.dumps([(asdict(case), str(file)) for case, file in zip(cases, files, strict=True)])
        least = [[float("inf")] * 2 for _ in cases]
        for launch in range(launches):
            places = enumerate((other.resolve(), HERE))
            trees = {n: Tree(path, SCRIPT, [told, f".{n}.npz"]) for n, path in sorted(places, reverse=launch % 2 == 1)}
            try:
                for _, n, (which, tree) in product(range(rounds), range(len(cases)), trees.items()):
                    least[n][which] = min(least[n][which], 1e3 * tree.time(f"{n} {steps}")[1])
            finally:
                for tree in trees.values():
                    tree.close()
        rows: list[Row] = []
        for case, file, (theirs, ours) in zip(cases, files, least, strict=True):
            name = f"{case.neuron} {case.inputs} -> {case.hidden} {case.name().split(' ', 1)[1]}"
            apart = _apart(*(file.with_suffix(f".{n}.npz") for n in range(2)))
            rows.append({"step": name, "theirs_ms": theirs, "ours_ms": ours, "ratio": ours / theirs, "apart": apart})
    return rows


def _given(case: Case, stem: Path) -> Path:
    """A file with weights, inputs and classes."""
    (x, y), file = batch(case), stem.with_suffix(".npz")
    weights = {key: value.numpy() for key, value in network(case, x).state_dict().items()}
    np.savez(file, x=x.numpy(), y=y.numpy(), **weights)
    return file


def _apart(first: Path, second: Path) -> float:
    """Largest difference of gradients, relative to the largest gradient of its tensor."""
    with np.load(first) as one, np.load(second) as other:
        if set(one) != set(other):
            raise SystemExit("benchmarks.steps: the trees have gradients for other parameters")
        return max(float(np.abs(one[key] - other[key]).max() / max(np.abs(one[key]).max(), 1e-30)) for key in one)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints the table, writes JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.steps", description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, metavar="TREE", help="folder of the other checkout")
    parser.add_argument("--cases", type=names_of(CASES), default="narrow,middle,wide", help=f"of {', '.join(CASES)}")
    parser.add_argument("--launches", type=int, default=4, help="how often both processes are started")
    parser.add_argument("--rounds", type=int, default=10, help="of each launch")
    parser.add_argument("--steps", type=int, default=4, help="per round and tree (wide: 1)")
    parser.add_argument("--json", type=json_file, metavar="FILE.json", help="write all figures to this file")
    options = parser.parse_args(arguments)
    if not (options.against / "hypr").is_dir():
        parser.error(f"--against {options.against}: no checkout, it has no folder hypr")
    torch.set_num_threads(1)
    print(machine())
    print("| step | theirs, ms | ours, ms | ratio | gradients apart |\n|---|---|---|---|---|")
    rows = []
    for name in options.cases:
        steps = 1 if name == "wide" else options.steps
        for row in compare_steps(CASES[name], options.against, options.launches, options.rounds, steps):
            times = " | ".join(f"{row[key]:.2f}" for key in ("theirs_ms", "ours_ms", "ratio"))
            print(f"| {row['step']} | {times} | {row['apart']:.1e} |")
            rows.append(row)
    if options.json:
        write_json(options.json, {"machine": machine(), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
