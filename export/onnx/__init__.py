"""Integer and float graphs for ONNX runtimes."""
