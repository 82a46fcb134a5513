"""From a trained network to integers and interchange files: NIR, quantization, ONNX, verification."""

from __future__ import annotations
