"""Neuron layers. Each file holds one model: its step, and its Jacobians written by hand."""

from __future__ import annotations

from hypr.neurons.alif import ALIF
from hypr.neurons.base import KINDS, Neuron, Range
from hypr.neurons.brf import BRF
from hypr.neurons.connectivity import random_mask
from hypr.neurons.cuba_lif import CubaLIF
from hypr.neurons.jacobians import Jacobians, forward_mode
from hypr.neurons.li import LI
from hypr.neurons.lif import LIF
from hypr.neurons.se_adlif import SEAdLIF

__all__ = [
    "ALIF",
    "BRF",
    "KINDS",
    "LI",
    "LIF",
    "CubaLIF",
    "Jacobians",
    "Neuron",
    "Range",
    "SEAdLIF",
    "forward_mode",
    "random_mask",
]
