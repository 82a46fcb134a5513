"""The HTML report (gathering, pictures, page), and the same pictures and tables for notebooks.

Notebooks   panels, picture, table, STYLE and the colours FLOAT, INTEGER, BOTH, ACCENT, GREY
Pictures    training_curves, staircase, rasters, membranes, disagreement, most_active

Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    **dict.fromkeys(("STYLE", "FLOAT", "INTEGER", "BOTH", "ACCENT", "GREY"), "hypr.report.pictures"),
    **dict.fromkeys(("training_curves", "staircase", "rasters", "membranes"), "hypr.report.pictures"),
    **dict.fromkeys(("disagreement", "most_active"), "hypr.report.pictures"),
    **dict.fromkeys(("panels", "picture", "table", "Html", "Png"), "hypr.report.notebook"),
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hypr.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
