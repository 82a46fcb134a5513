"""A network as one file: weights, and the structure to build it again. For loops of one's own."""

from __future__ import annotations

from pathlib import Path

from hypr.errors import HyprError
from hypr.network import Network
from hypr.training import checkpoint
from hypr.training.runs import rebuild, save_weights


def save(net: Network, path: str | Path) -> None:
    """Write a network into a safetensors file, whole or not at all; no pickle.

    Args:
        net: any :class:`hypr.Network`, a neuron of one's own too.
        path: of the file, ``mine.safetensors``.

    Raises:
        HyprError: not a network, or a value that is not finite. OSError: no place to write.
    """
    if not isinstance(net, Network):
        raise HyprError(f"hypr.save: a {type(net).__name__} is no hypr.Network; in a Lightning module give its network")
    for name, value in net.state_dict().items():
        if not bool(value.isfinite().all()):
            raise HyprError(
                f"hypr.save: '{name}' holds values that are not finite; train again with a lower learning rate"
            )
    save_weights(Path(path), net, {})


def load(path: str | Path) -> Network:
    """The network that :func:`save` wrote (or ``best.safetensors`` of a run), on the CPU, in its precision.

    Args:
        path: a .safetensors file.

    Raises:
        HyprError: missing, damaged or of another format; a kind of neuron that is not defined here: import its module
            first.
    """
    return rebuild(checkpoint.read(Path(path)))
