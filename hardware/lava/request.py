"""What a caller may ask for, and what a failed run raises."""

from __future__ import annotations

from collections.abc import Sequence

from hardware.errors import HardwareError, InputError
from hardware.lava.synapses import fits_dense
from hardware.program import Program
from hardware.trace import Trace, side_by_side

CONNECTIONS = ("dense", "batched")
"""Lava's own Dense, one sample at a time; or this package's connections for several samples at once."""

ARITHMETICS = ("fixed_pt", "floating_pt")
"""The integers of the contract; or the same equations and parameters in real arithmetic."""

AUTO_DENSE_SAMPLES = 1
"""``auto`` gives Lava's own Dense so many samples: it takes one after another, and each costs all its steps."""

GROUP = 64
"""Largest number of samples that a network with batched connections runs at once."""

CHANNEL_SIZE = 8
"""Messages that a channel of Lava can hold. Lava steps all processes together: its own 64 would only cost memory."""

CHANNEL_BYTES = 2**25
"""Shared memory for all channels of a network with batched connections; containers often have 64 MiB in all."""


def check_arithmetic(arithmetic: str) -> None:
    """Raises InputError for an unknown one."""
    if arithmetic not in ARITHMETICS:
        raise InputError(f"arithmetic must be one of {', '.join(ARITHMETICS)}, got {arithmetic!r}")


class LavaError(HardwareError):
    """A run on Lava failed: its Processes raised, died or stood still. ``traceback`` holds the child's own, if any."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def group_size(program: Program, samples: int) -> int:
    """How many samples run at once through batched connections, so that the channels stay within CHANNEL_BYTES."""
    sizes = program.sizes
    message = sum(sizes[projection.source] + sizes[projection.target] for projection in program.projections)
    return max(1, min(GROUP, samples, CHANNEL_BYTES // (max(1, message) * CHANNEL_SIZE * 4)))


def dense_samples(program: Program, steps: int, samples: int, connections: str | int) -> int:
    """How many of the first samples run through Lava's own Dense; the rest runs through the batched connections.

    Args:
        steps, samples: T and B of the inputs.
        connections: ``"dense"``, ``"batched"``, ``"auto"``, or the number itself.

    Raises:
        InputError: an unknown kind of connections.
    """
    if connections == "batched":
        return 0
    if connections == "dense":
        return samples
    if connections == "auto":
        return min(samples, AUTO_DENSE_SAMPLES) if fits_dense(program) else 0
    if isinstance(connections, int) and 0 <= connections <= samples:
        return int(connections)
    raise InputError(
        f"connections: {connections!r}, must be auto, {', '.join(CONNECTIONS)} or a number of samples, 0 to {samples}"
    )


def joined(traces: Sequence[Trace]) -> Trace:
    """Traces of consecutive samples as one; the engine's name says how many went through which connections, where
    these differ.
    """
    if len(traces) == 1:
        return traces[0]
    counts: dict[str, int] = {}
    for trace in traces:
        kind = trace.engine.removeprefix("lava[").removesuffix("]")
        counts[kind] = counts.get(kind, 0) + trace.output.shape[1]
    names = [f"{kind} {count}" for kind, count in counts.items()] if len(counts) > 1 else list(counts)
    return side_by_side(f"lava[{', '.join(names)}]", traces)
