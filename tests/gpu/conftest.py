"""Skips this folder where there is no GPU, and where Triton's interpreter was switched on in this process."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = None
    if not torch.cuda.is_available():
        reason = "no CUDA GPU here"
    elif os.environ.get("TRITON_INTERPRET"):
        reason = "Triton's interpreter is on, for other tests of this process; run alone: python -m pytest tests/gpu"
    if reason is not None:
        for item in items:
            if "tests/gpu" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason=reason))
