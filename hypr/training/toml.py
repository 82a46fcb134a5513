"""A configuration as TOML text and back, and one value put into its plain form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from hypr.errors import HyprError

MOST_CHARACTERS = 2**20
MOST_BYTES = 4 * MOST_CHARACTERS


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """TOML from a user's file.

    Raises:
        HyprError: not valid, too long, nested too deep, or a number of thousands of digits.
    """
    if len(text) > MOST_CHARACTERS:
        raise HyprError(f"{where}: {len(text):,} characters, the limit is {MOST_CHARACTERS:,}; this is no recipe")
    try:
        content = tomllib.loads(text)
        _check_integers(content)
        return content
    except RecursionError:
        raise HyprError(f"{where}: not valid TOML: nested too deep") from None
    except ValueError as error:  # tomllib's own kind, or a number of more digits than Python reads
        raise HyprError(f"{where}: not valid TOML: {' '.join(str(error).split())[:200]}") from None


def _check_integers(value: Any) -> None:
    """TOML's integers have 64 bits; Python reads more, and some of them it cannot write again. Raises ValueError."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"a whole number of {value.bit_length():,} bits, the limit is 64")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_integers(item)


def dump_toml(content: Mapping[str, Any]) -> str:
    """Plain values, one level of sections, as TOML text."""
    lines = [f"{key} = {_toml(value)}" for key, value in content.items() if not isinstance(value, dict)]
    for section, values in content.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """One TOML value; tables inside a section are written inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"


def _toml_key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _toml_text(key)


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def assign(content: Any, path: list[str], value: Any, override: str) -> None:
    """Put a value at a dotted path of tables and lists, in place.

    Args:
        override: as the user wrote it, for messages.

    Raises:
        HyprError: the path leads into a value, or a number is out of a list.
    """
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(content, list):
            if not part.isdecimal() or int(part) >= len(content):
                raise HyprError(f"override '{override}': '{part}' must be a number from 0 to {len(content) - 1}")
            index: Any = int(part)
        elif isinstance(content, dict):
            index = part
        else:
            raise HyprError(f"override '{override}': '{'.'.join(path[:depth])}' is a value, it has no key '{part}'")
        if last:
            content[index] = value
        else:
            content = content[index] if isinstance(content, list) else content.setdefault(index, {})
