"""Triton kernels in tests: in Triton's interpreter, or not at all."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from types import ModuleType

import pytest


def interpreted(module: str) -> ModuleType:
    """A module of Triton kernels imported so that they run on the CPU; skips the calling test module otherwise."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed; its interpreter runs the GPU kernels here", allow_module_level=True)
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are defined and when they are launched
    found = importlib.import_module(module)
    reason = _broken()
    if reason:
        pytest.skip(f"this triton's interpreter does not run here: {reason}", allow_module_level=True)
    return found


@cache
def _broken() -> str:
    """Why the interpreter fails at a kernel of two samples, or nothing. Triton up to 3.6 cannot take loop bounds with
    NumPy from 2.4 on.
    """
    import torch

    import hypr
    from hypr.kernels.gpu import operations as gpu

    layer = hypr.LI(1, 1)
    try:
        gpu.run_layer(layer, torch.ones(2, 2, 1), torch.zeros(2, 1, 1), torch.zeros(2, 1))
    except Exception as error:  # whatever a version of triton raises
        text = str(error)
        if "0-dimensional" in text or "Python scalars" in text:
            return text.splitlines()[0]
        raise
    return ""
