"""Draw ``concepts.svg``: ``python docs/draw_concepts.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
INK = "#1b2733"
FLOAT, INTEGER, PROOF = "#e8f1fb", "#fdf3e1", "#eaf6ec"
ENGINES = ("oracle", "emulator", "torch", "ONNX Runtime", "Lava", "yours")


def main() -> None:
    with plt.rc_context({"svg.hashsalt": "hypr", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(9.2, 3.5))
        axes.set(xlim=(0, 9.2), ylim=(0, 3.5))
        axes.set_axis_off()
        network = _box(axes, 0.1, 2.45, 1.5, 0.8, "Network\n(torch, trained by\nHYPR)", FLOAT)
        other = _box(axes, 0.1, 0.25, 1.5, 0.8, "networks of\nother tools", FLOAT)
        nir = _box(axes, 2.15, 1.35, 1.25, 0.8, "NIR graph\nreal numbers", FLOAT)
        program = _box(axes, 4.15, 1.2, 1.35, 1.1, "Program\nintegers only:\nthe contract", INTEGER)
        for start in (network, other):
            _arrow(axes, start, nir)
        _arrow(axes, nir, program)
        axes.text(3.78, 1.92, "quantize", ha="center", fontsize=8, color=INK)
        compare = _box(axes, 7.95, 1.2, 1.15, 1.1, "compare\nevery integer", PROOF)
        for index, name in enumerate(ENGINES):
            engine = _box(axes, 6.05, 2.95 - 0.54 * index, 1.3, 0.4, name, INTEGER)
            _arrow(axes, program, engine)
            _arrow(axes, engine, compare)
        proof = _box(axes, 7.75, 0.1, 1.4, 0.62, "certificate, or the\nfirst difference", PROOF)
        _arrow(axes, compare, proof, down=True)
        axes.text(
            3.0, 2.62, "training on integers: these\nengines run the forward pass", fontsize=8, ha="center", color=INK
        )
        axes.add_patch(
            FancyArrowPatch(
                (4.82, 2.32),
                (1.62, 2.98),
                connectionstyle="arc3,rad=0.28",
                arrowstyle="-|>",
                mutation_scale=9,
                lw=1,
                ls="--",
                color="#8b93a1",
            )
        )
        figure.subplots_adjust(0, 0, 1, 1)
        figure.savefig(HERE / "concepts.svg", metadata={"Date": None, "Creator": None})


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> FancyBboxPatch:
    box = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.07", fc=colour, ec="#8b93a1", lw=1
    )
    axes.add_patch(box)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=INK)
    return box


def _arrow(axes: Axes, start: FancyBboxPatch, end: FancyBboxPatch, down: bool = False) -> None:
    a, b = start.get_bbox(), end.get_bbox()
    points = (
        ((a.x0 + a.width / 2, a.y0), (b.x0 + b.width / 2, b.y1))
        if down
        else ((a.x1, a.y0 + a.height / 2), (b.x0, b.y0 + b.height / 2))
    )
    axes.add_patch(FancyArrowPatch(*points, arrowstyle="-|>", mutation_scale=9, lw=1, color=INK, shrinkA=1, shrinkB=1))


if __name__ == "__main__":
    main()
