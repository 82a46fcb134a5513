"""``hypr report``: one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from hypr.cli.output import json_option, note, show, with_option


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN|BUNDLE")
@click.option("--out", type=click.Path(path_type=Path), help="HTML file; default: report.html in the folder.")
@click.option(
    "--data", "data_name", metavar="NAME|FILE.npz|MODULE:FUNCTION", help="Where the data of the bundle are now."
)
@with_option
@json_option
def report_verb(folder: Path, out: Path | None, data_name: str | None, as_json: bool) -> None:
    """Write one self-contained HTML page about a run or a bundle.

    It shows accuracies, the staircase from float to integer, the verification, rasters, membrane traces and versions.
    What lacks its data is left out, and the page says so.

    \b
    Examples:
      hypr report runs/ecg
      hypr verify bundles/ecg && hypr report bundles/ecg --out ecg.html
    """
    from hypr.report.content import page_of
    from hypr.report.page import write

    target = out or folder / "report.html"
    page = page_of(folder, data_name)
    write(page, target)
    answer = {
        "report": target,
        "title": page.title,
        "sections": [part.title for part in page.parts],
        "left_out": list(page.left_out),
    }
    for line in page.left_out:
        note(f"left out: {line}")
    show(answer, as_json, lambda: click.echo(str(target)))
