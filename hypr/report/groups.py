"""Picture of groups of runs: accuracy of every seed with mean and standard error, and accuracy against spikes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hypr.data.storage import write_atomically
from hypr.training.comparison import Group

_COLOURS = {"validation": "tab:orange", "test": "tab:blue"}


def draw_comparison(path: Path, groups: Sequence[Group]) -> None:
    """PNG with one row per group, and beside it test accuracy against spikes per step where all runs spike.

    Args:
        path: of the picture.
        groups: at least one.
    """
    spiking = all(group.mean("spikes_per_step") for group in groups)
    figure = Figure(figsize=(13 if spiking else 8, 1.6 + 0.6 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if spiking else 1, squeeze=False)[0]
    _accuracies(axes[0], groups)
    if spiking:
        _spikes(axes[1], groups)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_atomically(path, picture.getvalue())


def _accuracies(axis: Axes, groups: Sequence[Group]) -> None:
    for row, group in enumerate(groups):
        for measure, shift in (("validation", -0.15), ("test", 0.15)):
            mean = group.mean(measure)
            if mean is None:
                continue
            colour, at = _COLOURS[measure], row + shift
            values = [100 * run[measure] for run in group.runs.values()]
            axis.scatter(values, [at] * len(values), s=14, alpha=0.4, color=colour)
            label = measure if row == 0 else None
            error = 100 * (mean.error or 0.0)
            axis.errorbar([100 * mean.value], [at], xerr=[error], fmt="D", ms=5, capsize=3, color=colour, label=label)
    axis.set_yticks(range(len(groups)), [_broken(group.label) for group in groups])
    axis.invert_yaxis()
    axis.set_xlabel("accuracy in %, mean and standard error")
    axis.grid(alpha=0.3, axis="x")
    axis.legend()


def _spikes(axis: Axes, groups: Sequence[Group]) -> None:
    for index, group in enumerate(groups):
        points = [(run["spikes_per_step"], 100 * run["test"]) for run in group.runs.values() if "test" in run]
        spikes, accuracy = [one for one, _ in points], [two for _, two in points]
        axis.scatter(spikes, accuracy, s=24, color=f"C{index % 10}", label=_broken(group.label))
    axis.set_xlabel("spikes per step of all neurons")
    axis.set_ylabel("test accuracy in %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")


def _broken(label: str) -> str:
    """At most about 40 characters a line."""
    lines = [""]
    for part in label.split(", "):
        if lines[-1] and len(lines[-1]) + len(part) > 40:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + part
    return "\n".join(lines)
