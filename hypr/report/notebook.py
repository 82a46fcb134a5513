"""Tables and pictures for notebooks, in the report's style: ``display(table(...))``, ``display(picture(figure))``."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from hypr.errors import HyprError
from hypr.report.pictures import STYLE, subplots

WIDTH_IN = 9.0
_DPI = 94  # 9 inches become 846 pixels
_COLOURS = 96  # of a palette: a third of the bytes, and nothing to see


@dataclass(frozen=True)
class Html:
    """A table that a notebook shows as HTML and a terminal as text.

    Attributes:
        columns: their names. rows: cells as text, as many in each row as there are columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        cells = [[f"<th>{html.escape(name)}</th>" for name in self.columns]]
        cells += [[f"<td>{html.escape(value)}</td>" for value in row] for row in self.rows]
        head, *body = ["<tr>" + "".join(row) + "</tr>" for row in cells]
        lines = ["<table>", f"<thead>{head}</thead>", "<tbody>", *body, "</tbody>", "</table>"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        everything = [self.columns, *self.rows]
        widths = [max(len(row[index]) for row in everything) for index in range(len(self.columns))]
        lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in everything]
        return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class Png:
    """A picture that a notebook shows.

    Attributes:
        data: the file, PNG.
    """

    data: bytes

    def _repr_png_(self) -> bytes:
        return self.data

    def __repr__(self) -> str:
        return "<picture>"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table to be shown: ``display(table(["engine", "accuracy"], [("emulator", 0.9123)]))``.

    Args:
        columns: their names.
        rows: a cell for each column; floats are written with four digits after the point, None as ``-``.

    Raises:
        HyprError: a row with another number of cells.
    """
    found = tuple(tuple(_text(value) for value in row) for row in rows)
    for index, row in enumerate(found):
        if len(row) != len(columns):
            raise HyprError(f"table: row {index} has {len(row)} cells, there are {len(columns)} columns")
    return Html(tuple(columns), found)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@contextmanager
def panels(rows: int = 1, columns: int = 1, height: float = 2.6, sharex: bool = False) -> Iterator[tuple[Figure, Any]]:
    """A figure in the report's style, to draw in with matplotlib::

        with panels(1, 2) as (figure, (left, right)):
            left.plot(losses)
        display(picture(figure))

    Args:
        rows, columns: of axes.
        height: in inches; the width is 9.
        sharex: whether axes above each other share their steps.

    Yields:
        the figure and its axes, as ``matplotlib.figure.Figure.subplots`` gives them.
    """
    with rc_context(STYLE):
        yield subplots(rows, columns, WIDTH_IN, height, sharex)


def picture(figure: Figure) -> Png:
    """A figure to be shown, small enough to be stored in a notebook: 846 pixels wide where it is 9 inches wide.

    Args:
        figure: from :func:`panels` or one of the drawing functions.
    """
    buffer, small = io.BytesIO(), io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=_DPI)
    with Image.open(buffer) as full:
        full.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return Png(small.getvalue())
