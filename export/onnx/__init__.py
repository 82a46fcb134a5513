"""Integer and float graphs for ONNX runtimes."""

import os

# ONNX Runtime 1.29 and later collect telemetry in files of the user's cache folder, unless this is set before the
# library is loaded; a setting of the user's own stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
