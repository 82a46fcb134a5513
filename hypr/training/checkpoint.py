"""Checkpoints: safetensors files with a JSON header, written whole or not at all, checked when read; no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hypr.data.storage import write_atomically
from hypr.errors import HyprError

FORMAT, FORMAT_01 = "hypr-checkpoint-2", "hypr-checkpoint-1"
"""Files of version 0.1 have the second one, and no hash."""

MOST_HEADER_BYTES = 2**24


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        tensors: by name, on the CPU.
        details: JSON values (epoch, accuracy, format, ...).
        path: where it was read.
    """

    tensors: dict[str, Tensor]
    details: dict[str, Any]
    path: Path


def save(path: Path, tensors: Mapping[str, Tensor], details: Mapping[str, Any]) -> None:
    """Write tensors and JSON values into one file, atomically.

    Args:
        path: of the file.
        tensors: by name, any device.
        details: JSON values, kept in the header.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "details": json.dumps(dict(details), sort_keys=True)}
    write_atomically(path, _sealed(safetensors.torch.save(plain, header)))


def read(path: Path) -> Checkpoint:
    """Read a file that :func:`save` wrote.

    Raises:
        HyprError: where it is missing, cut short, of another format, or holds a value that is not finite.
    """
    try:
        content = _content(path)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "more than memory holds"
        raise HyprError(f"{path}: cannot be read ({reason}); train first, or give the folder of a run") from None
    try:
        header, data = _parts(content)
        known = header.get("__metadata__", {})
        if known.get("format") not in (FORMAT, FORMAT_01):
            raise HyprError(
                f"{path}: format is {known.get('format')!r}, expected '{FORMAT}'; the file is no checkpoint of this "
                "program"
            )
        expected = _digest(header, data) if known["format"] == FORMAT else None
        if known.get("sha256") != expected:
            raise HyprError(
                f"{path}: damaged or cut short, or changed: it does not match its SHA-256; use another checkpoint "
                "or train again"
            )
        tensors = safetensors.torch.load(content)
        details = json.loads(known["details"])
    except HyprError:  # is a ValueError
        raise
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise HyprError(
            f"{path}: damaged or cut short, {path.stat().st_size} bytes ({reason}); use another checkpoint or "
            "train again"
        ) from None
    if not isinstance(details, dict):
        raise HyprError(f"{path}: details must be a JSON object; use another checkpoint or train again")
    for name, tensor in tensors.items():
        _check_finite(path, name, tensor)
    return Checkpoint(tensors, details, path)


_DAMAGED = (
    *(safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError),
    *(MemoryError, OverflowError),
)


def _content(path: Path) -> bytes:
    """The whole file; of one that begins with no header of ours the beginning, however long it is."""
    with path.open("rb") as stream:
        first = stream.read(8)
        return first + (stream.read() if 0 < int.from_bytes(first, "little") <= MOST_HEADER_BYTES else b"")


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file. Raises ValueError or its kind."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= min(len(content) - 8, MOST_HEADER_BYTES):
        raise ValueError(f"its header claims {length} bytes")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _digest(header: Mapping[str, Any], data: bytes) -> str:
    """SHA-256 over the data and over all of the header but this hash itself."""
    bare = {**header, "__metadata__": {k: v for k, v in header.get("__metadata__", {}).items() if k != "sha256"}}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode() + b"\0" + data).hexdigest()


def _sealed(content: bytes) -> bytes:
    """The file with its hash in the header, and the header in one order (safetensors has none): equal checkpoints are
    equal files.
    """
    header, data = _parts(content)
    header["__metadata__"]["sha256"] = _digest(header, data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data
    return len(text).to_bytes(8, "little") + text + data


def load_weights(network: nn.Module, checkpoint: Checkpoint, prefix: str = "") -> None:
    """Copy weights into a network after every name, shape and type was found to agree; on error nothing was changed.

    Args:
        network: to be filled.
        checkpoint: read before.
        prefix: of the weights' names in the file.

    Raises:
        HyprError: at the first difference.
    """
    state = network.state_dict()
    found = {
        name.removeprefix(prefix): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(prefix)
    }
    for name, expected in state.items():
        if name not in found:
            raise HyprError(f"{checkpoint.path}: weight '{name}' is missing; the file belongs to another network")
        check_like(checkpoint.path, name, found[name], expected)
    extra = sorted(set(found) - set(state))
    if extra:
        raise HyprError(
            f"{checkpoint.path}: weight '{extra[0]}' has no place in the network; the file belongs to another one"
        )
    _check_masks(checkpoint.path, found)
    network.load_state_dict(found)


def _check_masks(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Weights of synapses that a mask leaves out are 0."""
    for name, mask in tensors.items():
        if name.rpartition(".")[2] in ("mask", "recurrent_mask"):
            weight = tensors[name.removesuffix("mask") + "weight"]
            count = int(torch.count_nonzero(weight[~mask]))
            if count:
                raise HyprError(
                    f"{path}: {count} weight(s) of '{name.removesuffix('mask')}weight' are not 0 where '{name}' has no "
                    "synapse; use another checkpoint or train again"
                )


def check_like(path: Path, name: str, tensor: Tensor, expected: Tensor) -> None:
    """Compare shape and type with what is expected.

    Raises:
        HyprError: where they differ.
    """
    if tensor.shape != expected.shape or tensor.dtype != expected.dtype:
        actual, wanted = f"{tensor.dtype} {tuple(tensor.shape)}", f"{expected.dtype} {tuple(expected.shape)}"
        raise HyprError(
            f"{path}: '{name}' is {actual}, expected {wanted}; the file belongs to another network or precision"
        )


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        count = int((~torch.isfinite(tensor)).sum())
        raise HyprError(
            f"{path}: '{name}' has {count} value(s) that are NaN or infinite; use another checkpoint or train again"
        )


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """State of an optimiser as tensors named ``optimiser/<parameter>/<item>``.

    Args:
        optimiser: whose parameters, group after group, have ``names`` in this order.
        names: of the parameters.
    """
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser/{names[index]}/{item}": value for index, items in state.items() for item, value in items.items()
    }


_STATE_OF = {"Adam": {"step", "exp_avg", "exp_avg_sq"}, "AdamW": {"step", "exp_avg", "exp_avg_sq"}}
"""What the optimisers of :mod:`hypr.training.build` remember of a parameter; plain SGD remembers nothing."""


def restore_optimiser(optimiser: torch.optim.Optimizer, names: list[str], checkpoint: Checkpoint) -> None:
    """Put back what :func:`optimiser_tensors` returned.

    Raises:
        HyprError: where an entry does not fit the parameters.
    """
    held = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    parameters = dict(zip(names, held, strict=True))
    needed = _STATE_OF.get(type(optimiser).__name__, set())
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in checkpoint.tensors.items():
        if not key.startswith("optimiser/"):
            continue
        name, _, item = key.removeprefix("optimiser/").rpartition("/")
        if name not in parameters:
            raise HyprError(
                f"{checkpoint.path}: optimiser state of unknown parameter '{name}'; the file belongs to another network"
            )
        if value.ndim:  # moments; the step count is a scalar
            check_like(checkpoint.path, key, value, parameters[name].detach())
        state.setdefault(names.index(name), {})[item] = value
    for index, items in state.items():
        if set(items) != needed:
            raise HyprError(
                f"{checkpoint.path}: optimiser state of '{names[index]}' holds {', '.join(sorted(items))}, expected "
                f"{', '.join(sorted(needed)) or 'nothing'}; the file belongs to another optimiser"
            )
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
