"""``hypr lava``: the managed Python 3.10 runtime that holds Lava."""

from __future__ import annotations

import click

from hypr.cli.output import json_option, note, show


@click.group("lava")
def lava_verb() -> None:
    """The Python 3.10 runtime that holds Lava.

    It lies in HYPR_HOME, else in hypr/ in the user's cache, and every checkout shares it.

    \b
    Examples:
      hypr lava install
      HYPR_LAVA_PYTHON=/opt/python3.10/bin/python3.10 hypr lava install
      hypr lava status
    """


@lava_verb.command("install")
@json_option
def install_lava(as_json: bool) -> None:
    """Create the runtime and check it with a short run; does nothing where it is there."""
    from hardware.lava import environment, paths

    already = paths.status().installed
    python = environment.install(progress=note)
    found = paths.status()
    answer = {"folder": found.folder, "python": python, "versions": found.versions, "already_there": already}
    show(answer, as_json, lambda: None)


@lava_verb.command("status")
@json_option
def show_lava(as_json: bool) -> None:
    """Where the runtime is and what it holds; exit code 3 where it is not installed."""
    from hardware.lava import paths

    python = paths.python_path()
    found = paths.status()

    def render() -> None:
        click.echo(f"folder  {found.folder}\npython  {python}")
        for package, version in sorted(found.versions.items()):
            click.echo(f"{package:<24} {version}")

    answer = {"installed": True, "folder": found.folder, "python": python, "versions": found.versions}
    show(answer, as_json, render)
