"""Sparse synapses for several samples at once (FP-2.4); the matrix is never made dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from scipy.sparse import csr_matrix

from hardware.lava.columns import EXACT_FAN_IN
from hardware.lava.connection import ConnectionModel, ConnectionProcess, FloatConnectionModel


class BatchedSparse(ConnectionProcess):
    """As :class:`hardware.lava.connection.ConnectionProcess`."""


def compressed(synapses: Any, dtype: type) -> csr_matrix:
    """The Program's rows as SciPy's, sharing its indices."""
    return csr_matrix((synapses.weight.astype(dtype), synapses.indices, synapses.indptr), shape=synapses.shape)


@implements(proc=BatchedSparse, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBatchedSparseFixed(ConnectionModel):
    """Sums in float64, as those of :mod:`hardware.lava.processes.dense` twice as fast as int64 and exact for the same
    reason; longer rows as int64."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.carrier = np.float64 if int(np.diff(self.synapses.indptr).max(initial=0)) < EXACT_FAN_IN else np.int64
        self.matrix = compressed(self.synapses, self.carrier)

    def product(self, rows: np.ndarray) -> np.ndarray:
        result: np.ndarray = (self.matrix @ np.ascontiguousarray(rows.T, dtype=self.carrier)).T
        return result


@implements(proc=BatchedSparse, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedSparseFloat(FloatConnectionModel):
    """The same sums in real arithmetic."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.matrix = compressed(self.synapses, np.float64)

    def product(self, rows: np.ndarray) -> np.ndarray:
        result: np.ndarray = (self.matrix @ rows.T).T
        return result
