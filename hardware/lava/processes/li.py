"""Leaky-integrator readout (FP-3.6). It does not spike; its membrane is the output, sent as a graded message."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess


class LI(NeuronProcess):
    """State u; parameter A; shift K."""

    states = ("u",)


@implements(proc=LI, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLIFixed(NeuronModel):
    """Integer dynamics, FP-3.6."""

    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    A: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    spiking = False

    def step(self, current: np.ndarray) -> np.ndarray:
        self.u[:] = sat(mulsh(self.u, self.A, self.shifts["K"]) + current)
        return self.u


@implements(proc=LI, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLIFloat(FloatNeuronModel):
    """The same equation in real arithmetic."""

    u: np.ndarray = LavaPyType(np.ndarray, float)
    A: np.ndarray = LavaPyType(np.ndarray, float)
    spiking = False

    def step(self, current: np.ndarray) -> np.ndarray:
        self.u[:] = self.u * self.A / 2.0 ** self.shifts["K"] + current
        return self.u
