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
      hypr lava remove
    """


@lava_verb.command("install")
@json_option
def install_lava(as_json: bool) -> None:
    """Create the runtime and check it with a short run; a broken one is made anew, one that works is left as it is."""
    from hardware.lava import environment, paths

    already = paths.status().installed
    python = environment.install(progress=note)
    found = paths.status()
    answer = {"folder": found.folder, "python": python, "versions": found.versions, "already_there": already}
    show(answer, as_json, lambda: None)


@lava_verb.command("status")
@json_option
def show_lava(as_json: bool) -> None:
    """Where the runtime is and what it holds; exit code 3 where it is not installed or cannot import Lava."""
    from hardware.errors import RuntimeMissing
    from hardware.lava import paths

    python = paths.python_path()
    found = paths.status()
    if problem := paths.import_problem(python):
        raise RuntimeMissing(f"the Lava runtime is broken ({problem}); run '{paths.INSTALL_COMMAND}'")

    def render() -> None:
        click.echo(f"folder  {found.folder}\npython  {python}")
        for package, version in sorted(found.versions.items()):
            click.echo(f"{package:<24} {version}")

    answer = {"installed": True, "folder": found.folder, "python": python, "versions": found.versions}
    show(answer, as_json, render)


@lava_verb.command("remove")
@json_option
def remove_lava(as_json: bool) -> None:
    """Remove the runtime; `hypr lava install` makes it again."""
    from hardware.lava import environment

    folder = environment.remove()
    show({"removed": folder}, as_json, lambda: note(f"removed {folder}" if folder else "there was no runtime"))
