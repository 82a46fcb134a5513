"""Picture of a plan: how full each core is, and what goes between tiles."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle

from hardware.mapping import Plan
from hardware.mapping.placement import links
from hypr.report.pictures import BOTH, EDGE, FLOAT, GREY, INTEGER, STYLE

MOST_CHIPS_DRAWN = 6
GAP = 0.2
TILE_INCHES, WIDEST, NARROWEST = 1.3, 9.0, 2.6
SMALLEST_TEXT, LARGEST_TEXT = 5.0, 8.5
"""Points; cores too small for the first carry no text."""

Box = tuple[int, int, int, int]
"""Tiles shown of every chip: first x, first y, and the ends of both."""


def draw(plan: Plan, most_chips: int = MOST_CHIPS_DRAWN, *, whole: bool = False, title: bool = True) -> Figure:
    """Chips as meshes of tiles: each core a square that is filled as far as the scarcest of its resources is used,
    labelled with its populations; arrows for the messages that go from a tile to the next, wider for more.

    Args:
        plan: of :func:`hardware.mapping.make_plan`. most_chips: further chips are left out, and the title says so.
        whole: all tiles of a chip; otherwise those in use and their neighbours. title: with words above.
    """
    with rc_context(STYLE):
        shown, box = _shown(plan, most_chips), visible(plan, most_chips, whole)
        columns, rows = box[2] - box[0], box[3] - box[1]
        side = min(TILE_INCHES, WIDEST / columns)
        width = max(NARROWEST, side * columns + 0.3)
        lines = textwrap.wrap(_title(plan, box, shown), max(30, int(13 * width))) if title else []
        height = (side * rows + 0.35) * shown + 0.17 * len(lines)
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = np.atleast_1d(figure.subplots(shown, 1))
        use = utilisation(plan)
        most = _busiest(plan, shown)
        for chip, axes in enumerate(panels):
            _chip(axes, plan, chip, use, box, side)
            _arrows(axes, plan, chip, most)
        if lines:
            figure.suptitle("\n".join(lines), fontsize=9, x=0.01, ha="left")
    return figure


def visible(plan: Plan, most_chips: int = MOST_CHIPS_DRAWN, whole: bool = False) -> Box:
    """Tiles that :func:`draw` shows: those in use on any drawn chip and their neighbours, or all."""
    width, height = plan.target.number("mesh_width"), plan.target.number("mesh_height")
    here = plan.placed.chip < _shown(plan, most_chips)
    if whole or not here.any():
        return 0, 0, width, height
    x, y = plan.placed.x[here], plan.placed.y[here]
    return (
        max(int(x.min()) - 1, 0),
        max(int(y.min()) - 1, 0),
        min(int(x.max()) + 2, width),
        min(int(y.max()) + 2, height),
    )


def caption(plan: Plan, most_chips: int = MOST_CHIPS_DRAWN, *, whole: bool = False) -> str:
    """What the picture shows, in sentences."""
    shown = _shown(plan, most_chips)
    text = "Each square is a core, filled as far as the scarcest of its resources is used."
    most = _busiest(plan, shown)
    if most > 0:
        number = f"{most:,.0f}" if most >= 100 else f"{most:.3g}"
        text += f" Arrows are messages from tile to tile; the widest stands for {number} per step."
    return f"{text} {_part_shown(plan, visible(plan, most_chips, whole), shown)}"


def utilisation(plan: Plan) -> np.ndarray:
    """float64 (cores,): largest share of a limit that each core uses, 0 to 1."""
    return np.array([max((share for _, share in shares(plan, core)), default=0.0) for core in range(len(plan.cores))])


def shares(plan: Plan, core: int) -> list[tuple[str, float]]:
    """(limit, share of it that a core uses) for every limit of a core that the target has."""
    found = []
    for name, amount in plan.cores[core].demand.amounts().items():
        most = plan.target.most(name)
        if most:
            found.append((name, amount / most))
    return found


def traffic(plan: Plan, chip: int) -> tuple[np.ndarray, np.ndarray]:
    """Messages per step over the links of a chip: :func:`hardware.mapping.placement.links`."""
    return links(plan.target, plan.placed, plan.between, plan.entering, chip)


def _shown(plan: Plan, most_chips: int) -> int:
    return max(1, min(plan.placed.chips, most_chips))


def _busiest(plan: Plan, shown: int) -> float:
    """Messages per step on the busiest link of the chips shown."""
    return max(float(loads.max(initial=0)) for chip in range(shown) for loads in traffic(plan, chip))


def _title(plan: Plan, box: Box, shown: int) -> str:
    cores, chips = len(plan.cores), plan.placed.chips
    text = f"{plan.target.title}: {cores} core{'s' * (cores != 1)} (at least {plan.bound}) on {chips} chip"
    return f"{text}{'s' * (chips != 1)}. {_part_shown(plan, box, shown)}"


def _part_shown(plan: Plan, box: Box, shown: int) -> str:
    """How much of the chips is to be seen."""
    tiles, every = (box[2] - box[0]) * (box[3] - box[1]), plan.target.number("mesh_width")
    every *= plan.target.number("mesh_height")
    text = f"All {every} tiles are shown"
    if tiles < every:
        text = f"Shown: {tiles} of the {every} tiles, those in use and their neighbours"
    more = plan.placed.chips - shown
    return text + (f", of the first {shown} of {plan.placed.chips} chips." if more > 0 else ".")


def _chip(axes: Axes, plan: Plan, chip: int, use: np.ndarray, box: Box, inches: float) -> None:
    """One chip.

    Args:
        use: of every core. box: tiles to be seen. inches: width of a tile.
    """
    placed, per_tile = plan.placed, plan.target.number("cores_per_tile")
    side = int(np.ceil(np.sqrt(per_tile)))
    size = (1 - GAP) / side
    text = min(LARGEST_TEXT, 72 * inches * size / 5.2)
    for x in range(box[0], box[2]):
        for y in range(box[1], box[3]):
            for slot in range(per_tile):
                corner = _corner(x, y, slot, side)
                axes.add_patch(Rectangle(corner, size, size, fill=False, ec=EDGE, lw=0.5))
            axes.add_patch(Rectangle((x + GAP / 2, y + GAP / 2), 1 - GAP, 1 - GAP, fill=False, ec=GREY, lw=0.8))
    for index in np.flatnonzero(placed.chip == chip):
        left, top = _corner(int(placed.x[index]), int(placed.y[index]), int(placed.slot[index]), side)
        full = float(min(use[index], 1.0)) * size
        axes.add_patch(Rectangle((left, top + size - full), size, full, fc=FLOAT, alpha=0.42, lw=0))
        axes.add_patch(Rectangle((left, top), size, size, fill=False, ec=FLOAT, lw=0.9))
        if text >= SMALLEST_TEXT:
            label = _label(plan, int(index), float(use[index]), int(72 * inches * size * 0.94 / (0.6 * text)))
            place = (left + size / 2, top + size / 2)
            axes.text(*place, label, ha="center", va="center", fontsize=text, color=BOTH, zorder=4, linespacing=1.1)
    axes.set(xlim=(box[0] - 0.02, box[2] + 0.02), ylim=(box[3] + 0.02, box[1] - 0.02), aspect="equal", anchor="W")
    axes.set_xticks([x + 0.5 for x in range(box[0], box[2])], [f"{x}" for x in range(box[0], box[2])])
    axes.set_yticks([y + 0.5 for y in range(box[1], box[3])], [f"{y}" for y in range(box[1], box[3])])
    axes.tick_params(length=0, labelsize=7, labelcolor=GREY, labeltop=True, labelbottom=False, pad=1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if placed.chips > 1:
        axes.set_title(f"chip {chip}", fontsize=8, color=GREY)


def _corner(x: int, y: int, slot: int, side: int) -> tuple[float, float]:
    row, column = divmod(slot, side)
    return x + GAP / 2 + column * (1 - GAP) / side, y + GAP / 2 + row * (1 - GAP) / side


def _label(plan: Plan, core: int, use: float, letters: int) -> str:
    """Populations of a core, two at most, and how full it is."""
    names = list(dict.fromkeys(piece.population for piece in plan.cores[core].slices))
    if len(names) > 2:
        names = [names[0], f"+ {len(names) - 1}"]
    return "\n".join([*(name[:letters] for name in names), f"{100 * use:.0f} %"])


def _arrows(axes: Axes, plan: Plan, chip: int, most: float) -> None:
    """An arrow in the gap between two tiles for each direction of a link that carries messages.

    Args:
        most: messages on the busiest link, whose arrow is the widest.
    """
    for loads, along in zip(traffic(plan, chip), ((1, 0), (0, 1)), strict=True):
        for back, x, y in zip(*np.nonzero(loads > 1e-9 * most), strict=True):
            width = 0.02 + 0.11 * float(loads[back, x, y]) / most
            aside = (1 if back else -1) * 0.09
            middle = (x + 0.5 + along[0] / 2 + along[1] * aside, y + 0.5 + along[1] / 2 + along[0] * aside)
            start, end = ([m + sign * 0.42 * GAP * a for m, a in zip(middle, along, strict=True)] for sign in (-1, 1))
            if back:
                start, end = end, start
            axes.add_patch(
                FancyArrow(
                    start[0],
                    start[1],
                    end[0] - start[0],
                    end[1] - start[1],
                    width=width,
                    head_width=width + 0.05,
                    head_length=0.35 * GAP,
                    length_includes_head=True,
                    fc=INTEGER,
                    lw=0,
                    zorder=3,
                )
            )
