"""Names of what a bundle holds."""

from __future__ import annotations

TARGETS = ("nir", "onnx", "lava")

PROGRAM = "program.npz"
FLOAT_NIR = "network.nir"
QUANTIZED_NIR = "quantized.nir"
SCAN = "integer_scan.onnx"
STEP = "integer_step.onnx"
FLOAT_SCAN = "float_scan.onnx"
FLOAT_STEP = "float_step.onnx"
LAVA = "lava"

CERTIFICATE = "certificate.json"
PARTIAL = "certificate-partial.json"
"""Of a verification that covers less than the one that :data:`CERTIFICATE` is about."""

STORED = "data.npz"
"""Recordings inside a bundle that was not made from a run; the manifest names the hash of what they hold."""

ADDED = frozenset((CERTIFICATE, PARTIAL, STORED, "report.html", "search.json", "search.png"))
"""What this package writes into a bundle later, so that the manifest does not list it."""

PLAIN = frozenset((".json", ".html", ".npz", ".txt", ".md", ".csv", ".png", ".svg", ".pdf", ".log"))
"""Endings of files that a user may lay into a bundle: none of them is run or imported."""
