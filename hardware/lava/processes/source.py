"""Input: sends the integers of a batch of sequences, step by step (FP-2.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.lava.schedule import Schedule


class Source(AbstractProcess):
    """Sends ``data[step, first:first + group]``, and zeros while resting.

    Args:
        shape: ``(N_in,)`` or ``(group, N_in)``.
        data: int32 (T, rounds * group, N_in).
        schedule: which step and which samples.
    """

    def __init__(self, *, shape: tuple[int, ...], data: np.ndarray, schedule: Schedule, name: str) -> None:
        super().__init__(shape=shape, data=data, schedule=schedule, name=name)
        self.s_out = OutPort(shape=shape)


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PySource(PyLoihiProcessModel):
    """Reads the array that the parent process holds; the children share it since they are forked."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.data: np.ndarray = proc_params["data"]
        self.schedule: Schedule = proc_params["schedule"]
        self.shape: tuple[int, ...] = proc_params["shape"]

    def run_spk(self) -> None:
        place = self.schedule.place(self.time_step)
        if place is None:
            self.s_out.send(np.zeros(self.shape, dtype=np.int32))
            return
        step, first = place
        self.s_out.send(self.data[step, first : first + self.schedule.group].reshape(self.shape))
