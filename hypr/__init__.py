"""HYPR: train recurrent spiking networks with hybrid propagation, and deploy what was trained.

Names are imported when first used, so that the command line starts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Network": "hypr.network",
    "Neuron": "hypr.neurons.base",
    "Range": "hypr.neurons.base",
    "BRF": "hypr.neurons.brf",
    "ALIF": "hypr.neurons.alif",
    "SEAdLIF": "hypr.neurons.se_adlif",
    "EProp": "hypr.learning.eprop",
    "LIF": "hypr.neurons.lif",
    "CubaLIF": "hypr.neurons.cuba_lif",
    "LI": "hypr.neurons.li",
    "random_mask": "hypr.neurons.connectivity",
    "BPTT": "hypr.learning.windows",
    "HYPR": "hypr.learning.windows",
    "HYPRWindow": "hypr.learning.windows",
    "HyprError": "hypr.errors",
}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hypr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
