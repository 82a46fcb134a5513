"""Convolution of pictures for several samples at once (FP-2.5); the matrix is never made."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.lava.connection import ConnectionModel, ConnectionProcess, FloatConnectionModel


class BatchedConvolution(ConnectionProcess):
    """As :class:`hardware.lava.connection.ConnectionProcess`."""


@implements(proc=BatchedConvolution, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBatchedConvolutionFixed(ConnectionModel):
    """Sums in int64."""

    def product(self, rows: np.ndarray) -> np.ndarray:
        return self.synapses.apply(rows.astype(np.int64))


@implements(proc=BatchedConvolution, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedConvolutionFloat(FloatConnectionModel):
    """The same sums in real arithmetic."""

    def product(self, rows: np.ndarray) -> np.ndarray:
        return self.synapses.apply(rows.astype(np.float64))
