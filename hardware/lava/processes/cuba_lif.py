"""CubaLIF: Lava's own LIF Process with Lava's own arithmetic (FP-3.5).

Process and ProcessModels derive from Lava's and call its ``run_spk`` unchanged; what is added around it is rest
between rounds and the trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF

from hardware.lava.recorder import Recorder
from hardware.lava.schedule import Schedule


class CubaLIF(LIF):
    """Lava's LIF; ``du``, ``dv`` and ``vth`` may be arrays (N,), as Lava's CPU models allow."""

    def __init__(self, *, schedule: Schedule, recorder: Recorder, **arguments: Any) -> None:
        super().__init__(schedule=schedule, recorder=recorder, **arguments)


class _Scheduled:
    """Rest and trace around the ``run_spk`` of the class that follows in the resolution order."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]
        self.schedule: Schedule = proc_params["schedule"]
        self.recorder: Recorder = proc_params["recorder"]

    def run_spk(self) -> None:
        place = self.schedule.place(self.time_step)  # type: ignore[attr-defined]
        if place is None:
            self.a_in.recv()  # type: ignore[attr-defined]
            self.u[:] = 0
            self.v[:] = 0
            self.s_out.send(np.zeros(self.u.shape, dtype=np.int32))  # type: ignore[attr-defined]
        else:
            super().run_spk()  # type: ignore[misc]
            self.recorder.write(*place, self.s_out_buff, {"u": self.u, "v": self.v})  # type: ignore[attr-defined]
        self.recorder.progress[0] = self.time_step  # type: ignore[attr-defined]

    u: np.ndarray
    v: np.ndarray


@implements(proc=CubaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCubaLIFFixed(_Scheduled, PyLifModelBitAcc):
    """Lava's bit-accurate LIF model, with a bias of the width of a state (a chip has a 13-bit mantissa)."""

    bias_mant: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    implements_process = CubaLIF  # replaces Lava's LIF, which the decorator above would refuse to overwrite


@implements(proc=CubaLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyCubaLIFFloat(_Scheduled, PyLifModelFloat):
    """Lava's floating-point LIF model. It takes decays and thresholds in other units; the builder converts them."""

    implements_process = CubaLIF
