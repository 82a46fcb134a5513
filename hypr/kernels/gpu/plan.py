"""How a scan is laid out on a GPU: blocks, and whether a window takes one launch or one launch per step.

``whole``: one launch per window. A program keeps BLOCK_B samples of all neurons, so nothing passes between programs;
each of its steps reads the whole recurrent matrix (from the L2 cache) and does ``BLOCK_B N^2`` multiplications on one
multiprocessor. ``steps``: one launch per step, over all multiprocessors, the end of a launch being the barrier between
steps; a CUDA graph holds the launches of :data:`CHUNK` steps, so each costs some 2 to 3 microseconds instead of the
twenty of a launch from Python. A layer whose neurons exchange nothing within a scan always takes one launch, spread
over all multiprocessors.

The choice below weighs those two costs with round figures of current GPUs; it took the faster route at the four sizes
that were measured (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from hypr.errors import HyprError

CHUNK = 128
"""Steps in one CUDA graph."""
WIDEST_WHOLE = 1024
"""Neurons above which a recurrent layer never takes the one-launch route."""

_LAUNCH = 2.5e-6  # seconds per kernel inside a graph
_MULTIPLICATIONS = 1.5e11  # float32 per second and multiprocessor: 128 lanes at some 1.2 GHz after losses
_WEIGHTS = 1.0e11  # bytes per second that one multiprocessor reads from the L2 cache
_PROCESSORS = 108


@dataclass(frozen=True)
class Plan:
    """Layout of one scan.

    Attributes:
        route: ``whole`` or ``steps``.
        block_b, block_n, block_k: samples, neurons and terms of the recurrent product worked on at a time.
        tiles: tiles of block_n neurons per program.
        resident: states stay in registers over the window.
        dot: matrix instructions of the compiler (float32) instead of sums of products.
        warps: of 32 threads per program.
    """

    route: str
    block_b: int
    block_n: int
    block_k: int
    tiles: int
    resident: bool
    dot: bool
    warps: int

    def grid(self, batch: int, n: int, scans: int = 1) -> tuple[int, int, int]:
        return (_blocks(batch, self.block_b), _blocks(n, self.block_n * self.tiles), scans)


@dataclass(frozen=True)
class Wish:
    """What a caller wants instead of the automatic choice; None leaves it."""

    route: str | None = None
    block_n: int | None = None


_AUTOMATIC = Wish()
_wish: ContextVar[Wish] = ContextVar("hypr_gpu_plan", default=_AUTOMATIC)


@contextmanager
def use(route: str | None = None, block_n: int | None = None) -> Iterator[None]:
    """Force a route (``whole``, ``steps``) or a block size (power of two, at least 16) inside a ``with`` block."""
    if route not in (None, "whole", "steps"):
        raise HyprError(f"hypr.kernels.gpu.plan.use: route is {route!r}; allowed: whole, steps")
    if block_n is not None and (block_n < 16 or block_n & (block_n - 1)):
        raise HyprError(f"hypr.kernels.gpu.plan.use: block_n is {block_n!r}, must be a power of two of at least 16")
    token = _wish.set(Wish(route, block_n))
    try:
        yield
    finally:
        _wish.reset(token)


def plan(batch: int, n: int, exchange: bool, dtype: torch.dtype) -> Plan:
    """Layout for ``batch`` samples of ``n`` neurons, which read each other at every step where ``exchange``."""
    wish, dot = _wish.get(), dtype == torch.float32
    if not exchange:
        block_n = wish.block_n or min(64, power_of_two(n))
        block_b = max(1, min(power_of_two(batch), 128 // block_n))
        return Plan("whole", block_b, block_n, 16, 1, True, dot, 4)
    block_b = 16 if dot else 4  # 16 rows is the least that matrix instructions take
    route = wish.route or ("whole" if _whole_is_faster(batch, n, block_b) else "steps")
    if route == "steps":
        return Plan(route, block_b, wish.block_n or 32, 32 if dot else 16, 1, False, dot, 4)
    block_n = wish.block_n or max(16, min(256 if dot else 64, power_of_two(n)))
    tiles = _blocks(n, block_n)
    return Plan(route, block_b, block_n, 16, tiles, tiles == 1, dot, 8 if block_n >= 128 else 4)


def power_of_two(value: int) -> int:
    """The least power of two that is not below ``value``."""
    return 1 << max(0, value - 1).bit_length()


def _whole_is_faster(batch: int, n: int, block_b: int) -> bool:
    if n > WIDEST_WHOLE:
        return False
    work = block_b * n * n / _MULTIPLICATIONS
    programs = _blocks(batch, block_b)
    whole = math.ceil(programs / _PROCESSORS) * max(work, 4.0 * n * n / _WEIGHTS)
    return whole <= _LAUNCH + programs * work / min(_PROCESSORS, programs * _blocks(n, 32))


def _blocks(total: int, size: int) -> int:
    return -(-total // size)
