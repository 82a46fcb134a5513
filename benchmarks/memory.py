"""Peak memory of one training step against the length of the sequence, each length in a process of its own.

python -m benchmarks.memory --rules hypr,bptt --steps 1000,4000,16000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.training import RULES, WINDOWED, Case, batch, network


def peak_mib() -> float:
    """Largest resident size of this process so far in MiB (ru_maxrss counts KiB on Linux, bytes on macOS)."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; one line per rule and length."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--rules", default="hypr,bptt")
    parser.add_argument("--steps", default="1000,4000,16000")
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--one", help="measure one case in this process: rule,steps")
    options = parser.parse_args(arguments)
    if options.one:
        rule, steps = options.one.split(",")
        window = options.window if rule in WINDOWED else None
        case = Case(rule=rule, window=window, steps=int(steps), batch=options.batch, hidden=options.hidden)
        print(json.dumps(measure(case)))
        return 0
    print("| rule | T | peak above baseline MiB | of it inputs, targets, outputs MiB |\n|---|---|---|---|")
    sizes = [f"--{name}={getattr(options, name)}" for name in ("window", "hidden", "batch")]
    for rule in options.rules.split(","):
        for steps in options.steps.split(","):
            command = [sys.executable, "-m", "benchmarks.memory", f"--one={rule},{steps}", *sizes]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"| {rule} | {steps} | {found['peak_mib']:.0f} | {found['inputs_and_outputs_mib']:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
