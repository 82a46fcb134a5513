"""A map as tables of text: the same ones in a terminal and in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardware.mapping import CONFIDENCES, Cost, Plan, planners_assumptions
from hypr.mapping.chip_map import ChipMap

MOST_CORES_NAMED = 6


@dataclass(frozen=True)
class TextTable:
    """Rows of text; columns whose index is in ``right`` are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()


def summary(plan: Plan) -> str:
    """One sentence: cores, chips, and how near that is to the fewest possible."""
    used, chips = len(plan.cores), plan.placed.chips
    text = f"{plan.target.title}: {counted(used, 'core')} on {counted(chips, 'chip')}"
    text += f"; no plan needs fewer than {counted(plan.bound, 'core')}"
    if plan.layer_by_layer:
        text += f" (layer by layer {plan.layer_by_layer}, equal slices merged {plan.merged})"
    return text


def populations(plan: Plan) -> TextTable:
    """What became of each population."""
    rows = []
    for item in plan.needs.program.populations:
        pieces = [(index, one) for index, core in enumerate(plan.cores) for one in core.slices]
        mine = [(index, one) for index, one in pieces if one.population == item.name]
        into = plan.needs.into[item.name]
        rows.append(
            (
                item.name,
                item.model,
                f"{item.size:,}",
                f"{sum(wiring.total for wiring in into):,}",
                ", ".join(sorted({wiring.kind for wiring in into})) or "-",
                f"{sum(one.demand.synapse_bits for _, one in mine) / 8192:,.1f}",
                f"{max((one.demand.input_axons for _, one in mine), default=0):,}",
                _named([index for index, _ in mine]) if mine else "none",
            )
        )
    columns = ("population", "model", "neurons", "synapses", "stored", "synapse KiB", "axons in, most", "on cores")
    return TextTable("Populations", columns, rows, right=(2, 3, 5, 6))


def fullest(plan: Plan) -> TextTable:
    """Every limit of a core that exists: the fullest core beside it."""
    rows = []
    amounts = [core.demand.amounts() for core in plan.cores]
    for name in amounts[0] if amounts else ():
        most = plan.target.most(name)
        if not most:
            continue
        limit, used = plan.target.limits[name], [each[name] for each in amounts]
        worst = max(range(len(used)), key=used.__getitem__)
        share = f"{100 * used[worst] / most:.0f} %"
        words = name.removesuffix("_per_core").replace("_", " ")
        rows.append((words, f"{used[worst]:,}", f"{most:,}", share, str(worst), limit.confidence, limit.source))
    columns = ("on a core", "most used", "limit", "full", "core", "confidence", "source of the limit")
    return TextTable("Limits of a core", columns, rows, right=(1, 2, 3, 4))


def violations(plan: Plan) -> TextTable:
    """All that does not fit."""
    rows = []
    for one in plan.violations:
        worst = "" if one.neuron is None else f" (neuron {one.neuron}; {one.neurons} in all)"
        words, unit = one.what.replace("_", " "), f" {one.unit}" if one.unit else ""
        rows.append((words, one.where, f"{_number(one.limit)}{unit}", _number(one.actual) + worst, one.fix))
    return TextTable("What does not fit", ("what", "where", "limit", "actual", "fix"), rows, right=())


