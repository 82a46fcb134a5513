"""From a trained network to integers and interchange files: NIR, quantization, ONNX, verification.

``graph = export.to_nir(net, dt=1e-3)``; ``program = export.quantize(graph, weight_bits=8, calibration=x)``. Importing
this package registers the extension nodes of :mod:`export.interchange.nodes` with ``nir``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.errors import ExportError, GraphError, QuantizationError, UnsupportedError
from export.interchange.discretise import Reading, discretise
from export.interchange.graph import read, to_nir, write
from export.interchange.nodes import ALIF, BRF, SEAdLIF
from export.interchange.outgoing import nir_for
from export.quantization.dequantize import quantized_nir
from export.quantization.formats import QuantizationSettings
from export.quantization.quantize import quantize
from hardware.program import Program

if TYPE_CHECKING:
    from export.torch_network import IntegerModule

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
    "nir_for",
    "quantize",
    "quantized_nir",
    "read",
    "to_nir",
    "to_torch",
    "write",
]


def to_torch(program: Program) -> IntegerModule:
    """The integer network of ``program`` as a ``torch.nn.Module``, for people who stay in torch: integers (B, T, N_in)
    in, integers (B, T, N_out) out, the same ones as of every engine. Needs torch, which the rest of this package does
    not.
    """
    from export.torch_network import IntegerModule

    return IntegerModule(program)
