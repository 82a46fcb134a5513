"""Pages and parts of pages that are made from the code when the documentation is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from hypr.cli.app import cli
from hypr.training.keys import Key, neuron_options, recipe_keys

SPECIFICATION = Path(__file__).resolve().parent.parent / "hardware" / "FIXED_POINT.md"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what the code says where a page asks for it: ``<!-- made: NAME -->`` or ``<!-- made: NAME ARGUMENT -->``.

    Args:
        markdown: text of a page.

    Returns:
        The text with its tables.

    Raises:
        KeyError: a page asks for a part that nobody makes.
    """
    return re.sub(r"<!-- made: (\w+) ?([\w.-]*) -->", lambda found: _PARTS[found[1]](found[2]), markdown)


def _keys(_: str) -> str:
    return _table(recipe_keys())


def _all_options(_: str) -> str:
    return "\n\n".join(f"### {kind}\n\n{_table(keys)}" for kind, keys in neuron_options().items())


def _commands(_: str) -> str:
    context = click.Context(cli, info_name="hypr", max_content_width=84, terminal_width=84)
    return "\n\n".join(_helps(context, cli))


def _helps(context: click.Context, command: click.Command) -> Iterator[str]:
    name = context.command_path
    yield f"## {name}\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            assert inner is not None
            yield from _helps(
                click.Context(inner, parent=context, info_name=verb, max_content_width=84, terminal_width=84), inner
            )


def _clause(number: str) -> str:
    """The text of one clause of the specification, without its heading."""
    found = re.search(
        rf"^### {re.escape(number)} [^\n]*\n(.*?)(?=^##)", SPECIFICATION.read_text(), re.MULTILINE | re.DOTALL
    )
    if found is None:
        raise KeyError(f"no clause {number} in {SPECIFICATION}")
    return found[1]


def _table(keys: Iterable[Key]) -> str:
    rows = [
        f"| `{key.name}` | {_cell(key.kind)} | {_cell(key.default)} | {key.meaning.replace('|', chr(92) + '|')} |"
        for key in keys
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


_PARTS: dict[str, Callable[[str], str]] = {
    "keys": _keys,
    "all_options": _all_options,
    "commands": _commands,
    "clause": _clause,
}
