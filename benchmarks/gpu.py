"""Training steps on a GPU: time, memory and distance to the roofline of every rule, after a check of their gradients.

python -m benchmarks.gpu --out gpu.json

Sizes: ``shd`` (140-256-20, 250 steps, batch 256) and ``long`` (1024 neurons, 10,000 steps). The roof of a row is the
time that its bytes and float32 operations would take at the copy bandwidth and the matrix-product rate measured on the
same device in the same run. ``eprop`` goes step by step, so it is measured on a few steps and scaled to the whole
sequence; such figures are marked. The whole flow has run on a CPU with Triton's interpreter (a test does so); no figure
of a GPU has been taken with it yet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

import hypr
from hypr.kernels import dispatch, reference
from hypr.kernels.gpu import plan as gpu_plan
from hypr.kernels.types import Boundary, LayerGradient, LayerTrajectory
from hypr.learning.rule import Rule
from hypr.neurons import Neuron

LIMIT_DOUBLE = 1e-9
"""Relative, of whole gradients in float64: sums over some hundred steps in another order."""
LIMIT_SINGLE = 1e-3
"""Relative, of one credit scan in float32 on the same trajectory: psi multiplies the rounding of a membrane by up to
its sharpness, and sums run over samples and steps."""
LIMIT_FLIPPED = 1e-3
"""Share of spikes that rounding may turn in float32; one turned spike changes those after it."""

RULES: dict[str, Callable[[hypr.Network, int | None], Rule]] = {
    "hypr": lambda net, window: hypr.HYPR(net, window=window),
    "hypr-window": lambda net, window: hypr.HYPRWindow(net, window=window),
    "bptt": lambda net, window: hypr.BPTT(net),
    "eprop": lambda net, window: hypr.EProp(net),
}


_LEAST_RATE = 0.01
_MOST_DOUBLINGS = 16


@dataclass(frozen=True)
class Size:
    """One network and batch; ``window`` of the windowed rules (None: the whole sequence)."""

    name: str
    inputs: int
    hidden: int
    outputs: int
    steps: int
    batch: int
    window: int | None
    variant: str = "euler"


SIZES = {
    "shd": Size("shd", 140, 256, 20, 250, 256, None),
    "long": Size("long", 15, 1024, 2, 10_000, 128, 100, "exponential"),
}


@dataclass(frozen=True)
class Roof:
    """What the device was seen to do: bytes per second of a copy, float32 operations per second of a matrix product."""

    bytes_per_s: float
    operations_per_s: float


@dataclass(frozen=True)
class Row:
    """One rule at one size; times in seconds per training step (forward, gradients), memory above the baseline."""

    size: str
    rule: str
    window: int | None
    median_s: float
    least_s: float
    most_s: float
    peak_mib: float
    roof_s: float
    scaled: bool


def network(size: Size, device: torch.device, seed: int = 0) -> hypr.Network:
    """BRF layer and leaky readout; input weights are doubled until a percent of the steps holds a spike."""
    generator = torch.Generator().manual_seed(seed)
    ranges = {"omega_range": (5.0, 10.0), "b_range": (2.0, 3.0)}
    if size.variant == "exponential":
        ranges = {"omega_range": (0.01, 10.0), "b_range": (1e-3, 1e-1)}
    hidden = hypr.BRF(size.inputs, size.hidden, variant=size.variant, generator=generator, **ranges)
    net = hypr.Network([hidden, hypr.LI(size.hidden, size.outputs, generator=generator)])
    x, _ = data(replace(size, batch=2, steps=min(size.steps, 100)), torch.device("cpu"))
    with dispatch.use("reference"):
        for _ in range(_MOST_DOUBLINGS):
            if net.trajectory(x)["hidden0"].spikes.mean() >= _LEAST_RATE:
                break
            hidden.weight.data *= 2.0
    return net.to(device)


def data(size: Size, device: torch.device, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Spikes (B, T, inputs) at 5 percent and classes (B,)."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(size.batch, size.steps, size.inputs, generator=generator) < 0.05).float()
    return x.to(device), torch.randint(size.outputs, (size.batch,), generator=generator).to(device)


def check(device: torch.device, choice: str, small: bool = False) -> dict[str, float]:
    """Kernels against the reference: relative differences by case. Whole gradients in float64, where no spike turns by
    rounding; in float32 spikes, and the credit of one trajectory.

    Raises:
        SystemExit: one is above its limit, or a network that does not spike.
    """
    found: dict[str, float] = {}
    base = Size("check", 5, 7 if small else 300, 3, 9 if small else 150, 2 if small else 37, 5 if small else 60)
    for size in (base, replace(base, variant="exponential")):
        x, y = data(size, device)
        net = network(size, device).double()
        for rule in ("hypr", "hypr-window", "bptt"):
            expected = _gradients(net, rule, size, x, y, "reference")
            for route in ("whole", "steps"):
                with gpu_plan.use(route):
                    value = _worst(_gradients(net, rule, size, x, y, choice), expected)
                _accept(found, f"{size.variant} {rule} {route} float64", value, LIMIT_DOUBLE)
        for route in ("whole", "steps"):
            with gpu_plan.use(route):
                flipped, value = _single(network(size, device).layers[0], x.transpose(0, 1).contiguous(), choice)
            _accept(found, f"{size.variant} spikes {route} float32", flipped, LIMIT_FLIPPED)
            _accept(found, f"{size.variant} credit {route} float32", value, LIMIT_SINGLE)
    return found


def _accept(found: dict[str, float], name: str, value: float, limit: float) -> None:
    found[name] = value
    if not value <= limit:  # not a number is refused too
        raise SystemExit(
            f"benchmarks.gpu: {name} differs from the reference by {value:.2e}, limit {limit:.0e}; no time is worth "
            "measuring. Report it with the device and versions."
        )


@torch.no_grad()
def _single(layer: Neuron, pre: Tensor, choice: str) -> tuple[float, float]:
    """Share of spikes that differ, and worst relative difference of the credit in full mode."""
    batch, n = pre.shape[1], layer.n
    start = pre.new_zeros(batch, len(layer.state_names), n), pre.new_zeros(batch, n)
    trajectory = reference.run_layer(layer, pre, *start)
    if not bool(trajectory.spikes.any()):
        raise SystemExit("benchmarks.gpu: the network of the check does not spike, so it proves nothing")
    dz = torch.randn(trajectory.current.shape, generator=torch.Generator().manual_seed(2)).to(pre)
    with dispatch.use(choice):
        spikes = dispatch.run_layer(layer, pre, *start).spikes
        found = _credit(layer, trajectory, dz)
    with dispatch.use("reference"):
        expected = _credit(layer, trajectory, dz)
    return float((spikes != trajectory.spikes).double().mean()), _worst(found, expected)


def _credit(layer: Neuron, trajectory: LayerTrajectory, dz: Tensor) -> dict[str, Tensor]:
    """All that the P-stage of a window in full mode gives, by name."""
    gradient = LayerGradient()
    credit = dispatch.credit_window(layer, trajectory, dz, gradient, "full", Boundary(onward=True), "whole")
    assert credit.down is not None and credit.after is not None
    return {"down": credit.down, "start": credit.adjoint_start, "carried": credit.after.weight, **gradient.sums}


def roof(device: torch.device, edge: int = 4096) -> Roof:
    """Copy bandwidth and float32 matrix-product rate (TF32 as torch has it, off by default)."""
    a, b = torch.rand(edge, edge, device=device), torch.rand(edge, edge, device=device)
    source, target = torch.rand(8 * edge, edge, device=device), torch.empty(8 * edge, edge, device=device)
    product = min(_times(lambda: a @ b, device, 5))
    copy = min(_times(lambda: target.copy_(source), device, 5))
    return Roof(2 * 4 * source.numel() / copy, 2.0 * edge**3 / product)


def least_seconds(size: Size, rule: str, roof: Roof) -> float:
    """Time at the roof: every recorded number written once and read once by the P-stage, every product done once.

    Counted: forward (drive, recurrent product; states, spikes, current), credit (its reads, dL/dI; in full mode the
    recurrent product back), weight gradients, and per window the eligibilities: one read, one write and the products
    over time. ``eprop`` carries eligibilities at every step.
    """
    d, n, steps, batch = 3, size.hidden, size.steps, size.batch
    synapses = n * (size.inputs + n)
    window = {"bptt": None, "eprop": 1}.get(rule, size.window)
    windows = -(-steps // (window or steps))
    full = rule in ("bptt", "hypr-window")
    operations = 2.0 * steps * batch * (synapses + synapses + (n * n if full else 0))
    numbers = steps * batch * n * ((d + 3) + (d + 2 + 1) + (1 if full else 2) + 1)
    if windows > 1:
        operations += 2.0 * steps * batch * d * synapses
        numbers += (windows - 1) * 2 * batch * d * synapses
    return max(4.0 * numbers / roof.bytes_per_s, operations / roof.operations_per_s)


def measure(size: Size, rules: Sequence[str], device: torch.device, choice: str, repeats: int, few: int) -> list[Row]:
    """Rules at one size, interleaved, ``repeats`` times each after a warm-up."""
    ceiling = roof(device, 4096 if device.type == "cuda" else 64)
    x, y = data(size, device)
    net = network(size, device)
    cut = {rule: few if rule == "eprop" else size.steps for rule in rules}
    times: dict[str, list[float]] = {rule: [] for rule in rules}
    peaks: dict[str, float] = {}
    with dispatch.use(choice):
        for attempt in range(repeats + 1):
            for rule in rules:
                step = RULES[rule](net, size.window)
                net.zero_grad(set_to_none=True)
                baseline = _reset_peak(device)
                part = x[:, : cut[rule]]
                seconds = _times(lambda step=step, part=part: step.backward(part, y), device, 1)[0]  # type: ignore[misc]
                peaks[rule] = _peak(device) - baseline
                if attempt:
                    times[rule].append(seconds * size.steps / cut[rule])
    return [
        Row(
            size.name, rule, size.window if rule in ("hypr", "hypr-window") else None, statistics.median(times[rule]),
            min(times[rule]), max(times[rule]), peaks[rule], least_seconds(size, rule, ceiling),
            cut[rule] != size.steps,
        )
        for rule in rules
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| size | rule | window | median ms | least to most | peak MiB | roof ms | of the roof | eprop / this |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    slow = {row.size: row.median_s for row in rows if row.rule == "eprop"}
    for row in rows:
        ratio = f"{slow[row.size] / row.median_s:.1f}" if row.size in slow else ""
        mark = " (scaled)" if row.scaled else ""
        lines.append(
            f"| {row.size} | {row.rule} | {row.window or 'all'} | {1e3 * row.median_s:.2f}{mark} | "
            f"{1e3 * row.least_s:.2f} to {1e3 * row.most_s:.2f} | {row.peak_mib:.0f} | {1e3 * row.roof_s:.2f} | "
            f"{row.roof_s / row.median_s:.1%} | {ratio} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="shd,long", help="of " + ", ".join(SIZES))
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--eprop-steps", type=int, default=20, help="steps on which eprop is measured")
    parser.add_argument("--long-batch", type=int, default=128, help="smaller where bptt does not fit the memory")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(
            f"benchmarks.gpu: needs a CUDA GPU, torch {torch.__version__} sees none; run it on a GPU host with a CUDA "
            "build of torch (CPU figures: python -m benchmarks.training)",
            file=sys.stderr,
        )
        return 2
    device = torch.device("cuda")
    print(f"gradients against the reference on {torch.cuda.get_device_name()}", flush=True)
    checked = check(device, "compiled")
    print("\n".join(f"  {name}: {value:.1e}" for name, value in checked.items()), flush=True)
    rows: list[Row] = []
    for name in options.sizes.split(","):
        size = replace(SIZES[name], batch=options.long_batch) if name == "long" else SIZES[name]
        rows += measure(size, options.rules.split(","), device, "compiled", options.repeats, options.eprop_steps)
    print(table(rows))
    if options.out:
        options.out.write_text(json.dumps(report(rows, checked), indent=1) + "\n")
    return 0


def report(rows: Sequence[Row], checked: dict[str, float]) -> dict[str, object]:
    """Everything as plain JSON, with device, versions and date."""
    import triton

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "gradient_differences": checked,
        "rows": [asdict(row) for row in rows],
    }


def _gradients(net: hypr.Network, rule: str, size: Size, x: Tensor, y: Tensor, choice: str) -> dict[str, Tensor]:
    net.zero_grad(set_to_none=True)
    with dispatch.use(choice):
        RULES[rule](net, size.window).backward(x, y)
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def _worst(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest difference of any gradient, relative to the largest entry of the same parameter's."""
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp(min=1e-30))
        for name, value in expected.items()
    )


def _times(run: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Seconds of each run, device work included."""
    seconds = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device) / 2**20


def _peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0


if __name__ == "__main__":
    sys.exit(main())
