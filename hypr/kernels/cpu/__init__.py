"""Kernels for CPUs, compiled by numba; :mod:`hypr.kernels.cpu.operations` is what dispatch calls."""
