"""``hypr completion``: what a shell needs to complete verbs, options and recipes."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_verb(shell: str) -> None:
    """Print the script that makes SHELL complete verbs, options, files and recipes of hypr.

    \b
    Examples:
      source <(hypr completion bash)                                          now, in this shell
      echo 'source <(hypr completion bash)' >> ~/.bashrc                      in every shell
      hypr completion fish > ~/.config/fish/completions/hypr.fish
    """
    from hypr.cli.app import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "hypr", "_HYPR_COMPLETE").source())
