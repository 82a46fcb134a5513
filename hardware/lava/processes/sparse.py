"""Sparse synapses for several samples at once (FP-2.4); the matrix is never made dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from scipy.sparse import csr_matrix

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
    """Sums in int64."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.matrix = compressed(self.synapses, np.int64)

    def product(self, rows: np.ndarray) -> np.ndarray:
        return (self.matrix @ rows.T.astype(np.int64)).T


@implements(proc=BatchedSparse, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyBatchedSparseFloat(FloatConnectionModel):
    """The same sums in real arithmetic."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.matrix = compressed(self.synapses, np.float64)

    def product(self, rows: np.ndarray) -> np.ndarray:
        return (self.matrix @ rows.T).T
