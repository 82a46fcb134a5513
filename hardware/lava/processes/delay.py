"""A line of messages in front of Lava's own Dense or Sparse, for a projection that takes more than one step."""

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


class Delay(AbstractProcess):
    """Sends what it received ``steps`` Lava steps ago, zeros at first.

    Args:
        shape: of a message.
        steps: 1 or more.

    Vars: ``line`` (steps, ...); setting ``clear`` to 1 empties it.
    """

    def __init__(self, *, shape: tuple[int, ...], steps: int, name: str) -> None:
        super().__init__(steps=steps, name=name)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.line = Var(shape=(steps, *shape), init=0)
        self.clear = Var(shape=(1,), init=0)


class _DelayModel(PyLoihiProcessModel):
    """A ring: the row that is sent is overwritten by the message that comes in the same step."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.steps: int = proc_params["steps"]

    def run_spk(self) -> None:
        at = self.time_step % self.steps
        self.s_out.send(self.line[at])
        self.line[at] = self.s_in.recv()

    def on_var_update(self) -> None:
        """Lava calls this after a Var was set from outside."""
        if self.clear[0]:
            self.clear[0] = 0
            self.line[:] = 0

    line: np.ndarray
    clear: np.ndarray
    s_in: Any
    s_out: Any


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDelayFixed(_DelayModel):
    """Messages as int32."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    line: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyDelayFloat(_DelayModel):
    """Messages as float64."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    line: np.ndarray = LavaPyType(np.ndarray, float)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
