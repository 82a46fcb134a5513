"""Kernels for NVIDIA GPUs in Triton; :mod:`hypr.kernels.gpu.operations` is what dispatch calls."""
