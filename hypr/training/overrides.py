"""Changes of a configuration by ``key=value``, before it is validated."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from hypr.errors import HyprError
from hypr.extensions import permit
from hypr.training.toml import assign, parse_toml


def apply(content: dict[str, Any], override: str, model: type[BaseModel], main_keys: Mapping[str, str]) -> list[str]:
    """Change plain values by one override.

    Args:
        content: changed in place.
        override: ``key=value``, see :func:`hypr.training.config.load`.
        model: of the whole configuration.
        main_keys: section -> the key that ``section=value`` stands for.

    Returns:
        the path of what was changed.

    Raises:
        HyprError: no ``=``, an unknown or ambiguous key, or a path through a value.
    """
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise HyprError(f"override '{override}': must be key=value, such as training.epochs=5")
    try:
        value = parse_toml(f"value = {text}", "override")["value"]
    except HyprError:  # no TOML: taken as text, which the key then accepts or refuses
        value = text.strip()
    path = _full_path(key, model)
    if path in (["data", "name"], ["data"], ["quantization", "stage"]) and isinstance(value, str):
        permit(value)  # who writes the override names the code
    if value == "none" and _may_be_none(path, model):
        _clear(content, path)
        return path
    if len(path) == 1 and path[0] in main_keys and not isinstance(value, dict):
        path.append(main_keys[path[0]])
    assign(content, path, value, override)
    return path


def fit_options(
    content: dict[str, Any],
    section: str,
    default: str,
    options: Mapping[str, Collection[str]],
    given: Collection[tuple[str, ...]],
) -> list[str]:
    """Take options out of a section that the thing it names does not have.

    Args:
        content: changed in place.
        section: whose ``name`` (``default`` where there is none) decides.
        options: name -> its options; a key that no name has is left for validation.
        given: paths that must not be taken out.

    Returns:
        the keys taken out.

    Raises:
        HyprError: one of them is in ``given``.
    """
    values = content.get(section)
    if not isinstance(values, dict):
        return []
    name = values.get("name", default)
    if not isinstance(name, str) or name not in options:  # validation says what is wrong with it
        return []
    known = {option for several in options.values() for option in several}
    foreign = [key for key in values if key in known and key not in options[name]]
    for key in foreign:
        if (section, key) in given or (section,) in given:
            owners = " or ".join(f"{section}={one}" for one, several in options.items() if key in several)
            raise HyprError(
                f"{section}.{key} is given, but {section} '{name}' has no such option; leave it out or use {owners}"
            )
        del values[key]
    return foreign


def _may_be_none(path: list[str], model: type[BaseModel]) -> bool:
    annotation: Any = model
    for part in path:
        fields = getattr(annotation, "model_fields", {})
        if part not in fields:
            return False
        annotation = fields[part].annotation
    return type(None) in get_args(annotation)


def _clear(content: dict[str, Any], path: list[str]) -> None:
    for part in path[:-1]:
        content = content.get(part, {})
    content.pop(path[-1], None)


def _full_path(key: str, model: type[BaseModel]) -> list[str]:
    """A key of one part that names no section or top-level key is looked up by its last part."""
    path = key.split(".")
    if len(path) > 1 or key in model.model_fields:
        return path
    matches = [[section, key] for section, kind in sections(model).items() if key in kind.model_fields]
    if len(matches) > 1:
        raise HyprError(
            f"override '{key}': could be {' or '.join('.'.join(match) for match in matches)}; write one of them"
        )
    if not matches:
        raise HyprError(f"override '{key}': unknown key; {nearest(key, _all_keys(model))}")
    return matches[0]


def _all_keys(model: type[BaseModel]) -> list[str]:
    """Top-level keys, and all keys of the sections by their last part."""
    return [*model.model_fields, *(key for section in sections(model).values() for key in section.model_fields)]


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Keys of a configuration that are sections, also those that may be left out, and their models."""
    found = {}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *(get_args(field.annotation) if not _is_list(field.annotation) else ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list


def nearest(word: str, names: list[str]) -> str:
    """What to say of an unknown name."""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    valid = f"valid: {', '.join(dict.fromkeys(names))}"
    return f"nearest valid name is '{close[0]}'; {valid}" if close else valid
