"""Peak memory of one training step against the length of the sequence, each length in a process of its own.

python -m benchmarks.memory --rules hypr,bptt --steps 1000,4000,16000 --plot memory.png
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import json_file, names_of, numbers_from, png_file
from benchmarks.output import pyplot, save_figure, write_json
from benchmarks.timing import machine
from benchmarks.training import RULES, WINDOWED, Case, batch, network

Row = dict[str, Any]
"""rule, steps, peak_mib above the baseline, and inputs_and_outputs_mib contained in it."""


def peak_mib() -> float:
    """Largest resident size of this process so far in MiB.

    Linux counts into ru_maxrss what the parent occupied when it forked; VmHWM begins with the new program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10  # kB there means KiB
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value / 2**20 if sys.platform == "darwin" else value / 2**10


def measure(case: Case) -> dict[str, float]:
    """MiB of one step, inputs and outputs included, above the baseline after imports and a step of 10 time steps."""
    x, y = batch(Case(case.neuron, case.rule, case.window, 10, 1, case.inputs, case.hidden, case.outputs))
    RULES[case.rule](network(case, x), case.window).backward(x, y)
    baseline = peak_mib()
    x, y = batch(case)
    net = network(case, x[:1, :100])
    RULES[case.rule](net, case.window).backward(x, y)
    data = (x.numel() * 4 + y.numel() * 8 + case.steps * case.batch * case.outputs * 4) / 2**20
    return {"peak_mib": peak_mib() - baseline, "inputs_and_outputs_mib": data}


def in_own_process(rule: str, steps: int, options: argparse.Namespace) -> Row:
    """One measurement: the peak of a process only ever rises, so each needs a new one."""
    sizes = [f"--{name}={getattr(options, name)}" for name in ("window", "hidden", "batch")]
    command = [sys.executable, "-m", "benchmarks.memory", f"--one={rule},{steps}", *sizes]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        raise SystemExit(f"benchmarks.memory: {rule} at T = {steps}: {reason}")
    return {"rule": rule, "steps": steps, **json.loads(done.stdout)}


def growth(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """By rule: bytes per time step, of the peak and of the inputs and outputs in it, from the shortest to the longest
    sequence. Nothing for a rule with one length.
    """
    result = {}
    for rule in dict.fromkeys(row["rule"] for row in rows):
        own = sorted((row for row in rows if row["rule"] == rule), key=lambda row: row["steps"])
        first, last, more = own[0], own[-1], own[-1]["steps"] - own[0]["steps"]
        if more > 0:
            names = ("peak_mib", "inputs_and_outputs_mib")
            result[rule] = tuple((last[name] - first[name]) * 2**20 / more for name in names)
    return result


def draw(rows: Sequence[Row], path: Path) -> None:
    """Peak against length, one line per rule, both axes logarithmic (PNG)."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")
    for rule in dict.fromkeys(row["rule"] for row in rows):
        own = sorted((row for row in rows if row["rule"] == rule), key=lambda row: row["steps"])
        axes.plot([row["steps"] for row in own], [row["peak_mib"] for row in own], "o-", label=rule)
    data = sorted({row["steps"]: row["inputs_and_outputs_mib"] for row in rows}.items())
    axes.plot(*zip(*data, strict=True), "k:", label="inputs, targets and outputs alone")
    axes.set(xscale="log", yscale="log", xlabel="time steps", ylabel="peak memory of one update, MiB above baseline")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; one line per rule and length."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rules", type=names_of(RULES), default="hypr,bptt", help=f"comma-separated, of {', '.join(RULES)}"
    )
    parser.add_argument("--steps", type=numbers_from(1), default="1000,4000,16000", help="comma-separated lengths T")
    parser.add_argument("--window", type=int, default=100, help="of the rules that have one")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--json", type=json_file, metavar="FILE.json", help="write all figures to this file")
    parser.add_argument("--plot", type=png_file, metavar="FILE.png", help="write peak against length to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # rule,steps: the measurement of in_own_process
    options = parser.parse_args(arguments)
    if options.one:
        rule, steps = options.one.split(",")
        window = options.window if rule in WINDOWED else None
        case = Case(rule=rule, window=window, steps=int(steps), batch=options.batch, hidden=options.hidden)
        print(json.dumps(measure(case)))
        return 0
    rows: list[Row] = []
    print("| rule | T | peak above baseline MiB | of it inputs, targets, outputs MiB |\n|---|---|---|---|")
    for rule in options.rules:
        for steps in options.steps:
            row = in_own_process(rule, steps, options)
            rows.append(row)
            print(f"| {rule} | {steps} | {row['peak_mib']:.0f} | {row['inputs_and_outputs_mib']:.1f} |", flush=True)
    for rule, (peak, data) in growth(rows).items():
        print(f"{rule}: {peak:.0f} bytes per time step, inputs, targets and outputs take {data:.0f} of them")
    if options.json:
        write_json(options.json, {"machine": machine(), "rows": rows, "bytes_per_step": growth(rows)})
    if options.plot:
        draw(rows, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
