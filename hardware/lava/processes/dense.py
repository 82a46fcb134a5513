"""Dense synapses for several samples at once (FP-2.1).

Lava's own Dense connects one vector to one vector. This Process does the same for a group of samples, with the same
timing. The tests run both on the same programs and require equal traces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from hardware.lava.connection import ConnectionModel, ConnectionProcess, FloatConnectionModel


class BatchedDense(ConnectionProcess):
    """As :class:`hardware.lava.connection.ConnectionProcess`; the mantissas are the Var ``weights`` (N, N_source)."""

    def __init__(self, *, synapses: Any, **arguments: Any) -> None:
        super().__init__(synapses=synapses, **arguments)
        self.weights = Var(shape=synapses.shape, init=synapses.matrix().astype(np.int32))


@implements(proc=BatchedDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBatchedDenseFixed(ConnectionModel):
    """Sums in float64, which is what the linear algebra library is fast at: exact, since every partial sum stays below
    2^22 * 127 * 2^24 < 2^53; longer rows are summed as int64."""

    weights: np.ndarray = LavaPyType(np.ndarray, np.float64, precision=8)

    def product(self, rows: np.ndarray) -> np.ndarray:
        carrier = np.float64 if self.weights.shape[1] < 2**22 else np.int64
        return rows.astype(carrier) @ self.weights.T.astype(carrier, copy=False)


@implements(proc=BatchedDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedDenseFloat(FloatConnectionModel):
    """The same sums in real arithmetic."""

    weights: np.ndarray = LavaPyType(np.ndarray, float)

    def product(self, rows: np.ndarray) -> np.ndarray:
        result: np.ndarray = rows @ self.weights.T
        return result
