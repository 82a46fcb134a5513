"""Adaptive leaky integrate-and-fire neuron in symplectic-Euler form, SE-adLIF (FP-3.2)."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat, shz
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess


class SEAdLIF(NeuronProcess):
    """States u, w; parameters A, Be, At, Bt, TH; shifts K, Ka, g; option adaptation_spike (current or previous)."""

    states = ("u", "w")


@implements(proc=SEAdLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySEAdLIFFixed(NeuronModel):
    """Integer dynamics, FP-3.2: w is updated with the membrane after its reset."""

    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    w: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    A: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    Be: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    At: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)
    Bt: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    TH: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)

    def step(self, current: np.ndarray) -> np.ndarray:
        k, ka = self.shifts["K"], self.shifts["Ka"]
        u = sat(mulsh(self.u, self.A, k) - shz(self.w, self.shifts["g"]) + current)
        z = u > self.TH
        u = np.where(z, 0, u)
        adapting = z if self.options["adaptation_spike"] == "current" else self.z
        self.w[:] = sat(mulsh(self.w, self.Be, k) + mulsh(u, self.At, ka) + np.where(adapting, self.Bt, 0))
        self.u[:] = u
        return z


@implements(proc=SEAdLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySEAdLIFFloat(FloatNeuronModel):
    """The same equations in real arithmetic."""

    u: np.ndarray = LavaPyType(np.ndarray, float)
    w: np.ndarray = LavaPyType(np.ndarray, float)
    A: np.ndarray = LavaPyType(np.ndarray, float)
    Be: np.ndarray = LavaPyType(np.ndarray, float)
    At: np.ndarray = LavaPyType(np.ndarray, float)
    Bt: np.ndarray = LavaPyType(np.ndarray, float)
    TH: np.ndarray = LavaPyType(np.ndarray, float)

    def step(self, current: np.ndarray) -> np.ndarray:
        unit = 2.0 ** self.shifts["K"]
        u = self.u * self.A / unit - self.w / 2.0 ** self.shifts["g"] + current
        z = u > self.TH
        u = np.where(z, 0.0, u)
        adapting = z if self.options["adaptation_spike"] == "current" else self.z
        self.w[:] = self.w * self.Be / unit + u * self.At / 2.0 ** self.shifts["Ka"] + np.where(adapting, self.Bt, 0.0)
        self.u[:] = u
        result: np.ndarray = z
        return result
