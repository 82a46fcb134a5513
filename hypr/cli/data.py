"""``hypr data``: the catalogue of data sets."""

from __future__ import annotations

import click

from hypr.cli.output import json_option, note, progress, show, table


@click.group("data")
def data_verb() -> None:
    """Data sets: list them, fetch them, say where they are.

    The root folder is HYPR_DATA, else hypr/data in the user's cache.

    \b
    Examples:
      hypr data list
      hypr data fetch qtdb
      HYPR_DATA=/data hypr data path qtdb
    """


@data_verb.command("list")
@json_option
def list_data(as_json: bool) -> None:
    """Every data set, its encodings, and whether its files are here."""
    from hypr import data

    entries = data.catalogue()
    answer = {
        "root": data.root(),
        "data": [
            {
                "name": entry.name,
                "description": entry.description,
                "origin": entry.origin,
                "encodings": entry.encodings,
                "options": dict(entry.options),
                "present": entry.present,
                "path": entry.path,
            }
            for entry in entries
        ],
    }

    def render() -> None:
        rows = [(e.name, "yes" if e.present else "no", ", ".join(e.encodings), e.description) for e in entries]
        table(f"Data sets (root {data.root()})", ("name", "here", "encodings", "what it is"), rows)

    show(answer, as_json, render)


@data_verb.command("fetch")
@click.argument("name")
@json_option
def fetch_data(name: str, as_json: bool) -> None:
    """Download what is missing of data set NAME and check it against its published hashes."""
    from hypr import data

    with progress("fetching") as step:
        fetched = data.fetch(name, lambda file, done, total: step(done, total, file))

    def render() -> None:
        if not fetched:
            note(f"nothing to fetch: {name} is complete")
        for file in fetched:
            click.echo(str(data.root() / name / file))

    show({"name": name, "folder": data.root() / name, "fetched": fetched}, as_json, render)


@data_verb.command("path")
@click.argument("name", required=False)
@json_option
def path_data(name: str | None, as_json: bool) -> None:
    """The folder of data set NAME, or the root folder of all of them."""
    from hypr import data

    folder = data.root() / data.spec(name).name if name else data.root()
    show({"path": folder, "exists": folder.is_dir()}, as_json, lambda: click.echo(str(folder)))
