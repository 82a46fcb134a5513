"""Kernels of the two stages: a clear reference in torch, compiled forms beside it, one dispatch point."""
