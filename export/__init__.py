"""From a trained network to integers and interchange files: NIR, quantization, ONNX, verification.

``graph = export.to_nir(net, dt=1e-3)``; ``program = export.quantize(graph, weight_bits=8, calibration=x)``. Importing
this package registers the extension nodes of :mod:`export.nir_nodes` with ``nir``.
"""

from __future__ import annotations

from export.discretise import Reading, discretise
from export.errors import ExportError, GraphError, QuantizationError, UnsupportedError
from export.formats import QuantizationSettings
from export.nir import read, to_nir, write
from export.nir_nodes import ALIF, BRF, SEAdLIF
from export.quantize import quantize

from export.dequantize import quantized_nir  # isort: skip  (after export.quantize, whose name is the function's here)

__all__ = [
    "ALIF",
    "BRF",
    "ExportError",
    "GraphError",
    "QuantizationError",
    "QuantizationSettings",
    "Reading",
    "SEAdLIF",
    "UnsupportedError",
    "discretise",
    "quantize",
    "quantized_nir",
    "read",
    "to_nir",
    "write",
]
