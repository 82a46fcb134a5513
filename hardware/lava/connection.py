"""What this package's connection Processes share: ports, one step or more until delivery, several samples at once.

Timing is that of Lava's own Dense: what is received in one step is delivered in the next, and sending comes before
receiving, so that feedback cannot lock. A longer way is a line of messages in front of the synapses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from hardware.synapses import Connections


class ConnectionProcess(AbstractProcess):
    """``a_out = (W s_in) << exponent``, ``steps`` later.

    Args:
        synapses: W, as the Program has it.
        exponent: left shift of the sum, 0 or more.
        steps: Lava steps until delivery, 1 or more.
        batch: ``()`` for one sample at a time, or ``(group,)``.

    Vars: ``a_buff``, what is delivered next; ``line``, messages on their way (one unused row where steps is 1);
    ``clear``: setting it to 1 empties both.
    """

    def __init__(
        self, *, synapses: Connections, exponent: int, steps: int = 1, batch: tuple[int, ...] = (), name: str
    ) -> None:
        super().__init__(synapses=synapses, exponent=exponent, steps=steps, name=name)
        post, pre = synapses.shape
        self.s_in = InPort(shape=(*batch, pre))
        self.a_out = OutPort(shape=(*batch, post))
        self.a_buff = Var(shape=(*batch, post), init=0)
        self.line = Var(shape=(max(1, steps - 1), *batch, pre), init=0)
        self.clear = Var(shape=(1,), init=0)


class ConnectionModel(PyLoihiProcessModel):
    """Base of the ProcessModels; subclasses implement :meth:`product`.

    What does not fit 32 bits is sent modulo 2^32, as FP-2.1 allows.
    """

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buff: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    line: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.synapses: Any = proc_params["synapses"]
        self.exponent: int = proc_params["exponent"]
        self.held: int = proc_params["steps"] - 1
        self.at = 0

    def product(self, rows: np.ndarray) -> np.ndarray:
        """``W s`` for integers (samples, N_source), exact, as int64 (samples, N_target); in a floating-point model
        float64."""
        raise NotImplementedError

    def shifted(self, sums: np.ndarray) -> np.ndarray:
        return sums.astype(np.int64) << self.exponent

    def run_spk(self) -> None:
        self.a_out.send(self.a_buff)
        message = self.s_in.recv()
        if self.held:
            oldest = self.line[self.at].copy()
            self.line[self.at] = message
            self.at = (self.at + 1) % self.held
            message = oldest
        sums = self.product(message.reshape(-1, message.shape[-1]))
        self.a_buff[:] = self.shifted(sums).reshape(self.a_buff.shape)

    def on_var_update(self) -> None:
        """Lava calls this after a Var was set from outside."""
        if self.clear[0]:
            self.clear[0] = 0
            self.line[:] = 0
            self.a_buff[:] = 0


class FloatConnectionModel(ConnectionModel):
    """The same sums without the integer type."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    a_buff: np.ndarray = LavaPyType(np.ndarray, float)
    line: np.ndarray = LavaPyType(np.ndarray, float)

    def shifted(self, sums: np.ndarray) -> np.ndarray:
        return sums * 2.0**self.exponent
