"""Docstrings of the code, which speak reStructuredText and tell several names in a line, for pages that speak Markdown
and want a row for each name."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([^`]+)`")
_NEXT_NAME = re.compile(r"(?<=[.)]) (?=\w+(?:, \w+)*: )")


class Roles(griffe.Extension):
    """``:class:`Name``` becomes a code word, ``::`` before an indented block a colon, ``a, b: text`` two lines."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _rows(re.sub(r"::$", ":", text, flags=re.MULTILINE))


def _rows(text: str) -> str:
    lines, inside, indent = [], False, ""
    for line in text.split("\n"):
        heading = re.match(r"( *)(Args|Attributes):$", line)
        if heading:
            inside, indent = True, heading[1] + "    "
        elif line.strip() and not line.startswith(indent):
            inside = False
        if inside and not heading and re.match(rf"{indent}\w", line):
            lines += [row for part in _NEXT_NAME.split(line.strip()) for row in _one_each(indent, part)]
        else:
            lines.append(line)
    return "\n".join(lines)


def _one_each(indent: str, part: str) -> list[str]:
    names, colon, meaning = part.partition(": ")
    if not colon or not re.fullmatch(r"\w+(?:, \w+)*", names):
        return [indent + part]
    return [f"{indent}{name}: {meaning}" for name in names.split(", ")]
