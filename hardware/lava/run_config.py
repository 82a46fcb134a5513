"""Which ProcessModel runs which Process, told to Lava instead of letting it search.

Lava's compiler executes every file beside a Process, for each Process again: seconds for a network of twenty. What is
listed here is found at once; Processes of others are searched for as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.models import PyDenseModelBitAcc, PyDenseModelFloat
from lava.proc.dense.process import Dense

from hardware.lava.processes.alif import ALIF, PyALIFFixed, PyALIFFloat
from hardware.lava.processes.brf import BRF, PyBRFFixed, PyBRFFloat
from hardware.lava.processes.convolution import (
    BatchedConvolution,
    PyBatchedConvolutionFixed,
    PyBatchedConvolutionFloat,
)
from hardware.lava.processes.cuba_lif import CubaLIF, PyCubaLIFFixed, PyCubaLIFFloat
from hardware.lava.processes.delay import Delay, PyDelayFixed, PyDelayFloat
from hardware.lava.processes.dense import BatchedDense, PyBatchedDenseFixed, PyBatchedDenseFloat
from hardware.lava.processes.lava_lif import LavaLIF, PyLavaLIFFixed, PyLavaLIFFloat
from hardware.lava.processes.li import LI, PyLIFixed, PyLIFloat
from hardware.lava.processes.lif import LeakyLIF, PyLeakyLIFFixed, PyLeakyLIFFloat
from hardware.lava.processes.se_adlif import PySEAdLIFFixed, PySEAdLIFFloat, SEAdLIF
from hardware.lava.processes.source import PySource, Source
from hardware.lava.processes.sparse import BatchedSparse, PyBatchedSparseFixed, PyBatchedSparseFloat
from hardware.lava.processes.tie import PyTieFixed, PyTieFloat, Tie

MODELS: Mapping[type, tuple[type, type]] = {
    ALIF: (PyALIFFixed, PyALIFFloat),
    BRF: (PyBRFFixed, PyBRFFloat),
    BatchedConvolution: (PyBatchedConvolutionFixed, PyBatchedConvolutionFloat),
    BatchedDense: (PyBatchedDenseFixed, PyBatchedDenseFloat),
    BatchedSparse: (PyBatchedSparseFixed, PyBatchedSparseFloat),
    CubaLIF: (PyCubaLIFFixed, PyCubaLIFFloat),
    Delay: (PyDelayFixed, PyDelayFloat),
    Dense: (PyDenseModelBitAcc, PyDenseModelFloat),
    LI: (PyLIFixed, PyLIFloat),
    LavaLIF: (PyLavaLIFFixed, PyLavaLIFFloat),
    LeakyLIF: (PyLeakyLIFFixed, PyLeakyLIFFloat),
    SEAdLIF: (PySEAdLIFFixed, PySEAdLIFFloat),
    Source: (PySource, PySource),
    Tie: (PyTieFixed, PyTieFloat),
}
"""Process -> its fixed-point and its floating-point ProcessModel."""


def run_config(processes: Iterable[AbstractProcess], arithmetic: str, **arguments: Any) -> Loihi2SimCfg:
    """Lava's configuration for a simulation with these Processes, and any others.

    Args:
        processes: of this package, or Lava's Dense.
        arithmetic: ``fixed_pt`` or ``floating_pt``; for the Processes of others too.
        arguments: further ones of ``Loihi2SimCfg``.
    """
    column = 0 if arithmetic == "fixed_pt" else 1
    known = {process: MODELS[type(process)][column] for process in processes}
    return Loihi2SimCfg(select_tag=arithmetic, exception_proc_model_map=known, **arguments)
