"""Code from outside: modules and installed packages that add neurons, engines and data sets.

A package joins through the entry points ``hypr.neurons``, ``hypr.engines`` and ``hypr.data``; a module of the user's
own
by its name. Nothing is imported because a file (a recipe, a run, a bundle) names it: the user names it on the command
line, or in Python.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from hardware.lava.endings import Ended
from hypr.errors import HyprError

GROUPS = ("hypr.neurons", "hypr.engines", "hypr.data")

_permitted: set[str] = set()


def permit(place: str) -> None:
    """Say that the code at ``place``, written ``module:name``, may be imported where a configuration names it."""
    _permitted.add(place)


def require_permission(place: str, repeat: str) -> None:
    """Raise unless the user has named ``place`` too.

    Args:
        repeat: how to do that, the end of the message.

    Raises:
        HyprError: nobody but a file names it.
    """
    if place not in _permitted:
        raise HyprError(f"'{place}' is code that a file names; it is imported only when you name it too: {repeat}")


def imported(place: str, what: str) -> Any:
    """The object at ``module:name``; the working folder is searched last.

    Raises:
        HyprError: no such module or name, or the module raises when it is imported.
    """
    module, _, name = place.partition(":")
    try:
        found: Any = _module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise HyprError(f"{what} '{place}' cannot be imported ({_said(error)}); give module:name") from error
    return found


def use(name: str) -> None:
    """Import a module, or an installed extension by its name, for the neurons, data sets and engines that it brings.

    Raises:
        HyprError: neither of the two.
    """
    points = [point for group in GROUPS for point in installed(group) if point.name == name]
    for point in points:
        load(point)
    if points:
        return
    try:
        _module(name)
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise HyprError(
            f"'{name}' is no module that Python finds ({_said(error)}) and no installed extension"
        ) from error


def installed(group: str) -> list[EntryPoint]:
    """What installed packages offer in a group of :data:`GROUPS`; nothing is imported."""
    return sorted(entry_points(group=group), key=lambda point: point.name)


def offered(group: str, name: str) -> EntryPoint | None:
    """The installed extension of that name, or None; nothing is imported."""
    return next((point for point in installed(group) if point.name == name), None)


def load(point: EntryPoint) -> Any:
    """Import an installed extension: a neuron class, an engine, a data set (a ``DatasetSpec`` or a function).

    Raises:
        HyprError: it cannot be imported.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise HyprError(
            f"extension '{point.name}' ({point.value}) of {point.group} cannot be imported ({error}); install it again"
        ) from None


def hint(group: str, name: str) -> str:
    """The end of a message about an unknown name: how to let an installed extension in that has it."""
    point = offered(group, name)
    return "" if point is None else f"; the installed extension '{name}' has it: add --with {name}"


def _said(error: BaseException) -> str:
    """What an import failed with, on one line."""
    kind = "" if isinstance(error, (ImportError, AttributeError, ValueError)) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


def _module(name: str) -> Any:
    """Import a module; the working folder is searched last, so that no file there takes a package's place."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)
