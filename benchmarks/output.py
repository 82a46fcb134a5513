"""Files that a benchmark writes: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from export.files import write_atomically


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Figures as JSON."""

    def write(part: Path) -> None:
        part.write_text(json.dumps(figures, indent=1) + "\n")

    write_atomically(path, write)


def save_figure(figure: Any, path: Path) -> None:
    """A matplotlib figure as PNG; closes it."""
    import matplotlib.pyplot as plt

    write_atomically(path, lambda part: figure.savefig(part, dpi=120, format="png"))
    plt.close(figure)


def pyplot() -> Any:
    """matplotlib.pyplot on a machine without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
