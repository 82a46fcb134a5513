"""What the integers are: formats, what quantization lost, weights and states, and what can saturate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.quantization.dequantize import formats_of
from export.quantization.tensors import weight_limit
from hardware.populations import Projection
from hardware.program import Program
from hardware.synapses import Convolution
from hardware.trace import Trace
from hypr.deployment.deploy import state_ranges
from hypr.report import distributions
from hypr.report.comparison import unit_text
from hypr.report.page import Cell, Part, Picture, Table
from hypr.report.recorded import Findings

MOST_HISTOGRAMS = 9


def stored(projection: Projection) -> np.ndarray:
    """Mantissas that are stored: all of a dense matrix, those of a kernel or of the listed synapses."""
    synapses = projection.synapses
    return synapses.kernel if isinstance(synapses, Convolution) else synapses.weight


def integers(program: Program, seen: Trace | None) -> Part:
    """Formats, weights, and what states can reach.

    Args:
        seen: the emulator's trace of some test sequences with all states, or None.
    """
    rows = []
    for layer, form in zip(program.populations, formats_of(program), strict=True):
        into = program.into(layer.name)
        rows.append(
            (
                layer.name,
                layer.model,
                str(layer.size),
                "; ".join(_synapses(projection) for projection in into) or "-",
                ", ".join(sorted({str(projection.synapses.weight_bits) for projection in into})) or "-",
                str(layer.coefficient_bits),
                unit_text(form.unit),
            )
        )
    columns = ("layer", "model", "neurons", "synapses from", "weight bits", "coefficient bits", "one state unit")
    checked = [
        (r["layer"], r["state"], _bound(r["low"]), _bound(r["high"]), _seen(r["observed"]), _saturates(r["unproved"]))
        for r in state_ranges(program, seen)
    ]
    names = ("layer", "state", "lowest possible", "highest possible", "seen in test sequences", "can saturate")
    return Part(
        "The integers",
        _accepted(program),
        [Table(columns, rows, right=(2, 4, 5)), Table(names, checked, right=(2, 3, 4))],
        _pictures(program, seen),
    )


def _pictures(program: Program, seen: Trace | None) -> list[Picture]:
    drawn = []
    histograms = [(item.name, stored(item), weight_limit(item.synapses.weight_bits)) for item in program.projections][
        :MOST_HISTOGRAMS
    ]
    if histograms:
        drawn.append(Picture(distributions.weights(histograms), "integer weights of each projection"))
    if seen is not None and seen.states:
        named = {f"{key.split('/')[1]}: {key.split('/')[0]}": value for key, value in seen.states.items()}
        drawn.append(Picture(distributions.bits(named), "a state that needs all 24 bits sits at its limit"))
    return drawn


def _accepted(program: Program) -> str:
    inputs = []
    for item in program.inputs:
        kind = "spikes" if (item.low, item.high) == (0, 1) else f"whole numbers from {item.low} to {item.high}"
        inputs.append(f"{item.size} channels of {kind}" + (f" ('{item.name}')" if len(program.inputs) > 1 else ""))
    rule = {
        "per_step": "at every step it decides for the largest output",
        "sum": "it decides for the output with the largest sum over the steps",
        "spike_count": "it decides for the output that spikes most",
    }[program.decision.rule]
    ignored = program.decision.ignore_first
    skipped = f", the first {ignored} steps left out" if ignored else ""
    return (
        f"The network takes {' and '.join(inputs)}; {rule}{skipped}. States are 24 bits wide and saturate. "
        f"Specification {program.spec_version}."
    )


def _synapses(projection: Projection) -> str:
    """A projection in a few words: source, matrix, exponent, and what is not dense and immediate about it."""
    targets, sources = projection.synapses.shape
    kind = "" if projection.synapses.kind == "dense" else f" {projection.synapses.kind}"
    late = f", {projection.delay} steps late" if projection.delay > 1 else ", a step late" if projection.delay else ""
    return f"{projection.source}: {targets} x {sources}{kind}, times 2^{projection.exponent}{late}"


def _bound(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _seen(observed: tuple[int, int] | None) -> str:
    return "-" if observed is None else f"{observed[0]:,} to {observed[1]:,}"


def _saturates(unproved: int) -> str | Cell:
    return f"not excluded for {unproved} neurons" if unproved else Cell("never, proven", "good")


def quantization(findings: Findings) -> Part:
    """What became of each tensor when the network became integers."""
    tensors: list[Sequence[str | Cell]] = []
    layers: list[Sequence[str | Cell]] = []
    for layer in findings.layers:
        for name, tensor in layer.tensors.items():
            counts = [f"{count:,} ({_share(count, tensor.nonzero)})" for count in (tensor.lost, tensor.clipped)]
            tensors.append((f"{layer.name}: {name}", f"{tensor.nonzero:,}", *counts))
        errors = [entry.largest_error for entry in layer.decays.values()]
        gone = sum(entry.became_one + entry.became_zero for entry in layer.decays.values())
        at_limit = sum(entry.did for entry in layer.states.values())
        fired = layer.spikes
        layers.append(
            (
                layer.name,
                f"{100 * max(errors):.2g} %" if errors else "-",
                Cell(str(gone), "bad") if gone else "0",
                "-" if fired is None else f"{fired.float_rate:.4f}",
                "-" if fired is None or fired.integer_rate is None else f"{fired.integer_rate:.4f}",
                Cell(f"{at_limit:,}", "bad") if at_limit else "0",
            )
        )
    columns = (
        "layer",
        "largest error of a time constant",
        "leaks lost",
        "spikes per step, float",
        "integers",
        "values at the 24-bit limit",
    )
    return Part(
        "What quantization did",
        "Counted on the calibration inputs when the network became integers.",
        [
            Table(("weights", "not zero in float", "became 0", "clipped"), tensors, right=(1, 2, 3)),
            Table(columns, layers, right=(1, 2, 3, 4, 5)),
        ],
        notes=[f"Warning: {line}" for line in findings.warnings],
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def count_synapses(program: Program) -> int:
    """Stored synapses of the whole network."""
    return int(np.sum([stored(item).size for item in program.projections]))
