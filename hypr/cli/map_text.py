"""What ``hypr map`` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hypr.cli.output import note, table, verdict

if TYPE_CHECKING:
    from hypr.mapping import ChipMap
    from hypr.mapping.tables import TextTable


def render(found: ChipMap, answer: Mapping[str, Any]) -> None:
    """The plan, what it costs, what is assumed, and the verdict."""
    from hypr.mapping import tables

    plan = found.plan
    click.echo(tables.summary(plan))
    show_table(tables.populations(plan))
    show_table(tables.fullest(plan))
    show_table(tables.events(found.cost, plan))
    show_table(tables.estimates(found.cost))
    show_table(tables.neurobench(found))
    if "sanafe" in answer:
        show_table(tables.sanafe(answer["sanafe"]))
    for line in tables.notes(found):
        click.echo(line)
    if plan.violations:
        show_table(tables.violations(plan))
    verdict(verdict_line(found), plan.fits)
    for name, path in answer.get("files", {}).items():
        note(f"{name}: {path}")


def verdict_line(found: ChipMap) -> str:
    """Whether it fits, and by whose numbers."""
    from hypr.mapping import tables

    plan = found.plan
    if plan.fits:
        assumed = len(plan.target.assumptions())
        return f"fits on {plan.target.title}; {tables.counted(assumed, 'limit')} of the chip assumed or set by hand"
    return f"does not fit on {plan.target.title}: {tables.counted(len(plan.violations), 'violation')}"


def show_table(made: TextTable) -> None:
    """Print one, unless it has no rows."""
    if made.rows:
        table(made.title, made.columns, made.rows, right=tuple(made.right))
