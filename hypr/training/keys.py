"""Every key of a configuration and every option of a neuron, with type, default and meaning, for ``hypr train "
"--keys``."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hypr.neurons import KINDS, Neuron
from hypr.training.config import Config

_NOT_OPTIONS = ("self", "n_in", "n", "generator", "mask", "recurrent_mask")


@dataclass(frozen=True)
class Key:
    """One line of the list.

    Attributes:
        name: as it is written in an override. kind: type. default: as text, ``required`` where there is none.
        meaning: one sentence, empty where none is written down.
    """

    name: str
    kind: str
    default: str
    meaning: str


def recipe_keys() -> list[Key]:
    """All keys of a recipe, in the order of its sections."""
    return _of_model(Config, "")


def neuron_options() -> dict[str, list[Key]]:
    """Kind of neuron -> its options (``network.layers.0.options.NAME``)."""
    found = {}
    for kind, neuron in sorted(KINDS.items()):
        if not kind or not inspect.signature(neuron.__init__).parameters:
            continue
        meanings = _meanings(neuron)
        found[kind] = [
            Key(name, _type_text(item.annotation), _default_text(item.default), meanings.get(name, ""))
            for name, item in inspect.signature(neuron.__init__).parameters.items()
            if name not in _NOT_OPTIONS
        ]
    return found


def _of_model(model: type[BaseModel], prefix: str) -> list[Key]:
    meanings = _meanings(model)
    found = []
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            place = f"{prefix}{name}.0." if "list" in str(field.annotation) else f"{prefix}{name}."
            found += _of_model(inner, place)
            continue
        made: Any = field.default_factory
        default = field.default if made is None else made()
        found.append(
            Key(f"{prefix}{name}", _type_text(field.annotation), _default_text(default), meanings.get(name, ""))
        )
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, also inside a list or beside None."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _meanings(owner: type) -> dict[str, str]:
    """What the ``Attributes`` and ``Args`` of docstrings say of each name, base classes of neurons included."""
    found: dict[str, str] = {}
    for kind in reversed(owner.__mro__):
        if kind is owner or (issubclass(kind, Neuron) and kind.__doc__):
            for name, text in re.findall(
                r"^    (\w[\w, ]*): (.*(?:\n {8,}.*)*)", inspect.getdoc(kind) or "", re.MULTILINE
            ):
                for one in name.split(","):
                    found[one.strip()] = " ".join(text.split())
    return {name: text for name, text in found.items() if not text.startswith("see :class:")}


def _type_text(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "") or str(annotation)
    if get_args(annotation):
        text = str(annotation)
    text = re.sub(r"\b(?:typing|hypr\.[\w.]+)\.", "", text)
    return re.sub(
        r"Literal\[(.*?)\]", lambda found: found[1].replace("'", "").replace('"', "").replace(", ", "|"), text
    )


def _default_text(default: Any) -> str:
    if default is PydanticUndefined or default is inspect.Parameter.empty:
        return "required"
    return "none" if default is None else "true" if default is True else "false" if default is False else str(default)
