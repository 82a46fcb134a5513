"""Leaky integrate-and-fire neuron without a synaptic current of its own (FP-3.4)."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess
from hardware.lava.reset import fire


class LeakyLIF(NeuronProcess):
    """State u; parameters A, TH; shift K; options reset and reset_at."""

    states = ("u",)


@implements(proc=LeakyLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLeakyLIFFixed(NeuronModel):
    """Integer dynamics, FP-3.4 and FP-3.7."""

    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    A: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    TH: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)

    def step(self, current: np.ndarray) -> np.ndarray:
        u = sat(mulsh(self.u, self.A, self.shifts["K"]) + current)
        self.u[:], z = fire(self.options, self.TH, u, self.u, self.z)
        return z


@implements(proc=LeakyLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLeakyLIFFloat(FloatNeuronModel):
    """The same equation in real arithmetic."""

    u: np.ndarray = LavaPyType(np.ndarray, float)
    A: np.ndarray = LavaPyType(np.ndarray, float)
    TH: np.ndarray = LavaPyType(np.ndarray, float)

    def step(self, current: np.ndarray) -> np.ndarray:
        u = self.u * self.A / 2.0 ** self.shifts["K"] + current
        self.u[:], z = fire(self.options, self.TH, u, self.u, self.z)
        return z
