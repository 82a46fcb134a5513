"""What every neuron Process of this package shares: ports, constants, rest, recording.

The ProcessModels in ``processes/`` contain the arithmetic of one model each and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from hardware.lava.recorder import Recorder
from hardware.lava.schedule import Schedule


class NeuronProcess(AbstractProcess):
    """Base of the neuron Processes.

    Args:
        shape: ``(N,)`` for one sample at a time (what Lava's Dense connects to) or ``(group, N)``.
        bias: int (N,), added to the synaptic current at every step.
        parameters: int (N,) for each parameter of the model; becomes a Var of the same name.
        shifts: shift counts of the model, handed to the ProcessModel.
        options: named options of the model, handed to the ProcessModel.
        schedule: when to work and when to rest.
        recorder: where to write the trace.

    Subclasses add one Var per state. ``z`` holds the spikes of the previous step.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        bias: np.ndarray,
        parameters: Mapping[str, np.ndarray],
        shifts: Mapping[str, int],
        options: Mapping[str, str],
        schedule: Schedule,
        recorder: Recorder,
        name: str,
    ) -> None:
        super().__init__(
            shape=shape, shifts=dict(shifts), options=dict(options), schedule=schedule, recorder=recorder, name=name
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.bias = Var(shape=bias.shape, init=bias)
        for parameter, values in parameters.items():
            setattr(self, parameter, Var(shape=values.shape, init=values))


class NeuronModel(PyLoihiProcessModel):
    """Base of the ProcessModels: receive, do one step or rest, record, send.

    Subclasses declare ``states`` and implement :meth:`step`. Ports and sums are 64 bits wide (FP-2.1: the current is
    exact).
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    states: tuple[str, ...] = ()
    spiking = True

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.shifts: dict[str, int] = proc_params["shifts"]
        self.options: dict[str, str] = proc_params["options"]
        self.schedule: Schedule = proc_params["schedule"]
        self.recorder: Recorder = proc_params["recorder"]
        self.z = np.zeros(proc_params["shape"], dtype=bool)

    def step(self, current: np.ndarray) -> np.ndarray:
        """Update the states by one step; ``current`` includes the bias and ``self.z`` holds z^{t-1}. Returns what to
        send.
        """
        raise NotImplementedError

    def run_spk(self) -> None:
        current = self.a_in.recv()
        place = self.schedule.place(self.time_step)
        if place is None:
            self._rest()
            sent = np.zeros(self.z.shape, dtype=np.int32)
        else:
            sent = self.step(current + self.bias)
            if self.spiking:
                self.z = sent
            self.recorder.write(
                *place, sent if self.spiking else None, {name: getattr(self, name) for name in self.states}
            )
        self.recorder.progress[0] = self.time_step
        self.s_out.send(sent)

    def _rest(self) -> None:
        self.z = np.zeros(self.z.shape, dtype=bool)
        for name in self.states:
            getattr(self, name)[:] = 0


class FloatNeuronModel(NeuronModel):
    """Base of the floating-point ProcessModels: the same integers as parameters, real arithmetic in the step.

    Coefficients are divided by their powers of two; nothing is rounded, shifted or saturated. A run of these shows
    what the integer arithmetic costs, in the same units.
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)
