"""What verbs print: one JSON document or text for people on stdout; progress on stderr, where that is a terminal."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hypr.deployment.outcome import Outcome

MOST_CLASSES_SHOWN = 12

Command = TypeVar("Command", bound=Callable[..., Any])
Step = Callable[[int, int, str], None]
"""``step(done, total, label)``."""


def json_option(function: Command) -> Command:
    """The option ``--json``, passed on as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")(
        function
    )


class Between(click.FloatRange):
    """A number in a range, of which not-a-number is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not a number", param, ctx)
        return found


class _Widths(click.ParamType):
    """A number, or one for each layer, separated by commas."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, ...]:
        if not isinstance(value, str):
            return value  # converted already
        try:
            numbers = tuple(int(item) for item in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no whole number, nor several separated by commas", param, ctx)
        return numbers[0] if len(numbers) == 1 else numbers


WIDTHS = _Widths()


def quantization_lines(found: Mapping[str, Any] | None) -> list[str]:
    """What a quantization cost, a line for each layer; warnings went to stderr before."""
    if found is None:
        return []
    from export.quantization.findings import summary

    return [f"quantization: {line}" for line in summary(found)]


def inputs_option(function: Command) -> Command:
    """The option ``--inputs``: a file instead of a data set."""
    return click.option(
        "--inputs",
        type=click.Path(path_type=Path),
        help="An .npz file with input_spikes (of several inputs input_spikes/NAME) instead of a data set.",
    )(function)


def with_option(function: Command) -> Command:
    """The option ``--with``: code of the user's own, imported before anything else."""
    return click.option(
        "--with",
        "extensions",
        multiple=True,
        metavar="NAME",
        expose_value=False,
        is_eager=True,
        callback=_use,
        help="Import a module, or an installed extension, that defines neurons, data sets or engines; may be repeated.",
    )(function)


def _use(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    from hypr import extensions

    for name in names:
        extensions.use(name)


def show(answer: Mapping[str, Any], as_json: bool, render: Callable[[], None]) -> None:
    """Print ``answer`` as JSON, or call ``render`` to print it for people."""
    if as_json:
        click.echo(json.dumps(plain(answer), indent=2, allow_nan=False))
    else:
        render()


def check_out(path: Path | None) -> None:
    """Before any work: whether the file can be written."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise click.UsageError(f"--out {path}: is a folder; name a file")
    if not folder.is_dir():
        raise click.UsageError(f"--out {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise click.UsageError(f"--out {path}: cannot be written; choose another place")


def check_out_folder(path: Path | None, names: Sequence[str]) -> None:
    """Before any work: whether files of these names can be written into the folder, which need not exist yet."""
    if path is None:
        return
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise click.UsageError(f"--out {path}: {there} is a file; name a folder")
    wrong = next((name for name in names if (path / name).is_dir()), None)
    if wrong is not None:
        raise click.UsageError(f"--out {path}: holds a folder '{wrong}' in the place of a file; choose another place")
    if not os.access(there, os.W_OK):
        raise click.UsageError(f"--out {path}: {there} cannot be written to; choose another place")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> None:
    """Print a table; columns whose index is in ``right`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        made.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    _console().print(made)


def show_outcome(outcome: Outcome) -> None:
    """Accuracy and confusion of labelled sequences on stdout, warnings on stderr."""
    if outcome.accuracy is not None:
        what = "R2" if outcome.regression else "accuracy"
        click.echo(f"{what} {percent(outcome.accuracy)} ({outcome.decisions:,} decisions)")
    if outcome.confusion is not None and len(outcome.confusion) <= MOST_CLASSES_SHOWN:
        names = [str(index) for index in range(len(outcome.confusion))]
        rows = [(name, *map(int, row)) for name, row in zip(names, outcome.confusion, strict=True)]
        table("Confusion", ("label \\ decision", *names), rows, right=tuple(range(1, len(names) + 1)))
    for line in outcome.warnings:
        note(f"warning: {line}")


def seconds(value: float) -> str:
    """A duration for people."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def percent(value: float | None) -> str:
    """A fraction for people, ``-`` where there is none."""
    return "-" if value is None else f"{100 * value:.2f} %"


@contextmanager
def progress(label: str, unit: str = "") -> Iterator[Step]:
    """A bar with rate and time left on stderr; silent where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, what: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def step(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total or None, description=f"{label} {what}".strip())

        yield step


def note(line: str) -> None:
    """One line about what is going on, on stderr, terminal or not; warnings are yellow where that is a terminal."""
    warning = "warning: " in line
    click.echo(_coloured(line, "yellow") if warning else line, err=True)


def verdict(line: str, good: bool) -> None:
    """The line that says how it went: bold green or red on a terminal, plain elsewhere."""
    click.echo(_coloured(line, "green" if good else "red", bold=True))


def _coloured(line: str, colour: str, bold: bool = False) -> str:
    """click takes the colour away again where the output is no terminal; NO_COLOR (no-color.org) does so everywhere."""
    return line if os.environ.get("NO_COLOR") else click.style(line, fg=colour, bold=bold)


@functools.cache
def _console() -> Any:
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Not rich's exit with code 1: that nobody reads on is no failure."""
            raise BrokenPipeError

    return Plain() if sys.stdout.isatty() else Plain(width=140)


def _cell(value: object) -> str:
    from rich.markup import escape

    text = (
        "-" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    )
    return escape(text)


def plain(value: Any) -> Any:
    """JSON-able copy: paths as text, arrays as lists, numbers that JSON lacks as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
