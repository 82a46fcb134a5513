"""Pictures of reports and notebooks: functions of arrays that return a matplotlib figure.

Nothing here reads a file or runs a network.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

FLOAT, INTEGER, BOTH, ACCENT, GREY = "#2f6fb5", "#d9742b", "#3b4252", "#b3261e", "#8b93a1"
"""Colours: the float network, the integer network, what both have in common, what needs attention, what stands back."""
EDGE, _TICK = "#c3c9d3", "#5b6472"
_VARIABLES = {  # colours above -> what the page calls them, in light and dark
    FLOAT: "--float",
    INTEGER: "--integer",
    BOTH: "--ink",
    ACCENT: "--bad",
    GREY: "--grey",
    EDGE: "--edge",
    _TICK: "--soft",
    "#ffffff": "--paper",
    "#000000": "--ink",
}
STYLE: Any = {  # matplotlib's stubs type its keys as literals
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": BOTH,
    "text.color": BOTH,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": _TICK,
    "ytick.color": _TICK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "hypr",
}
"""How every picture of the report and of the notebooks looks: ``matplotlib.rc_context(STYLE)``, or :func:`panels`."""


def training_curves(epochs: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracies over epochs.

    Args:
        epochs: one mapping per epoch with ``epoch``, ``loss`` and any of ``train_accuracy``, ``validation_accuracy``
            (fractions).
    """
    with rc_context(STYLE):
        figure, (left, right) = subplots(1, 2, width=9.0, height=2.7)
        steps = [entry["epoch"] for entry in epochs]
        left.plot(steps, [entry["loss"] for entry in epochs], color=BOTH, lw=1.4)
        left.set(title="training loss", xlabel="epoch", ylim=(0, None))
        for key, label, colour in (("train_accuracy", "training", GREY), ("validation_accuracy", "validation", FLOAT)):
            if all(entry.get(key) is not None for entry in epochs):
                right.plot(steps, [100 * entry[key] for entry in epochs], color=colour, lw=1.4, label=label)
        right.set(title="accuracy (%)", xlabel="epoch")
        right.legend(loc="lower right")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def staircase(steps: Sequence[tuple[str, float, float]]) -> Figure:
    """Accuracy after each step from float to integer, with its standard error.

    Args:
        steps: (what was made integer, accuracy, standard error; as fractions), in order.
    """
    with rc_context(STYLE):
        figure, axes = subplots(1, 1, width=9.0, height=0.42 * len(steps) + 0.9)
        values = 100 * np.array([value for _, value, _ in steps])
        errors = 100 * np.array([error for _, _, error in steps])
        rows = np.arange(len(steps))[::-1]
        axes.plot(values, rows, color=GREY, lw=1, drawstyle="steps-post", zorder=1)
        axes.hlines(rows, values - errors, values + errors, color=GREY, lw=3, alpha=0.45, zorder=1)
        axes.scatter(values, rows, s=36, color=[FLOAT] + [INTEGER] * (len(steps) - 1), zorder=2)
        for value, row in zip(values, rows, strict=True):
            change = f"  ({value - values[0]:+.2f})" if row != rows[0] else ""
            axes.annotate(
                f"{value:.2f} %{change}",
                (value, row),
                xytext=(8, 4),
                textcoords="offset points",
                fontsize=8,
                color=BOTH,
            )
        low, high = float((values - errors).min()), float((values + errors).max())
        spread = max(high - low, 0.5)
        axes.set_xlim(low - 0.15 * spread, high + 0.35 * spread)
        axes.set_ylim(-0.6, len(steps) - 0.2)
        axes.set_yticks(rows, [name for name, _, _ in steps])
        axes.set_xlabel("accuracy (%)")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return figure


def rasters(float_spikes: np.ndarray, integer_spikes: np.ndarray, layer: str) -> Figure:
    """Spikes of both networks over each other: in both, in the float one only, in the integer one only.

    Args:
        float_spikes, integer_spikes: (T, N), 0 or 1, one sequence of one layer.
        layer: name for the title.
    """
    real, whole = float_spikes > 0, integer_spikes > 0
    kinds = (
        (real & whole, BOTH, "both"),
        (real & ~whole, FLOAT, "float only"),
        (~real & whole, INTEGER, "integer only"),
    )
    with rc_context(STYLE):
        steps, neurons = real.shape
        height = float(np.clip(1.3 + 0.05 * neurons, 2.0, 5.0))
        figure, axes = subplots(1, 1, width=9.0, height=height)
        # A mark is as tall as its neuron's row and as wide as its step, within what can be seen.
        tall = float(np.clip(0.85 * 72 * (height - 1.1) / neurons, 1.2, 9))
        wide = float(np.clip(0.3 * 72 * 8.0 / steps, 0.4, 2.2))
        for mask, colour, _ in kinds:
            t, neuron = np.nonzero(mask)
            axes.scatter(
                t,
                neuron,
                s=tall**2,
                marker="|",
                linewidths=wide,
                color=colour,
                rasterized=True,
            )
        different = np.flatnonzero((real != whole).any(axis=1))
        # Marks of long sequences are too thin to show their colour in the legend: blocks there.
        handles: list[Any] = [Patch(color=colour, label=f"{label} ({mask.sum()})") for mask, colour, label in kinds]
        if len(different):
            handles.append(_mark_first(axes, int(different[0]), "first differing spike"))
        axes.set(title=layer, xlabel="step", ylabel="neuron", xlim=(-0.5, steps - 0.5), ylim=(-1, neurons))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=1.4)
    return figure


