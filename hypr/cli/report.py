"""``hypr report``: one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from hypr.cli.output import check_out, json_option, note, show, with_option


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN|BUNDLE")
@click.option("--out", type=click.Path(path_type=Path), help="HTML file; default: report.html in the folder.")
@click.option(
    "--data", "data_name", metavar="NAME|FILE.npz|MODULE:FUNCTION", help="Where the data of the bundle are now."
)
@click.option(
    "--target",
    metavar="NAME|FILE.toml",
    help="The chip that a bundle is mapped on: loihi2 (default), loihi1, or a file of your own.",
)
@with_option
@json_option
def report_verb(folder: Path, out: Path | None, data_name: str | None, target: str | None, as_json: bool) -> None:
    """Write one self-contained HTML page about a run or a bundle.

    It shows accuracies, the staircase from float to integer, the verification, rasters, membrane traces, where the
    network fits on a chip and what it costs there, and versions. What lacks its data is left out, and the page says so.

    \b
    Examples:
      hypr report runs/ecg
      hypr verify bundles/ecg && hypr report bundles/ecg --out ecg.html
      hypr report bundles/ecg --target loihi1
    """
    check_out(out)
    from hypr.report.content import page_of
    from hypr.report.page import write

    path = out or folder / "report.html"
    page = page_of(folder, data_name, target)
    write(page, path)
    answer = {
        "report": path,
        "title": page.title,
        "sections": [part.title for part in page.parts],
        "left_out": list(page.left_out),
    }
    for line in page.left_out:
        note(f"left out: {line}")
    show(answer, as_json, lambda: click.echo(str(path)))
