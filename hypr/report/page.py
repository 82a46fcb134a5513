"""From content to one self-contained HTML file. Everything that reaches the page is escaped by the template engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

import hypr
from export.files import write_atomically
from hypr.report.explorer import Explorer
from hypr.report.pictures import data_uri, themed_svg

PIXELS_PER_INCH = 108  # 9 inches are as wide as the page
STATIC = Path(__file__).resolve().parent / "static"


@dataclass(frozen=True)
class Cell:
    """A table cell with a mood: ``good`` or ``bad``."""

    text: str
    mood: str


@dataclass(frozen=True)
class Table:
    """A table; columns whose index is in ``right`` are aligned to the right, ``title`` stands above."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    right: Sequence[int] = ()
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure with its caption; ``kind`` is ``svg``, or ``png`` for very many points."""

    figure: Figure
    caption: str
    kind: str = "svg"


@dataclass(frozen=True)
class Block:
    """Folded text in fixed width."""

    title: str
    text: str


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    explorer: Explorer | None = None
    folded: Sequence[Picture] = ()
    """Pictures behind a line that opens them."""


@dataclass(frozen=True)
class Page:
    """Content of a report.

    Attributes:
        title, subtitle: heading and the line below it.
        verdict: (word, sentence, ``good`` or ``bad``), or None where nothing was verified.
        cards: (name, value) of the key figures.
        parts: sections in order.
        left_out: what the page does not show, and why, a line each.
    """

    title: str
    subtitle: str
    verdict: tuple[str, str, str] | None = None
    cards: Sequence[tuple[str, str]] = ()
    parts: Sequence[Part] = field(default_factory=tuple)
    left_out: Sequence[str] = ()


def render(page: Page) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=PackageLoader("hypr.report", ""), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2").render(
        title=page.title,
        subtitle=page.subtitle,
        version=hypr.__version__,
        verdict=None if page.verdict is None else dict(zip(("word", "text", "mood"), page.verdict, strict=True)),
        cards=[{"name": name, "value": value} for name, value in page.cards],
        parts=[_part(part) for part in page.parts],
        left_out=list(page.left_out),
        # Our own files, not content: they reach the page as they are.
        script=Markup(
            "\n".join((STATIC / name).read_text(encoding="utf-8") for name in ("uplot.min.js", "explorer.js"))
        ),
        plot_style=Markup((STATIC / "uplot.min.css").read_text(encoding="utf-8")),
    )


def write(page: Page, path: Path) -> None:
    """Write the page; the file appears whole or not at all."""
    text = render(page)

    def fill(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, fill)


def _part(part: Part) -> dict[str, object]:
    return {
        "title": part.title,
        "text": part.text,
        "tables": [
            {
                "title": table.title,
                "columns": table.columns,
                "right": table.right,
                "rows": [
                    [{"text": c.text, "mood": c.mood} if isinstance(c, Cell) else c for c in row] for row in table.rows
                ],
            }
            for table in part.tables
        ],
        "pictures": [_picture(one) for one in part.pictures],
        "folded": [_picture(one) for one in part.folded],
        "explorer": part.explorer,
        "notes": part.notes,
        "blocks": [{"title": block.title, "text": block.text} for block in part.blocks],
    }


def _picture(one: Picture) -> dict[str, object]:
    """A vector picture becomes part of the page, so that it follows light and dark; a bitmap stays an image."""
    from markupsafe import Markup

    svg = Markup(themed_svg(one.figure)) if one.kind == "svg" else None  # drawn here from numbers; its text is escaped
    bitmap = None if svg else data_uri(one.figure, one.kind)
    # A narrow figure stays narrow: its text is as large as that of the others.
    width = round(one.figure.get_figwidth() * PIXELS_PER_INCH)
    return {"svg": svg, "data": bitmap, "caption": one.caption, "width": width, "least": round(0.72 * width)}
