"""The version of this package, as files that it writes name it."""

from __future__ import annotations

import importlib.metadata


def own_version() -> str:
    """Version of the installed package; ``source tree`` where it runs without being installed."""
    try:
        return importlib.metadata.version("hypr")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"