def membranes(
    float_states: np.ndarray, integer_states: np.ndarray, unit: float | np.ndarray, neurons: Sequence[int], name: str
) -> Figure:
    """One state of some neurons, float and integer, in the float network's unit.

    Args:
        float_states: float (T, N). integer_states: int (T, N).
        unit: value of one integer state unit, a scalar or (N,).
        neurons: which ones to draw, one panel each.
        name: of the state, for the title.
    """
    scaled = integer_states * np.broadcast_to(unit, integer_states.shape[1:])
    with rc_context(STYLE):
        figure, axes = subplots(len(neurons), 1, width=9.0, height=1.25 * len(neurons) + 0.6, sharex=True)
        for panel, neuron in zip(np.atleast_1d(axes), neurons, strict=True):
            panel.plot(float_states[:, neuron], color=FLOAT, lw=1.6, label="float")
            panel.plot(scaled[:, neuron], color=INTEGER, lw=0.9, label="integer, in the same unit")
            apart = np.abs(float_states[:, neuron] - scaled[:, neuron])
            limit = 0.05 * max(float(np.ptp(float_states[:, neuron])), 1e-12)
            if (apart > limit).any():
                step = int(np.argmax(apart > limit))
                _mark_first(panel, step, "")
                panel.annotate(f"step {step}", (step, 1), xycoords=("data", "axes fraction"), color=ACCENT, fontsize=7)
            panel.set_ylabel(f"neuron {neuron}")
            panel.margins(x=0.01)
        first, last = np.atleast_1d(axes)[0], np.atleast_1d(axes)[-1]
        first.set_title(name)
        handles = [*first.get_legend_handles_labels()[0], Line2D([], [], color=ACCENT, lw=0.9, ls=(0, (3, 2)))]
        labels = ["float", "integer, in the same unit", "apart by 5 % of the float range"]
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        last.set_xlabel("step")
    return figure


def disagreement(float_spikes: Mapping[str, np.ndarray], integer_spikes: Mapping[str, np.ndarray]) -> Figure:
    """How many spikes differ between the float and the integer network, over time.

    Args:
        float_spikes, integer_spikes: layer -> (T, B, N).
    """
    with rc_context(STYLE):
        figure, axes = subplots(1, 1, width=9.0, height=2.2)
        for layer, real in float_spikes.items():
            differing = 100 * (np.asarray(real) != np.asarray(integer_spikes[layer])).mean(axis=(1, 2))
            axes.plot(differing, lw=1.2, label=layer, color=BOTH if len(float_spikes) == 1 else None)
        axes.set(title="neurons whose spike differs (%)", xlabel="step", ylim=(0, None))
        axes.margins(x=0.01)
        if len(float_spikes) > 1:
            axes.legend()
    return figure


def data_uri(figure: Figure, kind: str = "svg") -> str:
    """The figure as a ``data:`` address for an HTML page; ``kind`` is ``svg`` or ``png``."""
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(image(figure, kind)).decode('ascii')}"


def themed_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element for a page whose variables ``--ink``, ``--float`` and so on give its colours;
    its text is text, in the page's font.
    """
    with rc_context({"svg.fonttype": "none"}):
        text = image(figure, "svg").decode("utf-8")
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", text)


def image(figure: Figure, kind: str = "png") -> bytes:
    """The figure as a file of that kind, ``png`` or ``svg``."""
    buffer = io.BytesIO()
    # No date in the file: the same figure gives the same bytes.
    metadata = {"Date": None} if kind == "svg" else None
    with rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=144, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


def most_active(spikes: np.ndarray, count: int) -> list[int]:
    """The neurons that spike most, in ascending order.

    Args:
        spikes: (T, N), 0 or 1, one sequence of one layer. count: how many neurons.
    """
    order = np.argsort(-spikes.sum(axis=0), kind="stable")[:count]
    return sorted(int(neuron) for neuron in order)


def subplots(rows: int, columns: int, width: float, height: float, sharex: bool = False) -> tuple[Figure, Any]:
    """A figure of that size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=sharex)


def _mark_first(axes: Axes, step: int, label: str) -> Line2D:
    name = f"{label}: step {step}" if label else "_"
    return axes.axvline(step, color=ACCENT, lw=0.9, ls=(0, (3, 2)), label=name, zorder=0)
