"""Public names say what they take: every parameter stands in the docstring, and nothing public is without one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import export
import hardware
import hypr
import hypr.data
import hypr.report
from tests.paths import ROOT

PLACES = [
    (hypr, list(hypr._HOME)),
    (hypr.data, hypr.data.__all__),
    (hypr.report, [name for name in hypr.report._HOME if name[0].islower() or name in ("Html", "Png")]),
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

    for label in _on_reference_pages():
        place, _, name = label.rpartition(".")
        try:
            value = getattr(import_module(place), name)
        except ModuleNotFoundError as error:
            assert error.name == "lava", f"{label}: {error}"  # lives in another interpreter
            continue
        if callable(value):
            yield label, value, inspect.getdoc(value) or ""
            yield from _members(label, value) if inspect.isclass(value) else ()


def _on_reference_pages() -> list[str]:
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    named = [name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)]
    public = {f"{place.__name__}.{name}" for place, names in PLACES for name in names}
    homes = {f"{getattr(getattr(place, name), '__module__', None)}.{name}" for place, names in PLACES for name in names}
    return [name for name in named if name not in public | homes]


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
