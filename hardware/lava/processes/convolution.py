"""Convolution of pictures for several samples at once (FP-2.5); the matrix is never made."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.lava.columns import EXACT_FAN_IN, Columns
from hardware.lava.connection import ConnectionModel, ConnectionProcess, FloatConnectionModel


class BatchedConvolution(ConnectionProcess):
    """As :class:`hardware.lava.connection.ConnectionProcess`."""


@implements(proc=BatchedConvolution, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBatchedConvolutionFixed(ConnectionModel):
    """Sums in float64 as :mod:`hardware.lava.columns` says; longer ones as int64."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        columns = Columns(self.synapses)
        self.columns = columns if columns.fan_in < EXACT_FAN_IN else None

    def product(self, rows: np.ndarray) -> np.ndarray:
        return self.synapses.apply(rows.astype(np.int64)) if self.columns is None else self.columns.product(rows)


@implements(proc=BatchedConvolution, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedConvolutionFloat(FloatConnectionModel):
    """The same sums in real arithmetic."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.columns = Columns(self.synapses)

    def product(self, rows: np.ndarray) -> np.ndarray:
        return self.columns.product(rows)
