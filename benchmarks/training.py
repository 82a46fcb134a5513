"""Time of one training step (forward and gradients, without the optimiser) of every rule, compiled and reference.

    taskset -c 0 python -m benchmarks.training            the QTDB ECG step by every rule, and every neuron at its size
    python -m benchmarks.training --neurons brf,alif --rules hypr,bptt --steps 1300,250 --windows 0,130 --json out.json

Inputs are random spikes at the rate of the QTDB data (or those data themselves, where ``--data`` names the folder);
weights are scaled until the neurons fire at ``--rate``, because event-driven kernels take longer for more spikes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hypr
from benchmarks import peers
from benchmarks.options import json_file, names_of, numbers_from, png_file
from benchmarks.output import pyplot, save_figure, write_json
from benchmarks.timing import Timing, as_dictionary, interleave, machine
from hypr.kernels import dispatch
from hypr.learning import BPTT, HYPR, EProp, HYPRWindow
from hypr.learning.rule import Rule
from hypr.neurons import ALIF, BRF, LI, LIF, CubaLIF, Neuron, SEAdLIF

NEURONS: dict[str, Callable[[int, int], Neuron]] = {
    "brf": lambda i, n: BRF(i, n),
    "brf-exponential": lambda i, n: BRF(i, n, variant="exponential"),
    "se_adlif": lambda i, n: SEAdLIF(i, n),
    "alif": lambda i, n: ALIF(i, n),
    "lif": lambda i, n: LIF(i, n),
    "cuba_lif": lambda i, n: CubaLIF(i, n),
}
RULES: dict[str, Callable[[hypr.Network, int | None], Rule]] = {
    "hypr": lambda net, window: HYPR(net, window=window),
    "hypr-window": lambda net, window: HYPRWindow(net, window=window),
    "hypr-window-plain": lambda net, window: HYPRWindow(
        net, window=window, boundary_spike=False, readout_memory=False, own_spike=False
    ),
    "bptt": lambda net, window: BPTT(net),
    "eprop": lambda net, window: EProp(net),
}
WINDOWED = ("hypr", "hypr-window", "hypr-window-plain")
PEER = "peer "


@dataclass(frozen=True)
class Case:
    """One training step: neuron, rule, window (None: whole sequence), and the sizes of network and batch."""

    neuron: str = "brf"
    rule: str = "hypr"
    window: int | None = None
    steps: int = 1300
    batch: int = 16
    inputs: int = 4
    hidden: int = 36
    outputs: int = 6
    rate: float = 0.1

    def name(self) -> str:
        return f"{self.neuron} T={self.steps} {self.rule}" + (f" window={self.window}" if self.window else "")


def network(case: Case, x: Tensor, seed: int = 0) -> hypr.Network:
    """Network whose hidden neurons fire at about ``case.rate`` per step on x."""
    torch.manual_seed(seed)
    net = hypr.Network([NEURONS[case.neuron](case.inputs, case.hidden), LI(case.hidden, case.outputs)])
    hidden = net.layers[0]
    for _ in range(40):
        rate = float(net.trajectory(x[:, :200])["hidden0"].spikes[1:].mean())
        if 0.8 * case.rate < rate < 1.25 * case.rate:
            break
        with torch.no_grad():
            for weight in (hidden.weight, hidden.recurrent_weight):
                weight.mul_(1.25 if rate < case.rate else 0.85)
    return net


def batch(case: Case, seed: int = 1, data: Path | None = None) -> tuple[Tensor, Tensor]:
    """x (B, T, n_in) and class per step (B, T): QTDB sequences of a folder, or random spikes at their rate."""
    if data is not None:
        from scipy.io import loadmat

        loaded = loadmat(str(data / "QTDB_train.mat"))
        x = torch.from_numpy(loaded["x"][: case.batch, : case.steps].astype("float32"))
        return x, torch.from_numpy(loaded["y"][: case.batch, : case.steps].argmax(-1))
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(case.batch, case.steps, case.inputs, generator=generator) < 0.08).float()
    return x, torch.randint(0, case.outputs, (case.batch, case.steps), generator=generator)


def step(case: Case, kernels: str, data: Path | None = None) -> tuple[Callable[[], Tensor], float]:
    """A call that does one training step with the chosen kernels, and the firing rate it has."""
    x, y = batch(case, data=data)
    net = network(case, x)
    rule = RULES[case.rule](net, case.window)

    def call() -> Tensor:
        net.zero_grad(set_to_none=True)
        with dispatch.use(kernels) if kernels != "auto" else nullcontext():
            return rule.backward(x, y)

    return call, float(net.trajectory(x)["hidden0"].spikes[1:].mean())


def run(
    cases: Sequence[Case],
    repeats: int,
    seconds: float,
    reference: bool,
    data: Path | None = None,
    with_peers: bool = False,
) -> dict[str, Any]:
    """All cases interleaved, compiled and, if wanted, by the reference and by other frameworks; plain data."""
    calls, rates, compile_seconds = {}, {}, {}
    for case in cases:
        for kernels in ("compiled", "reference") if reference else ("compiled",):
            # eprop has no compiled form: it is the plain step-by-step baseline.
            call, rate = step(case, "auto" if case.rule == "eprop" else kernels, data)
            if case.rule == "eprop" and kernels == "reference":
                continue
            calls[f"{case.name()} | {kernels if case.rule != 'eprop' else 'reference'}"] = call
            rates[case.name()] = rate
    for name, build in peers.available().items() if with_peers else ():
        x, y = batch(cases[0], data=data)
        peer = build(x, y, cases[0].hidden, cases[0].outputs)
        calls[f"{PEER}{name}"] = peer.call
        if peer.compile_seconds is not None:
            compile_seconds[f"{PEER}{name}"] = peer.compile_seconds
    timings = as_dictionary(interleave(calls, repeats, seconds))
    return {"machine": machine(), "rates": rates, "timings": timings, "compile_seconds": compile_seconds}


def peer_table(timings: dict[str, dict[str, Any]], compile_seconds: dict[str, float]) -> str:
    """Markdown: BPTT steps of other frameworks, and how many steps of ours fit into one of theirs.

    Args:
        timings: by name, ours and theirs, as ``run`` returns them.
        compile_seconds: time of compiling a peer's step ahead, by the same name; it is in none of the other columns.
    """
    ours = {name.split(" | ")[0]: _timing(value) for name, value in timings.items() if name.endswith("| compiled")}
    shown = {name: timing for name, timing in ours.items() if timing is not None and " lif " in f" {name} "}
    heads = ["BPTT step of", "least ms", "cpu ms", "compile s", *(f"times {name}" for name in shown)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, value in timings.items():
        theirs = _timing(value) if name.startswith(PEER) else None
        if theirs is not None:
            compiled = f"{compile_seconds[name]:.2f}" if name in compile_seconds else ""
            cells = [name.removeprefix(PEER), f"{1e3 * theirs.least:.1f}", f"{1e3 * theirs.cpu:.1f}", compiled]
            cells += [f"{theirs.least / timing.least:.1f}" for timing in shown.values()]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(timings: dict[str, dict[str, Any]], path: Path) -> None:
    """Bar chart (PNG) of the least wall time of every step, slowest on top, milliseconds on a logarithmic axis.

    Raises:
        ExportError: the folder of ``path`` does not exist or cannot be written.
    """
    from matplotlib.patches import Patch

    kinds = {"ours, compiled": "#2f6f9f", "ours, reference": "#9db8cc", "other frameworks, BPTT": "#c9803a"}
    ours, reference, theirs = kinds
    rows = sorted((1e3 * values["least"], name) for name, values in timings.items())
    kind = [theirs if name.startswith(PEER) else ours if name.endswith("| compiled") else reference for _, name in rows]
    labels = [name.removeprefix(PEER).replace(" | reference", ", reference").split(" | ")[0] for _, name in rows]
    figure, axes = pyplot().subplots(figsize=(8, 0.36 * len(rows) + 1.4), layout="constrained")
    places = range(len(rows))  # not the labels: two rows may bear the same one
    axes.barh(places, [least for least, _ in rows], color=[kinds[one] for one in kind])
    axes.set_yticks(places, labels)
    scale = "log" if rows[-1][0] > 10 * rows[0][0] else "linear"  # a log axis makes near times look far apart
    axes.set(xscale=scale, xlabel=f"least wall time of one training step, ms ({scale} scale)")
    for place, (least, _) in enumerate(rows):
        axes.text(least, place, f" {least:.3g}" if least < 1000 else f" {least:.0f}", va="center")
    axes.margins(x=0.12, y=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    shown = [one for one in kinds if one in kind]
    if len(shown) > 1:
        axes.legend(handles=[Patch(color=kinds[one], label=one) for one in shown], loc="lower right")
    save_figure(figure, path)


def table(timings: dict[str, dict[str, Any]], rates: dict[str, float]) -> str:
    """Markdown: one line per case, milliseconds, and the ratio of reference to compiled."""
    lines = [
        "| step | rate | least ms | median ms | quartiles ms | cpu ms | first s | reference ms | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rate in rates.items():
        found = {kernels: _timing(timings.get(f"{name} | {kernels}")) for kernels in ("compiled", "reference")}
        one, other = found["compiled"] or found["reference"], found["reference"]
        if one is None:
            continue
        low, high = (1e3 * value for value in one.quartiles)
        line = f"| {name} | {rate:.3f} | {1e3 * one.least:.1f} | {1e3 * one.median:.1f} | {low:.1f} to {high:.1f} "
        line += f"| {1e3 * one.cpu:.1f} | {one.first:.2f} "
        line += f"| {1e3 * other.least:.0f} | {other.least / one.least:.1f} |" if other else "| | |"
        lines.append(line)
    return "\n".join(lines)


def _timing(values: dict[str, Any] | None) -> Timing | None:
    return None if values is None else Timing(**{**values, "quartiles": tuple(values["quartiles"])})


def default_cases() -> list[Case]:
    """The QTDB step by every rule and window, and the other neurons with the same sizes."""
    base = Case()
    cases = [replace(base, window=window) for window in (None, 130, 50, 10)]
    cases += [replace(base, rule="hypr-window", window=130), replace(base, rule="bptt"), replace(base, rule="eprop")]
    for neuron in NEURONS:
        if neuron != "brf":
            cases += [replace(base, neuron=neuron, rule=rule) for rule in ("hypr", "bptt")]
            cases += [replace(base, neuron=neuron, window=130)]
    return cases


def _cases(options: argparse.Namespace) -> list[Case]:
    if not options.neurons:
        return [replace(case, rate=options.rate) for case in default_cases()]
    cases = []
    for neuron in options.neurons:
        for rule in options.rules:
            for steps in options.steps:
                windows = [window or None for window in options.windows] if rule in WINDOWED else [None]
                cases += [Case(neuron, rule, window, steps, options.batch, rate=options.rate) for window in windows]
    return cases


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints the table, writes JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--neurons",
        type=names_of(NEURONS),
        default=[],
        help=f"comma-separated, of {', '.join(NEURONS)}; none: the default cases",
    )
    parser.add_argument(
        "--rules",
        type=names_of(RULES),
        default="hypr,bptt",
        help=f"comma-separated, of {', '.join(RULES)} (with --neurons, as the next two)",
    )
    parser.add_argument("--steps", type=numbers_from(1), default="1300", help="comma-separated lengths T")
    parser.add_argument(
        "--windows", type=numbers_from(0), default="0,130", help="comma-separated, 0 is the whole sequence"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--rate", type=float, default=0.1, help="spikes per neuron and step (trained on QTDB: 0.1 to 0.2)"
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0, help="time after which a slow case stops repeating")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reference", action="store_true", help="time the reference kernels too")
    parser.add_argument("--peers", action="store_true", help="time BPTT of the other frameworks that are installed")
    parser.add_argument(
        "--data", type=Path, help="folder with QTDB_train.mat; random spikes of the same rate without it"
    )
    parser.add_argument("--json", type=json_file, metavar="FILE.json", help="write all figures to this file")
    parser.add_argument(
        "--plot", type=png_file, metavar="FILE.png", help="write a bar chart of the step times to this file"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    result = run(_cases(options), options.repeats, options.seconds, options.reference, options.data, options.peers)
    print(json.dumps(result["machine"]))
    print(table(result["timings"], result["rates"]))
    if options.peers:
        print(peer_table(result["timings"], result["compile_seconds"]))
        if peers.missing():
            print(f"left out, not installed: {', '.join(peers.missing())} (pip install 'hypr[bench]')")
    if options.plot:
        draw(result["timings"], options.plot)
    if options.json:
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
