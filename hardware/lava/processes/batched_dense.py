"""Dense synapses for several samples at once (FP-2.1).

Lava's own Dense connects one vector to one vector. This Process does the same for a group of samples, with the same
timing: what is received in one step is delivered in the next. The tests run both on the same programs and require
equal traces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class BatchedDense(AbstractProcess):
    """``a_out = (W s_in) << exponent`` for each sample of a group, one step later.

    Args:
        weights: int (N, N_pre), the Program's mantissas as they are.
        exponent: left shift of the sum, 0 or more.
        group: number of samples.
    """

    def __init__(self, *, weights: np.ndarray, exponent: int, group: int, name: str) -> None:
        super().__init__(exponent=exponent, name=name)
        post, pre = weights.shape
        self.s_in = InPort(shape=(group, pre))
        self.a_out = OutPort(shape=(group, post))
        self.weights = Var(shape=weights.shape, init=weights)
        self.a_buff = Var(shape=(group, post), init=0)


@implements(proc=BatchedDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBatchedDenseFixed(PyLoihiProcessModel):
    """Sums in float64, exact because a Program's currents stay below 2^31; float64 is what the linear algebra library
    is fast at.
    """

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buff: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    weights: np.ndarray = LavaPyType(np.ndarray, np.float64, precision=8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.exponent: int = proc_params["exponent"]

    def run_spk(self) -> None:
        self.a_out.send(self.a_buff)
        total = self.s_in.recv().astype(np.float64) @ self.weights.T
        self.a_buff[:] = total.astype(np.int64) << self.exponent


@implements(proc=BatchedDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedDenseFloat(PyLoihiProcessModel):
    """The same sums without the integer type."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    a_buff: np.ndarray = LavaPyType(np.ndarray, float)
    weights: np.ndarray = LavaPyType(np.ndarray, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.scale: float = 2.0 ** proc_params["exponent"]

    def run_spk(self) -> None:
        self.a_out.send(self.a_buff)
        self.a_buff[:] = self.s_in.recv() @ self.weights.T * self.scale
