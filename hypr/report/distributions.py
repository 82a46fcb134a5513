"""Pictures of distributions: confusions, firing rates, weights, bits of states. Functions of arrays, like
:mod:`hypr.report.pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hypr.report.pictures import ACCENT, BOTH, FLOAT, GREY, INTEGER, STYLE, subplots

STATE_BITS = 24


def confusions(float_counts: np.ndarray, integer_counts: np.ndarray) -> Figure:
    """Confusion matrices of the float and the integer network beside each other, in percent of each label.

    Args:
        float_counts, integer_counts: int (classes, classes), row = label, column = decision.
    """
    with rc_context(STYLE):
        classes = len(integer_counts)
        figure, axes = subplots(1, 2, width=9.0, height=float(np.clip(0.28 * classes + 1.6, 2.6, 5.0)))
        for panel, counts, name in zip(axes, (float_counts, integer_counts), ("float", "integers"), strict=True):
            share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            panel.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
            if classes <= 12:
                for label, decision in zip(*np.nonzero(share >= 0.5), strict=True):
                    value = share[label, decision]
                    colour = "white" if value > 55 else "#1b2733"
                    panel.text(decision, label, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
            panel.set(title=f"{name} (% of each label)", xlabel="decision", ylabel="label")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(integer=True, nbins=min(classes, 12)))
    return figure


def rates(float_rates: Mapping[str, np.ndarray], integer_rates: Mapping[str, np.ndarray]) -> Figure:
    """Firing rate of every neuron, float against integer.

    Args:
        float_rates, integer_rates: layer -> (N,), spikes per step.
    """
    with rc_context(STYLE):
        figure, axes = subplots(1, len(integer_rates), width=min(9.0, 3.4 * len(integer_rates)), height=3.0)
        for panel, (name, whole) in zip(np.atleast_1d(axes), integer_rates.items(), strict=True):
            most = max(float(whole.max(initial=0)), float(float_rates[name].max(initial=0)), 1e-3) * 1.05
            panel.plot([0, most], [0, most], color=GREY, lw=0.8)
            panel.scatter(float_rates[name], whole, s=12, color=INTEGER, alpha=0.8, lw=0)
            panel.set(title=name, xlabel="float, spikes per step", ylabel="integers", xlim=(0, most), ylim=(0, most))
    return figure


def weights(mantissas: Sequence[tuple[str, np.ndarray, int]]) -> Figure:
    """Histogram of the integer weights of each projection; what lies at the limit is marked.

    Args:
        mantissas: (name, integers of any shape, largest magnitude that the width allows).
    """
    with rc_context(STYLE):
        columns = min(3, len(mantissas))
        rows = -(-len(mantissas) // columns)
        figure, axes = subplots(rows, columns, width=3.0 * columns, height=1.9 * rows)
        for panel, (name, values, limit) in zip(np.ravel(axes), mantissas, strict=False):
            edges = np.linspace(-limit - 0.5, limit + 0.5, min(2 * limit + 1, 64) + 1)
            panel.hist(values.ravel(), bins=edges, color=BOTH)
            at = int(np.sum(np.abs(values.astype(int)) == limit))
            panel.set_title(f"{name}: {at} of {values.size:,} at the limit", fontsize=8, color=ACCENT if at else BOTH)
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
        for panel in np.ravel(axes)[len(mantissas) :]:
            panel.set_axis_off()
    return figure


def bits(states: Mapping[str, np.ndarray]) -> Figure:
    """How many of the 24 bits the values of each state need: sign and magnitude.

    Args:
        states: name -> integers of any shape.
    """
    with rc_context(STYLE):
        figure, axes = subplots(1, 1, width=9.0, height=2.6)
        places = np.arange(1, STATE_BITS + 1)
        for index, (name, values) in enumerate(states.items()):
            needed = 1 + np.ceil(np.log2(np.abs(values.astype(np.int64)).ravel() + 1)).astype(int)
            share = 100 * np.bincount(needed, minlength=STATE_BITS + 2)[1 : STATE_BITS + 1] / needed.size
            colour = (FLOAT, INTEGER, BOTH, GREY)[index % 4]
            axes.step(places, share, where="mid", lw=1.3, label=name, color=colour, ls=("-", "--")[index // 4 % 2])
        axes.axvline(STATE_BITS, color=ACCENT, lw=0.9, ls=(0, (3, 2)))
        axes.annotate(
            "saturates", (STATE_BITS, 1), xycoords=("data", "axes fraction"), color=ACCENT, fontsize=7, ha="right"
        )
        axes.set(
            title="bits that states need (% of values)",
            xlabel="bits, sign included",
            xlim=(1, STATE_BITS + 0.5),
            ylim=(0, None),
        )
        axes.legend(ncols=2)
    return figure
