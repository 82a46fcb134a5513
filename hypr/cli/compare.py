"""``hypr compare``: runs side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hypr.cli.output import json_option, note, show, table

if TYPE_CHECKING:
    from hypr.training.comparison import Group, Mean

_NAMES = {
    "validation": "validation %", "test": "test %", "validation_labelled": "validation labelled %",
    "test_labelled": "test labelled %", "spikes_per_step": "spikes/step", "seconds_per_epoch": "s/epoch",
}  # fmt: skip


@click.command("compare")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="RUN...")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the picture here (PNG).")
@json_option
def compare_verb(folders: tuple[Path, ...], picture: Path | None, as_json: bool) -> None:
    """Compare finished runs: means with standard errors, and differences to the first group, seed by seed.

    Runs that differ in nothing but the seed form a group. A folder of runs (hypr train --seeds) counts as all of them.

    \b
    Examples:
      hypr train qtdb-brf rule=bptt --seeds 0-7 --jobs 2 --out runs/bptt
      hypr train qtdb-brf rule=hypr-window rule.window=130 --seeds 0-7 --jobs 2 --out runs/windows
      hypr compare runs/bptt runs/windows --picture windows.png
    """
    from hypr.training.comparison import gather

    groups = gather(folders)
    measures = [name for name in _NAMES if any(group.mean(name) for group in groups)]
    answer = {
        "groups": [
            {
                "label": group.label,
                "runs": {str(seed): dict(values) for seed, values in group.runs.items()},
                "mean": {name: _plain(group.mean(name)) for name in measures},
                "difference": {name: _plain(group.difference(groups[0], name)) for name in measures},
            }
            for group in groups
        ]
    }
    show(answer, as_json, lambda: _render(groups, measures))
    if picture is not None:
        from hypr.report.groups import draw_comparison

        draw_comparison(picture, groups)
        note(f"picture: {picture}")


def _plain(mean: Mean | None) -> dict[str, Any] | None:
    return None if mean is None else asdict(mean)


def _render(groups: list[Group], measures: list[str]) -> None:
    titles = [_NAMES[name] for name in measures]
    rows = [[group.label, len(group.runs), *(_text(group.mean(name), name) for name in measures)] for group in groups]
    table("best on validation: mean +- standard error", ["runs", "seeds", *titles], rows, range(1, 2 + len(titles)))
    if len(groups) > 1:
        first = groups[0]
        rows = [
            [group.label, _pairs(group, first), *(_text(group.difference(first, name), name, "+") for name in measures)]
            for group in groups[1:]
        ]
        title = f"less '{first.label}', seed by seed: mean +- standard error"
        table(title, ["runs", "pairs", *titles], rows, range(1, 2 + len(titles)))


def _pairs(group: Group, first: Group) -> int:
    return len(set(group.runs) & set(first.runs))


def _text(mean: Mean | None, measure: str, sign: str = "") -> str:
    if mean is None:
        return "-"
    factor = 1.0 if measure in ("spikes_per_step", "seconds_per_epoch") else 100.0
    error = "" if mean.error is None else f" +- {factor * mean.error:.2f}"
    return f"{factor * mean.value:{sign}.2f}{error}"
