"""Public names say what they take: every parameter stands in the docstring, and nothing public is without one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import export
import hardware
import hypr
import hypr.data

PLACES = [
    (hypr, list(hypr._HOME)),
    (hypr.data, hypr.data.__all__),
    (export, export.__all__),
    (hardware, hardware.__all__),
]
LEFT_TO_THE_SECTION = {"self", "cls", "args", "kwargs", "settings", "metadata"}  # **settings, and metadata of NIR nodes


def _public() -> Iterator[tuple[str, Any, str]]:
    for module, names in PLACES:
        for name in names:
            value = getattr(module, name)
            label = f"{module.__name__}.{name}"
            if inspect.isclass(value) and issubclass(value, Exception):
                yield label, None, inspect.getdoc(value) or ""
            elif inspect.isclass(value):
                yield label, value, inspect.getdoc(value) or ""
                yield from _members(label, value)
            elif callable(value):
                yield label, value, inspect.getdoc(value) or ""


def _members(label: str, owner: type) -> Iterator[tuple[str, Any, str]]:
    for name, value in vars(owner).items():
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else getattr(value, "fget", value)
        if not name.startswith("_") and inspect.isfunction(plain):
            yield f"{label}.{name}", plain, inspect.getdoc(getattr(owner, name)) or ""


PUBLIC = list(_public())


def test_there_is_much_to_look_at():
    assert len(PUBLIC) > 180


@pytest.mark.parametrize(("label", "value", "text"), PUBLIC, ids=[label for label, _, _ in PUBLIC])
def test_a_public_name_tells_every_parameter(label, value, text):
    assert text, f"{label} has no docstring"
    parameters = [] if value is None else list(inspect.signature(value).parameters)
    untold = [name for name in parameters if name not in LEFT_TO_THE_SECTION and not re.search(rf"\b{name}\b", text)]
    assert not untold, f"{label} does not tell of {', '.join(untold)}"
