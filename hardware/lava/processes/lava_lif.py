"""Lava's own LIF Process with Lava's own arithmetic (FP-3.5), for every population that it computes exactly.

Process and ProcessModels derive from Lava's and call its ``run_spk`` unchanged; what is added around it is waiting,
rest between rounds and the trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF

from hardware.lava.neuron import Timed, Timing, first_state
from hardware.lava.recorder import Recorder
from hardware.lava.schedule import Schedule
from hardware.lava.start import Start


class LavaLIF(LIF):
    """Lava's LIF; ``du``, ``dv`` and ``vth`` may be arrays (N,), as Lava's CPU models allow.

    Args:
        states: state of the Program -> Var of Lava's LIF that holds it.
        start, hold, schedule, recorder: as :class:`hardware.lava.neuron.NeuronProcess`, and so are the Vars ``z``,
            ``hold`` and ``clear``.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        states: Mapping[str, str],
        start: Start | None = None,
        hold: int = 0,
        schedule: Schedule | None = None,
        recorder: Recorder | None = None,
        **arguments: Any,
    ) -> None:
        first = {variable: first_state(start, state, shape) for state, variable in states.items()}
        timing = Timing(shape, tuple(states), start, hold, schedule, recorder)
        super().__init__(shape=shape, timing=timing, states=dict(states), **first, **arguments)
        self.states = dict(states)
        self.z = Var(shape=shape, init=0)
        self.hold = Var(shape=(1,), init=hold)
        self.clear = Var(shape=(1,), init=0)


class _TimedLIF(Timed):
    """Lava's step as the work to be timed; what stands to the right of this class in the bases does it."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]
        self.timing: Timing = proc_params["timing"]
        self.attributes = proc_params["states"]

    def work(self) -> np.ndarray:
        super(Timed, self).run_spk()  # type: ignore[misc]
        sent: np.ndarray = self.s_out_buff  # type: ignore[attr-defined]
        self.z[:] = sent
        return sent

    def put_back(self, samples: slice) -> None:
        self.u[:] = 0  # where it is no state of the Program
        super().put_back(samples)

    u: np.ndarray


@implements(proc=LavaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLavaLIFFixed(_TimedLIF, PyLifModelBitAcc):
    """Lava's bit-accurate LIF model, with a bias of the width of a state (a chip has a 13-bit mantissa)."""

    bias_mant: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    z: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    hold: np.ndarray = LavaPyType(np.ndarray, np.int32)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    implements_process = LavaLIF  # replaces Lava's LIF, which the decorator above would refuse to overwrite


@implements(proc=LavaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLavaLIFFloat(_TimedLIF, PyLifModelFloat):
    """Lava's floating-point LIF model. It takes decays and thresholds in other units; the builder converts them."""

    z: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    hold: np.ndarray = LavaPyType(np.ndarray, np.int32)
    clear: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=1)
    implements_process = LavaLIF
