"""Search for the cheapest integer format of a trained run: on its validation part, reported once on its test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export import quantize, to_nir
from export.interchange.discretise import discretise
from export.interchange.float_engine import run as run_float
from export.interchange.steps import StepNetwork
from export.quantization.formats import QuantizationSettings
from export.quantization.memory import FORMULA
from export.quantization.search import Candidate, Report, SearchResult, paired_error, search
from export.quantization.staircase import right_by_sequence
from hypr.data import SequenceDataset
from hypr.data.storage import write_atomically
from hypr.deployment.deploy import CALIBRATION_SAMPLES, TIME_STEP_S
from hypr.deployment.evaluation import integer_accuracy, outputs_of, time_major
from hypr.errors import HyprError
from hypr.report.pictures import ACCENT, BOTH, FLOAT, GREY, INTEGER, STYLE, image
from hypr.training.runs import Run, write_json

TABLE, PICTURE = "search.json", "search.png"

_TOGETHER = 256
"""Test sequences that the float network runs at a time."""


@dataclass(frozen=True)
class Row:
    """One format of the trade-off.

    Attributes:
        label: ``chosen``, ``default`` (the settings that the search began with) or empty.
        candidate: the format, with its accuracy on the validation part.
        test_accuracy: a fraction.
        test_error: standard error of the mean loss against the float network there, paired over sequences.
    """

    label: str
    candidate: Candidate
    test_accuracy: float
    test_error: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        memory = self.candidate.memory
        return {
            "label": self.label,
            "settings": asdict(self.candidate.settings),
            "bits": {**asdict(memory), "total": memory.total},
            "validation_accuracy": self.candidate.accuracy,
            "validation_error": self.candidate.standard_error,
            "test_accuracy": self.test_accuracy,
            "test_error": self.test_error,
        }


@dataclass(frozen=True)
class TradeOff:
    """Accuracy against memory.

    Attributes:
        found: the search.
        rows: the front, cheapest first, and the default format where it is not on the front.
        float_test_accuracy: of the float network, or None where the run has not come to its end.
        sequences: of the validation part. data_sha256: of its content.
    """

    found: SearchResult
    rows: tuple[Row, ...]
    float_test_accuracy: float | None
    sequences: int
    data_sha256: str

    @property
    def settings(self) -> QuantizationSettings:
        """Of the chosen format.

        Raises:
            HyprError: no format keeps within the loss; names the best one.
        """
        if self.found.chosen is None:
            best = self.found.best
            loss = 100 * (self.found.float_accuracy - best.accuracy)
            raise HyprError(
                f"no integer format keeps within {100 * self.found.max_loss:g} points of the float network's "
                f"{100 * self.found.float_accuracy:.2f} % on the validation part; the best of "
                f"{len(self.found.candidates)} loses {loss:.2f}: raise --max-loss, or train on integers (quantization)"
            )
        return self.found.chosen.settings

    @property
    def warning(self) -> str:
        """Where the test part contradicts the search: what chose a format flatters it."""
        tests = [row.test_accuracy for row in self.rows if row.candidate is self.found.chosen]
        if self.float_test_accuracy is None or not tests:
            return ""
        loss = self.float_test_accuracy - tests[0]
        if loss <= self.found.max_loss:
            return ""
        return (
            f"warning: on the test part the chosen format loses {100 * loss:.2f} points, more than the "
            f"{100 * self.found.max_loss:g} that {self.sequences} validation sequences promise; lower --max-loss"
        )

    def to_dict(self) -> dict[str, Any]:
        """For ``search.json``."""
        return {
            "format_version": 1,
            "cost": FORMULA,
            "max_loss": self.found.max_loss,
            "tried": len(self.found.candidates),
            "validation": {"sequences": self.sequences, "sha256": self.data_sha256},
            "float": {"validation_accuracy": self.found.float_accuracy, "test_accuracy": self.float_test_accuracy},
            "rows": [row.to_dict() for row in self.rows],
            "all": [
                {
                    "bits": item.memory.total,
                    "validation_accuracy": item.accuracy,
                    "standard_error": item.standard_error,
                    "settings": asdict(item.settings),
                }
                for item in self.found.candidates
            ],
        }


def search_run(run: Run, max_loss: float, report: Report | None = None) -> TradeOff:
    """Find the cheapest format of a run's network.

    The test part is read after the search, for the formats of the table alone; no choice depends on it.

    Args:
        run: a trained run.
        max_loss: accepted loss against the float network on the validation part, a fraction.
        report: see :func:`export.quantization.search.search`.

    Raises:
        ExportError: a network without integer form. HyprError: missing or changed data.
    """
    training, validation = run.load_data("train"), run.load_data("validation")
    graph = discretise(to_nir(run.network, dt=TIME_STEP_S))
    calibration = training.dense(slice(0, CALIBRATION_SAMPLES))
    if validation.regression:
        raise HyprError("the search counts right decisions, these data have real targets; choose the formats by hand")
    found = search(
        graph,
        validation.dense(),
        validation.labels,
        validation.mask,
        calibration=calibration,
        max_loss=max_loss,
        report=report,
    )
    test = run.load_data("test")
    shown = list(found.front)
    if found.initial is not None and found.initial not in shown:
        shown.append(found.initial)
    right = _right(graph, test)
    rows = tuple(Row(_label(found, item), item, *_tested(graph, item, calibration, test, right)) for item in shown)
    real = (run.result or {}).get(run.which, {}).get("test")
    return TradeOff(found, rows, real, len(validation), validation.sha256)


def _label(found: SearchResult, item: Candidate) -> str:
    return "chosen" if item is found.chosen else "default" if item is found.initial else ""


def _right(graph: StepNetwork, test: SequenceDataset) -> np.ndarray:
    """Right decisions of the float network in each test sequence, (n,)."""
    parts = [test.subset(slice(start, start + _TOGETHER)) for start in range(0, len(test), _TOGETHER)]
    outputs = [run_float(graph, time_major(part)).output for part in parts]
    return right_by_sequence(np.concatenate(outputs, axis=1), graph.decision, *_labels(test))[0]


def _labels(data: SequenceDataset) -> tuple[np.ndarray, np.ndarray]:
    """Labels and counting steps, time-major."""
    return data.labels.T if data.labels.ndim == 2 else data.labels, np.ascontiguousarray(data.mask.T)


def _tested(
    graph: StepNetwork, item: Candidate, calibration: np.ndarray, test: SequenceDataset, right: np.ndarray
) -> tuple[float, float]:
    """Accuracy of a format on the test part, and the standard error of its loss."""
    program = quantize(graph, item.settings, calibration=calibration, log=False)
    output = outputs_of(program, test)
    own, of = right_by_sequence(output, graph.decision, *_labels(test), program.decision.multiplier)
    return integer_accuracy(program, output, test), paired_error(right - own, of)


def write(trade: TradeOff, folder: Path) -> None:
    """``search.json`` and ``search.png``, each whole or not at all."""
    write_json(folder / TABLE, trade.to_dict())
    write_atomically(folder / PICTURE, image(picture(trade)))


COLUMNS = ("", "weights", "coefficients", "state fraction", "scale", "kbit", "validation", "test")


def cells(trade: TradeOff) -> list[Sequence[str]]:
    """Rows of the table for people, widths layer by layer."""
    lines: list[Sequence[str]] = [
        ("float", "", "", "", "", "", _percent(trade.found.float_accuracy), _percent(trade.float_test_accuracy))
    ]
    for row in trade.rows:
        chosen = row.candidate.settings
        widths = [_widths(getattr(chosen, key)) for key in ("weight_bits", "coefficient_bits", "state_fraction_bits")]
        size = f"{row.candidate.memory.total / 1000:.1f}"
        accuracies = (_percent(row.candidate.accuracy), _percent(row.test_accuracy))
        lines.append((row.label, *widths, chosen.weight_scale, size, *accuracies))
    return lines


def picture(trade: TradeOff) -> Figure:
    """Accuracy against bits: all formats tried, the front, the chosen and the default one, and the accepted loss."""
    found = trade.found
    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.scatter(*_points(found.candidates), s=12, color=GREY, alpha=0.6, lw=0, label="formats tried")
        front = found.front
        axes.plot(
            *_points(front), color=BOTH, lw=1.2, marker="o", ms=3.5, drawstyle="steps-post", label="best for the bits"
        )
        axes.axhline(100 * found.float_accuracy, color=FLOAT, lw=1.2, label="float network")
        least = 100 * (found.float_accuracy - found.max_loss)
        axes.axhline(
            least, color=FLOAT, lw=0.9, ls=(0, (4, 3)), label=f"accepted loss, {100 * found.max_loss:g} points"
        )
        for item, colour, marker, label in (
            (found.initial, INTEGER, "s", "default"),
            (found.chosen, ACCENT, "*", "chosen"),
        ):
            if item is not None:
                size = 160 if marker == "*" else 36
                name = f"{label}: {item.memory.total / 1000:.1f} kbit, {100 * item.accuracy:.2f} %"
                axes.scatter(*_points([item]), s=size, color=colour, marker=marker, zorder=3, label=name)
        _bars(axes, [(c.memory.total, c.accuracy, c.standard_error) for c in front], BOTH, "", "")
        tested = [(row.candidate.memory.total, row.test_accuracy, row.test_error) for row in trade.rows]
        _bars(axes, tested, ACCENT, "x", "the same on the test part")
        axes.set(
            title=f"integer formats on the validation part ({trade.sequences} sequences), standard errors of the loss",
            xlabel="memory of synapses, parameters and states (kbit)",
            ylabel="accuracy (%)",
        )
        if tested and trade.float_test_accuracy is not None:
            label = "float network on the test part"
            axes.axhline(100 * trade.float_test_accuracy, color=ACCENT, lw=0.8, ls=(0, (1, 2)), label=label)
        tops = [found.float_accuracy, found.best.accuracy, trade.float_test_accuracy or 0.0]
        low, high = _visible_from(found), 100 * max(tops + [accuracy + error for _, accuracy, error in tested])
        axes.set_ylim(low, high + 0.1 * (high - low))
        axes.legend(loc="lower right")
    return figure


def _bars(axes: Axes, points: Sequence[tuple[int, float, float]], colour: str, marker: str, label: str) -> None:
    """Accuracies with one standard error of the loss up and down; points are (bits, accuracy, error)."""
    if not points:
        return
    x, y, error = np.array(points, np.float64).T
    axes.errorbar(
        x / 1000,
        100 * y,
        yerr=100 * error,
        fmt=marker or "none",
        ms=4,
        color=colour,
        lw=0,
        elinewidth=0.8,
        capsize=1.5,
        alpha=0.8,
        label=label or None,
    )


def _points(items: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
    """Thousands of bits and percent."""
    return np.array([c.memory.total / 1000 for c in items]), np.array([100 * c.accuracy for c in items])


def _visible_from(found: SearchResult) -> float:
    """Lower end of the accuracy axis: formats that destroy the network are left out."""
    shown = 100 * np.array([c.accuracy for c in found.candidates])
    floor = 100 * (found.float_accuracy - max(0.05, 4 * found.max_loss))
    return float(max(shown.min(), floor)) - 0.2


def _widths(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
