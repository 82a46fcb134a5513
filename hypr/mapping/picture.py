"""Picture of a plan: how full each core is, and what goes between tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from hardware.mapping import Plan
from hypr.report.pictures import BOTH, GREY, INTEGER, STYLE

MOST_CHIPS_DRAWN = 6
MOST_ARROWS = 40
GAP = 0.12
COLOURS = "Blues"


def draw(plan: Plan, most_chips: int = MOST_CHIPS_DRAWN) -> Figure:
    """Chips as meshes of tiles: each core a square, darker where the scarcest of its resources is fuller, labelled with
    its populations; arrows where messages go between tiles, wider for more.

    Args:
        plan: of :func:`hardware.mapping.make_plan`. most_chips: further chips are left out, and the title says so.
    """
    with rc_context(STYLE):
        shown = max(1, min(plan.placed.chips, most_chips))
        width, height = plan.target.number("mesh_width"), plan.target.number("mesh_height")
        figure = Figure(figsize=(9.0, max(2.2, 9.0 * height / width * 0.9) * shown + 0.7), layout="constrained")
        panels = np.atleast_1d(figure.subplots(shown, 1))
        use = utilisation(plan)
        for chip, axes in enumerate(panels):
            _chip(axes, plan, chip, use)
        panels[0].set_title(_title(plan, shown))
        scale = figure.colorbar(_scale(), ax=list(panels), shrink=0.5, pad=0.01)
        scale.set_label("scarcest resource of the core in use (%)")
        scale.outline.set_visible(False)
    return figure


def utilisation(plan: Plan) -> np.ndarray:
    """float64 (cores,): largest share of a limit that each core uses, 0 to 1."""
    found = np.zeros(len(plan.cores))
    for index, core in enumerate(plan.cores):
        for name, amount in core.demand.amounts().items():
            most = plan.target.most(name)
            if most:
                found[index] = max(found[index], amount / most)
    return found


def _title(plan: Plan, shown: int) -> str:
    cores = f"{len(plan.cores)} core{'s' * (len(plan.cores) != 1)}"
    text = f"{plan.target.title}: {cores} (at least {plan.bound}) on {plan.placed.chips} chip"
    text += "s" * (plan.placed.chips != 1)
    return text + (f"; the first {shown} chips shown" if shown < plan.placed.chips else "")


def _scale() -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(0, 100), colormaps[COLOURS])


def _chip(axes: Axes, plan: Plan, chip: int, use: np.ndarray) -> None:
    target, placed = plan.target, plan.placed
    width, height = target.number("mesh_width"), target.number("mesh_height")
    side = int(np.ceil(np.sqrt(target.number("cores_per_tile"))))
    for x in range(width):
        for y in range(height):
            axes.add_patch(Rectangle((x + GAP / 2, y + GAP / 2), 1 - GAP, 1 - GAP, fill=False, ec="#c3c9d3", lw=0.6))
    size = (1 - GAP) / side
    for index in np.flatnonzero(placed.chip == chip):
        row, column = divmod(int(placed.slot[index]), side)
        corner = (placed.x[index] + GAP / 2 + column * size, placed.y[index] + GAP / 2 + row * size)
        colour = colormaps[COLOURS](float(use[index]))
        axes.add_patch(Rectangle(corner, size, size, fc=colour, ec="white", lw=0.8))
        names = list(dict.fromkeys(piece.population for piece in plan.cores[index].slices))
        axes.text(
            corner[0] + size / 2,
            corner[1] + size / 2,
            "\n".join([*(name[:9] for name in names[:2]), f"{100 * use[index]:.0f} %"]),
            ha="center",
            va="center",
            fontsize=4.5,
            color="white" if use[index] > 0.55 else BOTH,
        )
    _arrows(axes, plan, chip)
    axes.set(xlim=(-0.02, width + 0.02), ylim=(height + 0.02, -0.02), aspect="equal")
    axes.axis("off")
    if placed.chips > 1:
        axes.text(0, -0.06, f"chip {chip}", fontsize=8, color=GREY)


def _arrows(axes: Axes, plan: Plan, chip: int) -> None:
    """Messages per step between tiles of one chip, the busiest ones."""
    placed, height = plan.placed, plan.target.number("mesh_height")
    here = np.flatnonzero(placed.chip == chip)
    tiles = placed.tile[here]
    count = plan.target.number("mesh_width") * height
    flow = np.zeros((count, count))
    np.add.at(flow, (tiles[:, None], tiles[None]), plan.between[np.ix_(here, here)])
    np.fill_diagonal(flow, 0)
    busiest = np.argsort(-flow, axis=None, kind="stable")[:MOST_ARROWS]
    most = flow.max(initial=0)
    for start, end in zip(*np.unravel_index(busiest, flow.shape), strict=True):
        if flow[start, end] <= 0:
            break
        middle = [(tile // height + 0.5, tile % height + 0.5) for tile in (int(start), int(end))]
        axes.add_patch(
            FancyArrowPatch(
                middle[0],
                middle[1],
                connectionstyle="arc3,rad=0.18",
                arrowstyle="-|>",
                mutation_scale=6,
                lw=0.3 + 2.2 * flow[start, end] / most,
                color=INTEGER,
                alpha=0.55,
                shrinkA=4,
                shrinkB=4,
            )
        )
