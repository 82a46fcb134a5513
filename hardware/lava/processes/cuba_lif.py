"""Current-based LIF with a reset that Lava's own does not have (FP-3.5 with FP-3.7)."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.fixed_point import mulsh, sat, wrap_once
from hardware.lava.neuron import FloatNeuronModel, NeuronModel, NeuronProcess
from hardware.lava.reset import fire


class CubaLIF(NeuronProcess):
    """States u, v; parameters du, dv, vth; options reset and reset_at. The bias enters v."""

    states = ("u", "v")


@implements(proc=CubaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCubaLIFFixed(NeuronModel):
    """Integer dynamics, FP-3.5 and FP-3.7."""

    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=25)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    du: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=13)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=13)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=17)

    def step(self, current: np.ndarray) -> np.ndarray:
        synaptic = current - self.bias
        self.u[:] = wrap_once(mulsh(self.u, 4096 - (self.du + 1), 12) + (synaptic << 6))
        v = sat(mulsh(self.v, 4096 - self.dv, 12) + self.u + self.bias)
        self.v[:], z = fire(self.options, self.vth << 6, v, self.v, self.z)
        return z


@implements(proc=CubaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyCubaLIFFloat(FloatNeuronModel):
    """The same equations in real arithmetic."""

    u: np.ndarray = LavaPyType(np.ndarray, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    du: np.ndarray = LavaPyType(np.ndarray, float)
    dv: np.ndarray = LavaPyType(np.ndarray, float)
    vth: np.ndarray = LavaPyType(np.ndarray, float)

    def step(self, current: np.ndarray) -> np.ndarray:
        self.u[:] = self.u * (4095.0 - self.du) / 4096.0 + (current - self.bias) * 64.0
        v = self.v * (4096.0 - self.dv) / 4096.0 + self.u + self.bias
        self.v[:], z = fire(self.options, self.vth * 64.0, v, self.v, self.z)
        return z
