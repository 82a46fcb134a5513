"""HYPR: train recurrent spiking networks with hybrid propagation, and deploy what was trained.

Networks    Network; layers BRF, SEAdLIF, ALIF, LIF, CubaLIF, LI; your own: Neuron, Range
Start       fit_activity_: fresh weights with which every layer fires (LayerActivity)
Rules       HYPR, HYPRWindow, BPTT, EProp: rule.backward(x, y, mask) fills .grad
Integers    IntegerStage: train on the integers of the deployed network, on hardware in the loop too
Data        hypr.data: from_arrays, from_events, from_tonic, load, catalogue
Files       save, load
Deployment  deploy: bundle, verification and report in one call (Deployed)
Errors      HyprError

help(hypr.Network), help(hypr.HYPR) and so on tell the rest; the command line is ``hypr --help``. Names are imported
when first used, so that the command line starts without torch.
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
    "fit_activity_": "hypr.learning.activity",
    "save": "hypr.training.files",
    "load": "hypr.training.files",
    "deploy": "hypr.deployment.direct",
    "Deployed": "hypr.deployment.direct",
    "IntegerStage": "hypr.integer.stage",
    "LayerActivity": "hypr.learning.activity",
}

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hypr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