def events(cost: Cost, plan: Plan) -> TextTable:
    """Events of a sample."""
    counts = cost.counts
    rows = [
        ("steps", counts.steps),
        ("input messages", counts.input_spikes),
        ("spikes of neurons", counts.spikes),
        *((f"synaptic operations, {kind}", value) for kind, value in counts.synops.items() if value),
        ("neuron updates", counts.updates),
        ("messages (spike, core)", counts.messages),
        ("messages that no plan saves", plan.least_messages * counts.steps),
        ("hops east-west", counts.hops[0]),
        ("hops north-south", counts.hops[1]),
        ("messages between chips", counts.between_chips),
        ("multiply-accumulates of the dense float network", counts.dense_macs),
    ]
    made = [(name, f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}") for name, value in rows]
    return TextTable(f"Events of one sample ({plan.activity.origin})", ("event", "number"), made, right=(1,))


def estimates(cost: Cost) -> TextTable:
    """Energy and time by every source, the dense float network last."""
    rows = []
    for one in cost.estimates:
        energy, idle = one.energy_uj, cost.idle_mj(one)
        parts = "-" if energy is None else ", ".join(f"{n} {_of(v, energy['total'])}" for n, v in _parts(energy))
        rows.append(
            (
                one.figures.title,
                one.figures.confidence,
                "-" if energy is None else figure(energy["total"]),
                parts,
                figure(one.step_us),
                figure(one.sample_ms),
                "-" if idle is None else "; ".join(f"{figure(value)} {name}" for name, value in idle.items()),
            )
        )
    dense = cost.describe()["dense_float_network"]
    rows.append(("dense float network, 45 nm", "C", figure(dense["energy_uj"]), "multiply-accumulates", "-", "-", "-"))
    columns = ("by", "confidence", "energy (uJ)", "of that", "step (us)", "sample (ms)", "idle energy (mJ)")
    return TextTable("Energy and time of one sample", columns, rows, right=(2, 4, 5))


def neurobench(found: ChipMap) -> TextTable:
    """NeuroBench's metrics, with what each counts."""
    values = found.data["neurobench"]
    operations = values.get("SynapticOperations", {})
    flat = {**values, **operations}
    rows = [
        (name, _metric(flat[name]), meaning)
        for name, meaning in _METRICS.items()
        if name in flat and flat[name] is not None
    ]
    return TextTable("NeuroBench 2.3", ("metric", "value", "per sample, of"), rows, right=(1,))


def sanafe(answer: Mapping[str, Any]) -> TextTable:
    """SANA-FE's estimate beside ours, per step."""
    rows = []
    for what, unit, ours, theirs in answer["rows"]:
        apart = f"{100 * (ours - theirs) / theirs:+.1f} %" if theirs else "-"
        rows.append((what + (f" ({unit})" if unit else ""), f"{ours:,.4g}", f"{theirs:,.4g}", apart))
    title = f"Beside SANA-FE {answer['version']}, per step ({answer['activity']})"
    return TextTable(title, ("what", "ours", "SANA-FE", "difference"), rows, right=(1, 2, 3))


def notes(found: ChipMap) -> list[str]:
    """What the figures leave out, and what is assumed; the sources of each limit are in the data and in reports."""
    left = [f"{one.figures.title} leaves out: {one.figures.leaves_out}." for one in found.cost.estimates]
    limits: dict[str, list[str]] = {}
    for one in found.plan.target.assumptions():
        limits.setdefault(one.confidence, []).append(f"{one.name} {'none' if one.value is None else one.value}")
    named = [f"Limits, {CONFIDENCES[how]} ({how}): {', '.join(values)}." for how, values in limits.items()]
    return left + named + [f"Assumed: {line}." for line in planners_assumptions(found.plan)]


_METRICS = {
    "Footprint": "bytes as stored: int8 weights, int32 biases and parameters, int32 indices",
    "FootprintPacked": "bytes with weights at their own width",
    "ParameterCount": "weights, biases, parameters of neurons",
    "ConnectionSparsity": "weights that are 0",
    "ActivationSparsity": "outputs of neurons that are 0; inputs left out",
    "ClassificationAccuracy": "right decisions on these samples",
    "Dense": "synaptic operations as if every input and weight were there",
    "Effective_ACs": "non-zero weight times spike",
    "Effective_MACs": "non-zero weight times graded value",
    "MembraneUpdates": "steps at which a membrane changed",
}


def counted(number: int, word: str) -> str:
    """``1 core``, ``2 cores``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def figure(value: float | None) -> str:
    """Three digits of a number, ``-`` where there is none."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _parts(energy: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in energy.items() if name != "total" and value]


def _of(value: float, total: float) -> str:
    share = 100 * value / total
    return f"{share:.0f} %" if share >= 1 else "< 1 %"


def _metric(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.4g}"


def _number(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _named(cores: list[int]) -> str:
    numbers = sorted(set(cores))
    shown = ", ".join(map(str, numbers[:MOST_CORES_NAMED]))
    return shown if len(numbers) <= MOST_CORES_NAMED else f"{counted(len(numbers), 'core')}: {shown}, ..."
