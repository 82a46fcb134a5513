"""Where a network fits on a chip, and what it costs there: three sections of a report."""

from __future__ import annotations

from export.bundle.bundle import Bundle
from hardware.mapping import CONFIDENCES, LIMITS, Plan, Target
from hardware.mapping.cost import FLOAT_MAC_SOURCE
from hypr.data import SequenceDataset
from hypr.deployment.arrays import sequences_of
from hypr.mapping import tables
from hypr.mapping.chip_map import ChipMap, chip_map
from hypr.mapping.picture import caption, draw, shares
from hypr.mapping.tables import figure
from hypr.report.page import Block, Cell, Part, Picture, Table

MOST_SEQUENCES = 16
"""Of the test part, as ``hypr map`` takes them."""

MOST_CORES_LISTED = 24
_CONFIDENCE = "Confidence " + "; ".join(f"{letter}: {meaning}" for letter, meaning in CONFIDENCES.items()) + "."


def on_chip(bundle: Bundle, target: Target, data: SequenceDataset | None) -> list[Part]:
    """The plan, and the cost where there are sequences to count it from.

    Args:
        bundle: opened. target: the chip.
        data: test sequences, the first :data:`MOST_SEQUENCES` are run; None: cores are placed for an assumed rate.
    """
    some = None if data is None else sequences_of(data.subset(slice(0, MOST_SEQUENCES)))
    found = chip_map(bundle.program, target, some)
    parts = [fit(found), cores(found)] if found.plan.cores else [fit(found)]
    return parts if data is None else [*parts, cost(found)]


def fit(found: ChipMap) -> Part:
    """The plan in sentences, all that does not fit, and the picture of the chip."""
    plan = found.plan
    pictures = [Picture(draw(plan, title=False), caption(plan))] if plan.cores else []
    broken = [_broken(plan)] if plan.violations else []
    return Part(f"Where it fits: {plan.target.title}", _sentences(plan), broken, pictures)


def cores(found: ChipMap) -> Part:
    """How full the cores are, the limits that were kept with their sources, and what is assumed."""
    plan, assumed = found.plan, found.data["plan"]["assumptions"]
    text = f"Shares are in percent of the limits of {plan.target.title}. {_CONFIDENCE}"
    shown = [_table(tables.populations(plan)), _cores(plan), _table(tables.fullest(plan))]
    block = Block(f"{tables.counted(len(assumed), 'assumption')} behind this", "\n".join(assumed))
    return Part("How full its cores are", text, shown, blocks=[block])


def cost(found: ChipMap) -> Part:
    """Events, energy and time of a sample, each figure with its source, beside the dense float network; NeuroBench."""
    plan, counts = found.plan, found.cost.counts
    dense = found.cost.describe()["dense_float_network"]
    synops = sum(counts.synops.values())
    text = f"A sample has {tables.counted(counts.steps, 'step')}; the numbers are of {plan.activity.origin}. "
    text += (
        f"It takes {figure(synops)} synaptic operations; the same network dense and in float would take "
        f"{counts.dense_macs:,} multiply-accumulates"
    )
    text += f", {figure(dense['macs_per_synop'])} times as many." if synops else "."
    if found.cost.idle_power_mw is None:
        text += " No idle power of this chip is public, so none is counted."
    made = [tables.events(found.cost, plan), tables.estimates(found.cost), tables.neurobench(found)]
    sources = [
        f"{one.figures.title}, confidence {one.figures.confidence}. Source: {one.figures.source}. "
        f"Not counted: {one.figures.leaves_out}."
        for one in found.cost.estimates
    ]
    sources.append(f"Dense float network. Source: {FLOAT_MAC_SOURCE}.")
    return Part(f"What it costs: {plan.target.title}", text, [_table(one) for one in made], notes=sources)


def _sentences(plan: Plan) -> str:
    used, chips = len(plan.cores), plan.placed.chips
    per_chip = plan.target.number("cores_per_chip")
    if not plan.violations:
        text = "It fits. "
    else:
        text = f"It does not fit: {tables.counted(len(plan.violations), 'limit')} would be broken, listed below. "
    if not plan.cores:
        return text.strip()
    placed = {piece.population for core in plan.cores for piece in core.slices}
    names = [item.name for item in plan.needs.program.populations if item.name not in placed]
    if names:
        text += f"Without {', '.join(names)}, of which no core can hold a neuron: "
    if chips == 1:
        text += f"{used:,} of {per_chip} cores of one chip {'is' if used == 1 else 'are'} used"
    else:
        text += f"{used:,} cores on {chips:,} chips of {per_chip} each are used"
    text += f"; no plan does with fewer than {plan.bound:,}{_why(plan)}."
    if plan.layer_by_layer > used:
        text += f" A core or more for each layer of its own would take {plan.layer_by_layer:,}."
    parts = [(share, name, core) for core in range(used) for name, share in shares(plan, core)]
    if parts:
        share, name, core = max(parts)
        text += f" The fullest is core {core}, which uses {100 * share:.0f} % of its {_words(name)}."
    if plan.messages:
        text += f" {_messages(plan)}"
    return text


def _why(plan: Plan) -> str:
    limit = max(plan.bounds, key=plan.bounds.__getitem__)
    if limit in LIMITS:
        return f", because of {_words(limit)}"
    return ", as one population alone needs" if limit == "a population's slices" else ""


def _messages(plan: Plan) -> str:
    east, north, across = plan.hops
    text = f"Per step {figure(plan.messages)} messages are sent, each a spike to a core"
    if not east + north + across:
        return f"{text}; none leaves its tile."
    text += f"; they travel {figure(east + north)} hops between tiles"
    before = plan.hops_in_order[0] + plan.hops_in_order[1]
    text += f" ({figure(before)} with cores in plain order)" if before > 1.005 * (east + north) else ""
    return text + (f", and {figure(across)} of them go to another chip." if across else ".")


def _broken(plan: Plan) -> Table:
    made = tables.violations(plan)
    rows: list[tuple[str | Cell, ...]] = [(Cell(row[0], "bad"), *row[1:]) for row in made.rows]
    return Table(made.columns, rows, made.right, "What does not fit")


def _cores(plan: Plan) -> Table:
    """Every core, the fullest ones where they are many: what lies there, and its share of every limit in percent."""
    use = [dict(shares(plan, core)) for core in range(len(plan.cores))]
    limits = [name for name in use[0] if any(each[name] > 0 for each in use)]
    order = sorted(range(len(use)), key=lambda core: -max(use[core].values(), default=0.0))[:MOST_CORES_LISTED]
    rows: list[tuple[str, ...]] = []
    for core in sorted(order):
        pieces = [f"{one.population}\u00a0({len(one.neurons):,})" for one in plan.cores[core].slices]
        chip = f"chip {plan.placed.chip[core]}, " if plan.placed.chips > 1 else ""
        place = f"{chip}x {plan.placed.x[core]}, y {plan.placed.y[core]}".replace(" ", "\u00a0")
        shared = (f"{100 * use[core][name]:.0f}" for name in limits)
        rows.append((str(core), place, ", ".join(pieces), *shared))
    columns = ("core", "tile", "neurons of", *(f"{_words(name)}, %" for name in limits))
    title = "How full each core is"
    if len(use) > len(rows):
        title += f": the {len(rows)} fullest of {len(use):,}"
    return Table(columns, rows, (0, *range(3, len(columns))), title)


def _table(made: tables.TextTable) -> Table:
    return Table(made.columns, made.rows, made.right, made.title)


def _words(limit: str) -> str:
    return limit.removesuffix("_per_core").replace("_", " ")
