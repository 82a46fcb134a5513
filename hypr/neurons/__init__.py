"""Neuron layers. Each file holds one model: its step, and its Jacobians written by hand."""

from __future__ import annotations

from hypr.neurons.base import KINDS, Neuron, Range
from hypr.neurons.brf import BRF
from hypr.neurons.jacobians import Jacobians, forward_mode
from hypr.neurons.li import LI

__all__ = ["BRF", "KINDS", "LI", "Jacobians", "Neuron", "Range", "forward_mode"]
