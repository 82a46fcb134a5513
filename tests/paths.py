"""Where tests find data, golden values and networks from elsewhere.

Each of ``HYPR_DATA``, ``HYPR_GOLDEN`` and ``HYPR_CASES`` names a folder; without them
``../shared/{data,golden,cases}`` beside the checkout is used. A test whose folder is absent is skipped with the reason.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """Folder of data set ``name``, for example ``qtdb``."""
    return _folder("HYPR_DATA", "data", name)


def golden_folder(name: str) -> Path:
    """Folder of golden values ``name``, for example ``hypr``."""
    return _folder("HYPR_GOLDEN", "golden", name)


def cases_folder(name: str) -> Path:
    """Folder of networks from other frameworks, for example ``nir``."""
    return _folder("HYPR_CASES", "cases", name)


def _folder(variable: str, default: str, name: str) -> Path:
    root = Path(os.environ.get(variable) or ROOT.parent / "shared" / default)
    folder = root / name
    if not folder.is_dir():
        pytest.skip(f"no folder '{name}' in {root}; set {variable} to the folder that holds it")
    return folder
