"""``hypr demo``: the whole way, one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hypr.cli.output import json_option, note, percent, seconds, show, table, verdict

if TYPE_CHECKING:
    from hypr.deployment.demo import DemoResult


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Folder for everything; a training run in it is continued or used again.",
)
@json_option
def demo_verb(out: Path, as_json: bool) -> int:
    """Train on scikit-learn's digits, quantize, export to NIR, ONNX and Lava, run every engine, verify, write a report.

    Takes a few minutes on two cores and needs no download. Exit code 1 where any integer differs.

    \b
    Examples:
      hypr demo
      hypr demo --out /tmp/demo --json
    """
    from hypr.cli.progress import TrainingBar
    from hypr.deployment import demo

    result = demo.demo(out, note, TrainingBar("training"))
    show(demo.as_json(result), as_json, lambda: _render(result))
    return 0 if result.equal else 1


def _render(result: DemoResult) -> None:
    rows = [
        (
            row.engine,
            row.what,
            row.sequences,
            percent(row.accuracy),
            "" if row.emulator_accuracy is None else percent(row.emulator_accuracy),
            "" if row.compared is None else row.compared,
            "" if row.differing is None else row.differing,
            "" if row.seconds is None else seconds(row.seconds),
        )
        for row in result.rows
    ]
    columns = ("engine", "what", "sequences", "accuracy", "emulator on them", "integers", "differing", "time")
    table("Digits, test part: the same integers into every engine", columns, rows, right=(2, 3, 4, 5, 6, 7))
    for name, problem in result.missing.items():
        click.echo(f"left out: {name} ({problem})")
    spent = ", ".join(f"{name} {seconds(value)}" for name, value in result.seconds.items())
    click.echo(f"time: {spent}; {seconds(sum(result.seconds.values()))} in all\n")
    compared = sum(row.compared or 0 for row in result.rows)
    differing = sum(row.differing or 0 for row in result.rows)
    engines = ", ".join(dict.fromkeys(row.engine for row in result.rows if row.compared))
    if result.equal:
        verdict(f"BIT-EXACT: 0 of {compared:,} integers differ between the emulator and {engines}", good=True)
    elif differing:
        verdict(f"DIFFERENT: {differing:,} of {compared:,} integers differ; see {result.certificate}", good=False)
    else:
        verdict(f"NOT THIS PROGRAM: no integer differs, but a file is another; see {result.certificate}", good=False)
    click.echo(f"proved on these sequences, not on others and not on silicon: {result.certificate}")
    click.echo(
        f"now open {result.report}; next: hypr train --list, and docs/index.md for data, networks and chips of your own"
    )
