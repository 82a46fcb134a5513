"""Ties parts of a network that no projection joins: Lava runs only Processes that are connected to the one that it is
asked to run."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Tie(AbstractProcess):
    """Receives from two Processes and drops what comes.

    Args:
        one, other: shapes of the messages.
    """

    def __init__(self, *, one: tuple[int, ...], other: tuple[int, ...], name: str) -> None:
        super().__init__(name=name)
        self.one_in = InPort(shape=one)
        self.other_in = InPort(shape=other)


class _TieModel(PyLoihiProcessModel):
    one_in: Any
    other_in: Any

    def run_spk(self) -> None:
        self.one_in.recv()
        self.other_in.recv()


@implements(proc=Tie, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTieFixed(_TieModel):
    """Integers."""

    one_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    other_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)


@implements(proc=Tie, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyTieFloat(_TieModel):
    """Real numbers."""

    one_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    other_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
