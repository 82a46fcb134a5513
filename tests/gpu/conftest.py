"""Skips this folder unless it runs alone: Triton decides once in a process whether kernels run on a GPU or in its
interpreter, which other tests use.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

ASKED = os.environ.get("HYPR_GPU_TESTS") == "1" and torch.cuda.is_available()
"""``make gpu-test`` asks, where there is a CUDA GPU."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The modules here import GPU kernels, so they are not even imported."""
    return True if collection_path.name.startswith("test_") and not ASKED else None
