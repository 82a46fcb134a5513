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
from hardware.lava.start import Start


class Source(AbstractProcess):
    """Sends ``data[step, first:first + group]``; while resting, what came before the samples that follow.

    Args:
        shape: ``(N_in,)`` or ``(group, N_in)``.
        data: int32 (T, rounds * group, N_in).
        schedule: which step and which samples.
        start: what came before the first step.
    """

    def __init__(
        self, *, shape: tuple[int, ...], data: np.ndarray, schedule: Schedule, start: Start, name: str
    ) -> None:
        super().__init__(shape=shape, data=data, schedule=schedule, start=start, name=name)
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
        self.start_: Start = proc_params["start"]
        self.shape: tuple[int, ...] = proc_params["shape"]

    def run_spk(self) -> None:
        message = self._message()
        silent = np.zeros(self.shape, dtype=np.int32)
        self.s_out.send(silent if message is None else message.astype(np.int32, copy=False).reshape(self.shape))

    def _message(self) -> np.ndarray | None:
        place = self.schedule.place(self.time_step)
        if place is not None:
            step, first = place
            return self.data[step, first : first + self.schedule.group]
        coming = self.schedule.before(self.time_step)
        if coming is None:
            return None
        return self.start_.message(coming[0], slice(coming[1], coming[1] + self.schedule.group))
