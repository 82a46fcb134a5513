"""Balanced resonate-and-fire neuron (FP-3.1)."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess


class BRF(NeuronProcess):
    """States u, v, q; parameters C, S, D, R, TH, J; shifts K, Kd, KR."""

    states = ("u", "v", "q")


@implements(proc=BRF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBRFFixed(NeuronModel):
    """Integer dynamics, FP-3.1 line by line."""

    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    q: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    C: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    S: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    D: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    R: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    TH: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    J: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)

    def step(self, current: np.ndarray) -> np.ndarray:
        k = self.shifts["K"]
        d = np.maximum(0, self.C - mulsh(self.q, self.D, self.shifts["Kd"]))
        u = sat(mulsh(self.u, d, k) - mulsh(self.v, self.S, k) + current)
        v = sat(mulsh(self.u, self.S, k) + mulsh(self.v, d, k))
        z = (u - self.q) > self.TH
        self.q[:] = sat(mulsh(self.q, self.R, self.shifts["KR"]) + np.where(z, self.J, 0))
        self.u[:], self.v[:] = u, v
        result: np.ndarray = z
        return result


@implements(proc=BRF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBRFFloat(FloatNeuronModel):
    """The same equations in real arithmetic."""

    u: np.ndarray = LavaPyType(np.ndarray, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    q: np.ndarray = LavaPyType(np.ndarray, float)
    C: np.ndarray = LavaPyType(np.ndarray, float)
    S: np.ndarray = LavaPyType(np.ndarray, float)
    D: np.ndarray = LavaPyType(np.ndarray, float)
    R: np.ndarray = LavaPyType(np.ndarray, float)
    TH: np.ndarray = LavaPyType(np.ndarray, float)
    J: np.ndarray = LavaPyType(np.ndarray, float)

    def step(self, current: np.ndarray) -> np.ndarray:
        unit = 2.0 ** self.shifts["K"]
        d = np.maximum(0.0, self.C - self.q * self.D / 2.0 ** self.shifts["Kd"]) / unit
        s = self.S / unit
        u = d * self.u - s * self.v + current
        v = s * self.u + d * self.v
        z = (u - self.q) > self.TH
        self.q[:] = self.q * self.R / 2.0 ** self.shifts["KR"] + np.where(z, self.J, 0.0)
        self.u[:], self.v[:] = u, v
        result: np.ndarray = z
        return result
