"""Adaptive-threshold leaky integrate-and-fire neuron, ALIF (FP-3.3)."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess


class ALIF(NeuronProcess):
    """States a, u; parameters A, Rho, Ja, B0; shift K."""

    states = ("a", "u")


@implements(proc=ALIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyALIFFixed(NeuronModel):
    """Integer dynamics, FP-3.3: adaptation and reset act on the spike of the previous step."""

    a: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    A: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    Rho: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    Ja: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    B0: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)

    def step(self, current: np.ndarray) -> np.ndarray:
        k = self.shifts["K"]
        self.a[:] = sat(mulsh(self.a, self.Rho, k) + np.where(self.z, self.Ja, 0))
        threshold = self.B0 + self.a
        self.u[:] = sat(mulsh(self.u, self.A, k) + current - np.where(self.z, threshold, 0))
        result: np.ndarray = self.u > threshold
        return result


@implements(proc=ALIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyALIFFloat(FloatNeuronModel):
    """The same equations in real arithmetic."""

    a: np.ndarray = LavaPyType(np.ndarray, float)
    u: np.ndarray = LavaPyType(np.ndarray, float)
    A: np.ndarray = LavaPyType(np.ndarray, float)
    Rho: np.ndarray = LavaPyType(np.ndarray, float)
    Ja: np.ndarray = LavaPyType(np.ndarray, float)
    B0: np.ndarray = LavaPyType(np.ndarray, float)

    def step(self, current: np.ndarray) -> np.ndarray:
        unit = 2.0 ** self.shifts["K"]
        self.a[:] = self.a * self.Rho / unit + np.where(self.z, self.Ja, 0.0)
        threshold = self.B0 + self.a
        self.u[:] = self.u * self.A / unit + current - np.where(self.z, threshold, 0.0)
        result: np.ndarray = self.u > threshold
        return result
