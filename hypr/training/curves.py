"""Training curves as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hypr.data.storage import write_atomically


def draw_curves(path: Path, lines: Sequence[dict[str, Any]], title: str) -> None:
    """Loss, accuracies and firing rates against the epoch, as PNG.

    Args:
        path: of the picture.
        lines: of the metrics file.
        title: above the picture.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [line["epoch"] for line in lines]
    loss.plot(epochs, [line["loss"] for line in lines], color="tab:blue")
    loss.set_ylabel("training loss")
    for key, label, colour in (
        ("train_accuracy", "training", "tab:blue"),
        ("validation_accuracy", "validation", "tab:orange"),
    ):
        accuracy.plot(epochs, [100 * line[key] for line in lines], label=label, color=colour)
    accuracy.set_ylabel("accuracy in %")
    accuracy.legend()
    for name in lines[0]["activity"] if lines else ():
        rate.plot(epochs, [line["activity"][name]["rate"] for line in lines], label=name)
    rate.set_ylabel("spikes per neuron and step")
    if lines and lines[0]["activity"]:
        rate.legend()
    for axis in (loss, accuracy, rate):
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    figure.suptitle(title, parse_math=False)  # a name may hold a $
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_atomically(path, picture.getvalue())
