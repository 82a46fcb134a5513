"""What every neuron Process of this package shares: ports, constants, holding, rest, recording.

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
from hardware.lava.start import Start


class NeuronProcess(AbstractProcess):
    """Base of the neuron Processes.

    Args:
        shape: ``(N,)`` for one sample at a time (what Lava's Dense connects to) or ``(group, N)``.
        bias: int (N,), added to the synaptic current at every step.
        parameters: int (N,) for each parameter of the model; becomes a Var of the same name.
        shifts: shift counts of the model, handed to the ProcessModel.
        options: named options of the model, handed to the ProcessModel.
        start: initial states; zeros where it has none.
        hold: Lava steps for which the neurons wait before their first step, without decay or bias.
        schedule: when to work and when to rest, instead of ``hold``; None: at every step after those of ``hold``.
        recorder: where to write the trace, or None.

    Subclasses name their ``states``, each a Var. Vars besides: ``z``, the spikes of the previous step; ``hold``, the
    steps still to wait; ``clear``: setting it to 1 puts the initial states back and the wait of ``hold`` steps.
    """

    states: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        bias: np.ndarray,
        parameters: Mapping[str, np.ndarray],
        shifts: Mapping[str, int],
        options: Mapping[str, str],
        start: Start | None = None,
        hold: int = 0,
        schedule: Schedule | None = None,
        recorder: Recorder | None = None,
        name: str,
    ) -> None:
        super().__init__(
            shape=shape,
            shifts=dict(shifts),
            options=dict(options),
            timing=Timing(shape, self.states, start, hold, schedule, recorder),
            name=name,
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.bias = Var(shape=bias.shape, init=bias)
        for parameter, values in parameters.items():
            setattr(self, parameter, Var(shape=values.shape, init=values))
        for state in self.states:
            setattr(self, state, Var(shape=shape, init=first_state(start, state, shape)))
        self.z = Var(shape=shape, init=0)
        self.hold = Var(shape=(1,), init=hold)
        self.clear = Var(shape=(1,), init=0)


class Timing:
    """What :class:`Timed` needs to know, in one argument of a Process."""

    def __init__(
        self,
        shape: tuple[int, ...],
        states: tuple[str, ...],
        start: Start | None,
        hold: int,
        schedule: Schedule | None,
        recorder: Recorder | None,
    ) -> None:
        size = shape[-1]
        given = start or Start()
        self.start = Start({**{name: np.zeros(size, np.int32) for name in states}, **given.states}, given.sent)
        self.hold, self.schedule, self.recorder, self.shape = hold, schedule, recorder, shape

    def samples(self, first: int) -> slice:
        """Samples of a round that begins with sample ``first``."""
        return slice(first, first + (1 if len(self.shape) == 1 else self.shape[0]))


def first_state(start: Start | None, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A state of the first round of samples, of that shape; zeros where there is none."""
    if start is None or name not in start.states:
        return np.zeros(shape, np.int32)
    group = 1 if len(shape) == 1 else shape[0]
    return np.array(np.broadcast_to(start.state(name, slice(0, group)), (group, shape[-1]))).reshape(shape)


class Timed:
    """Around the work of a ProcessModel: waiting before the first step, rest between rounds, and the trace.

    A subclass receives, computes and sends in :meth:`work`; ``timing`` is to be set from ``proc_params``.
    """

    timing: Timing
    attributes: Mapping[str, str] = {}
    """Where a state of the Program lies in this ProcessModel, where it has another name."""

    hold: np.ndarray
    clear: np.ndarray
    z: np.ndarray
    time_step: int
    a_in: Any
    s_out: Any

    def work(self) -> np.ndarray:
        """Receive, do one step, send; returns what was sent."""
        raise NotImplementedError

    def run_spk(self) -> None:
        timing = self.timing
        place = None if timing.schedule is None else timing.schedule.place(self.time_step)
        if place is None and (timing.schedule is not None or self.hold[0] > 0):
            self.rest()
        else:
            sent = self.work()
            if timing.recorder is not None and place is not None:
                spikes = None if timing.recorder.spikes is None else sent
                timing.recorder.write(*place, spikes, {name: self.state(name) for name in timing.start.states})
        if timing.recorder is not None:
            timing.recorder.progress[0] = self.time_step

    def rest(self) -> None:
        """One step of rest: what arrives is dropped, the states are those of the next samples."""
        self.a_in.recv()
        message, schedule = None, self.timing.schedule
        if schedule is None:
            self.hold[0] -= 1
        else:
            coming = schedule.before(self.time_step)
            if coming is not None:
                samples = self.timing.samples(coming[1])
                message = self.timing.start.message(coming[0], samples)
                self.put_back(samples)
        silent = np.zeros(self.timing.shape, dtype=np.int32)
        self.s_out.send(silent if message is None else message.astype(np.int32).reshape(self.timing.shape))

    def put_back(self, samples: slice) -> None:
        """Initial states of these samples, and the spikes before their first step."""
        for name in self.timing.start.states:
            self.state(name)[:] = self.timing.start.state(name, samples).reshape(-1, self.timing.shape[-1])
        message = self.timing.start.message(1, samples)
        self.z[:] = 0 if message is None else message.reshape(self.timing.shape)

    def state(self, name: str) -> np.ndarray:
        """The array of a state of the Program."""
        found: np.ndarray = getattr(self, self.attributes.get(name, name))
        return found

    def on_var_update(self) -> None:
        """Lava calls this after a Var was set from outside."""
        if self.clear[0]:
            self.clear[0] = 0
            self.hold[0] = self.timing.hold
            self.put_back(self.timing.samples(0))


class NeuronModel(Timed, PyLoihiProcessModel):
    """Base of the ProcessModels of this project's neurons: receive, do one step or rest, send, record.

    Subclasses implement :meth:`step`. States and sums are 64 bits wide (FP-2.1: the current is exact).
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    z: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    hold: np.ndarray = LavaPyType(np.ndarray, np.int32)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    spiking = True

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.shifts: dict[str, int] = proc_params["shifts"]
        self.options: dict[str, str] = proc_params["options"]
        self.timing: Timing = proc_params["timing"]

    def step(self, current: np.ndarray) -> np.ndarray:
        """Update the states by one step; ``current`` includes the bias and ``self.z`` holds z^{t-1}. Returns what to
        send.
        """
        raise NotImplementedError

    def current(self) -> np.ndarray:
        """What arrives, exact: a projection's part came modulo 2^32, the sum of all fits 32 bits (FP-2.7)."""
        result: np.ndarray = self.a_in.recv().astype(np.int32).astype(np.int64) + self.bias
        return result

    def work(self) -> np.ndarray:
        sent = self.step(self.current())
        self.s_out.send(sent)
        if self.spiking:
            self.z[:] = sent
        return sent


class FloatNeuronModel(NeuronModel):
    """Base of the floating-point ProcessModels: the same integers as parameters, real arithmetic in the step.

    Coefficients are divided by their powers of two; nothing is rounded, shifted or saturated. A run of these shows
    what the integer arithmetic costs, in the same units.
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)

    def current(self) -> np.ndarray:
        result: np.ndarray = self.a_in.recv() + self.bias
        return result
