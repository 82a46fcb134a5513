"""Where the stored artefacts of version 0.1 lie, and what is expected of them."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

V01 = Path(__file__).resolve().parent / "v01"


@cache
def expected() -> dict[str, Any]:
    """Content of ``expected.json``."""
    content: dict[str, Any] = json.loads((V01 / "expected.json").read_text(encoding="utf-8"))
    return content


def names(kind: str) -> list[str]:
    """Of all stored ``programs``, ``bundles`` or ``runs``."""
    return sorted(expected()[kind])


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def unpack(kind: str, name: str, parent: Path) -> Path:
    """A stored bundle or run as ``parent/kind/name``: a copy that a test may change."""
    folder = parent / kind / name
    with zipfile.ZipFile(V01 / kind / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder
