"""Draw ``architecture.svg``: ``python docs/draw_architecture.py``. The arrows between rooms of ``export/`` are read
from the imports, so the picture follows the code."""

from __future__ import annotations

import ast
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
INK, PAPER = "#1b2733", "white"
FLOORS = {
    "hypr": ("hypr/   torch: training, command line, report", "#e8f1fb", 5.05, 1.75),
    "export": ("export/   NIR, quantization, ONNX, bundles, verification (no torch)", "#eaf6ec", 2.2, 2.5),
    "hardware": ("hardware/   integers: the contract and its engines (NumPy; Python 3.10)", "#fdf3e1", 0.1, 1.75),
}
ROOMS = {
    "hypr": (
        ("cli", "one file\nper verb"),
        ("report", "HTML page"),
        ("deployment", "run to\nbundle"),
        ("training", "recipes,\nruns"),
        ("learning", "rules,\nlosses"),
        ("neurons", "float steps,\nJacobians"),
        ("kernels", "reference,\ncpu, gpu"),
        ("integer", "integer\nforward"),
        ("data", "data sets"),
    ),
    "export": (
        ("bundle", "files, manifest"),
        ("verification", "engines, certificate"),
        ("quantization", "floats to integers"),
        ("onnx", "integer, float graphs"),
        ("interchange", "NIR, discretisation,\nfloat engine"),
    ),
    "hardware": (
        ("Program", "populations,\nprojections"),
        ("reference", "scalar oracle"),
        ("emulator", "NumPy,\ncompiled"),
        ("compare", "first\ndivergence"),
        ("lava", "Processes,\nworker"),
    ),
}


def room_imports() -> set[tuple[str, str]]:
    """(room, room it imports) of export/."""
    rooms = {name for name, _ in ROOMS["export"]}
    found = set()
    for path in (HERE.parent / "export").rglob("*.py"):
        own = path.relative_to(HERE.parent / "export").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [f"{module}.{alias.name}" for alias in node.names] if module else []
            for name in names:
                parts = name.split(".")
                if parts[0] == "export" and len(parts) > 1 and parts[1] in rooms - {own} and own in rooms:
                    found.add((own, parts[1]))
    return found


def main() -> None:
    figure, axes = plt.subplots(figsize=(11, 6.4))
    axes.set_xlim(-0.1, 11.1)
    axes.set_ylim(-0.3, 7.0)
    axes.axis("off")
    centres = {}
    for floor, (title, colour, bottom, height) in FLOORS.items():
        axes.add_patch(FancyBboxPatch((0, bottom), 11, height, boxstyle="round,pad=0.05", fc=colour, ec=INK, lw=0.8))
        axes.text(0.12, bottom + height - 0.18, title, va="center", fontsize=10.5, weight="bold", color=INK)
        rooms = ROOMS[floor]
        width = 10.8 / len(rooms)
        for index, (name, what) in enumerate(rooms):
            left, y, tall = 0.1 + index * width, bottom + 0.12, 1.15
            box = FancyBboxPatch(
                (left + 0.06, y), width - 0.12, tall, boxstyle="round,pad=0.02", fc=PAPER, ec=INK, lw=0.7
            )
            axes.add_patch(box)
            middle = left + width / 2
            axes.text(middle, y + tall * 0.72, name, ha="center", va="center", fontsize=9, weight="bold", color=INK)
            axes.text(middle, y + tall * 0.32, what, ha="center", va="center", fontsize=7.5, color=INK)
            centres[name] = (middle, y + tall)
    for source, target in sorted(room_imports()):
        (x0, y0), (x1, _) = centres[source], centres[target]
        bend = "arc3,rad=-0.1" if x1 > x0 else "arc3,rad=0.1"
        arrow = FancyArrowPatch(
            (x0, y0 + 0.03),
            (x1, y0 + 0.03),
            connectionstyle=bend,
            arrowstyle="-|>",
            mutation_scale=9,
            lw=0.8,
            color=INK,
        )
        axes.add_patch(arrow)
    for bottom, top in ((5.0, 4.76), (2.15, 1.91)):
        axes.add_patch(
            FancyArrowPatch((5.5, bottom), (5.5, top), arrowstyle="-|>", mutation_scale=16, lw=1.6, color=INK)
        )
    axes.text(5.7, 4.88, "may import", fontsize=8, color=INK, va="center")
    way = "Network  →  NIR graph  →  quantize  →  Program  →  reference, emulator, torch, ONNX, Lava  →  compare"
    axes.text(5.5, -0.22, way, ha="center", fontsize=9, color=INK)
    figure.savefig(HERE / "architecture.svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    plt.rcParams.update({"svg.hashsalt": "hypr", "svg.fonttype": "none"})
    main()
