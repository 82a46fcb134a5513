"""Data parallel training: each process that ``torchrun`` started takes its part of every batch.

``torchrun --nproc-per-node 2 -m hypr train RECIPE --out RUN`` needs nothing else: the processes find each other by the
variables that torchrun sets. Each counts its part of a batch by the part's share of the sequences, so the sum over
processes is the gradient of one process on the whole batch (up to the order of summation), also for parts of unequal
length. The weights stay equal because every process makes the same update with the same gradient; that is checked, not
assumed. The folder of the run must be visible to all processes; the first one alone writes there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from hypr.errors import HyprError
from hypr.learning.rule import Rule

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = timedelta(minutes=10)
"""Longest wait for another process: it covers start-up, loading of data and one evaluation."""

_MESSAGE = 500  # bytes of an error's text that the first process tells the others

Result = TypeVar("Result")


class GroupError(HyprError):
    """The processes cannot work together, or another one failed."""


@dataclass(frozen=True)
class Group:
    """This process among those that train together; one process alone is a group of one and exchanges nothing.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local: number of this process on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leader(self) -> bool:
        """True in the one process that writes files and reports."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's share of ``count`` sequences; shares differ by one at most and may be empty."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def backward(self, rule: Rule, x: Tensor, y: Tensor, mask: Tensor) -> float:
        """``rule.backward`` of a whole batch, of which this process computes its part.

        Args:
            rule: bound to the network of this process; its ``output`` and ``rates`` are those of the part afterwards
                (of an earlier batch where the part is empty).
            x, y, mask: the whole batch, the same in every process, as in :meth:`hypr.learning.rule.Rule.backward`.

        Returns:
            the loss of the whole batch; the same gradient has been added to ``.grad`` in every process.
        """
        if self.size == 1:
            return float(rule.backward(x, y, mask))
        if not bool(mask.any()):
            raise HyprError("mask leaves no step in any sample; at least one step must count")
        parameters = list(rule.net.parameters())
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        loss = self._own_part(rule, x, y, mask)
        self._add_gradients(parameters)
        for parameter, held in zip(parameters, before, strict=True):
            if held is not None:
                parameter.grad = held if parameter.grad is None else held + parameter.grad
        return self.sum([loss])[0]

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over the processes in float64, equal in all of them."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(total)
        return [float(value) for value in total]

    def sum_vectors(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same for vectors by name, which must have the same names and lengths everywhere; float64, on the CPU."""
        kept = {name: vector.detach().to("cpu", torch.float64) for name, vector in vectors.items()}
        if self.size == 1 or not kept:
            return kept
        total = torch.cat(list(kept.values()))
        dist.all_reduce(total)
        parts = total.split([len(vector) for vector in kept.values()])
        return dict(zip(kept, parts, strict=True))

    def share_(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the values of the first, in place."""
        for tensor in tensors if self.size > 1 else ():
            value = tensor.detach().cpu().contiguous()
            dist.broadcast(value, 0)
            tensor.copy_(value)

    def check_same(self, what: str, tensors: Mapping[str, Tensor] | None = None, text: str = "") -> None:
        """Every process must hold the same bits.

        Args:
            what: named in the error.
            tensors, text: what is compared.

        Raises:
            GroupError: in every process, where one differs from the first.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256(text.encode())
        for name, tensor in (tensors or {}).items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        others = [rank for rank, one in enumerate(found) if not torch.equal(one, found[0])]
        if others:
            raise GroupError(
                f"{what} of process {others[0]} of {self.size} differ from those of process 0; use the same program, "
                "data and folder everywhere, then continue with --resume"
            )

    def leader_first(self, act: Callable[[], Result]) -> Result | None:
        """Let the first process act before the others go on.

        Returns:
            what ``act`` returned in the first process, None in the others.

        Raises:
            GroupError: in the others, where ``act`` failed in the first; there its own error is raised.
        """
        if self.size == 1:
            return act()
        message = torch.zeros(_MESSAGE, dtype=torch.uint8)
        try:
            return act() if self.leader else None
        except Exception as error:
            text = (" ".join(str(error).split()) or type(error).__name__).encode()[:_MESSAGE]
            message[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            raise
        finally:
            dist.broadcast(message, 0)
            if not self.leader and bool(message[0]):
                said = bytes(message.tolist()).rstrip(b"\0").decode(errors="replace")
                raise GroupError(f"process {self.rank} of {self.size}: process 0 failed: {said}")

    def _own_part(self, rule: Rule, x: Tensor, y: Tensor, mask: Tensor) -> float:
        """Gradient and loss of this process's part, weighted by its share of the batch."""
        part = self.part(len(x))
        own = part.stop - part.start
        if own == 0:
            return 0.0
        counts = bool(mask[part].any())  # without any, the part still has outputs to be counted as decisions
        share = own / len(x) if counts else 0.0
        loss = float(rule.backward(x[part], y[part], mask[part] if counts else torch.ones_like(mask[part])))
        for parameter in rule.net.parameters():
            if parameter.grad is not None:
                parameter.grad = parameter.grad * share if counts else torch.zeros_like(parameter.grad)
        return loss * share if counts else 0.0

    def _add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum over the processes; a parameter without gradient in all of them keeps none."""
        present = self.sum([float(parameter.grad is not None) for parameter in parameters])
        wanted = [parameter for parameter, known in zip(parameters, present, strict=True) if known]
        if not wanted:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in wanted])
        dist.all_reduce(flat)
        for parameter, gradient in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
            parameter.grad = gradient.view_as(parameter).clone()


def from_environment() -> Group:
    """The group that torchrun's variables describe; a group of one where there are none.

    Raises:
        GroupError: a variable is missing or no whole number in its range.
    """
    if "WORLD_SIZE" not in os.environ:
        return Group()
    size = _whole("WORLD_SIZE", 1, 1_000_000)
    if size == 1:
        return Group()
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise GroupError(
            f"WORLD_SIZE is {size}, but {missing[0]} is not set; start with 'torchrun --nproc-per-node {size} -m hypr "
            "train ...', or unset WORLD_SIZE"
        )
    _whole("MASTER_PORT", 1, 65535)
    return Group(_whole("RANK", 0, size - 1), size, _whole("LOCAL_RANK", 0, size - 1))


@contextlib.contextmanager
def joined(device: str = "auto", timeout: timedelta = TIMEOUT) -> Iterator[tuple[Group, torch.device]]:
    """This process's group and device; connects the processes and lets go of them at the end.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; of several processes on a machine each takes a GPU.
        timeout: longest wait for another process.

    Raises:
        GroupError: where the processes do not find each other, or there are more of them than GPUs.
        HyprError: where a GPU is asked for and there is none.
    """
    group = from_environment()
    place = choose_device(device, group)
    if group.size == 1:
        yield group, place
        return
    if not dist.is_available():
        raise GroupError(f"this torch cannot train in {group.size} processes (no torch.distributed); start one process")
    nccl = place.type == "cuda" and dist.is_nccl_available()
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo", timeout=timeout)
    except (RuntimeError, ValueError, OSError) as error:  # torch's DistError is a RuntimeError
        reason = " ".join(str(error).split())[:160]
        raise GroupError(
            f"process {group.rank} of {group.size} found no others at {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']} ({reason}); start all of them with one torchrun command, within "
            f"{timeout.total_seconds():.0f} s"
        ) from None
    try:
        yield group, place
        dist.barrier()  # who leaves while others still talk may be aborted by the threads of the group
    finally:
        dist.destroy_process_group()


def choose_device(wanted: str, group: Group) -> torch.device:
    """The device of this process.

    Raises:
        HyprError: where a GPU is asked for and there is none, or one for several processes.
    """
    count = torch.cuda.device_count()
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type != "cuda":
        return device
    if device.index is not None and group.size > 1:
        raise GroupError(f"device '{wanted}' is one GPU for {group.size} processes; use device=cuda or device=cpu")
    if group.local >= count and count > 0:
        raise GroupError(
            f"process {group.local} of this machine has no GPU, there are {count}; start with "
            f"--nproc-per-node {count}, or use device=cpu"
        )
    if (device.index or 0) >= count:
        raise HyprError(f"device '{wanted}' is not here ({count} GPUs found); use device=cpu")
    return torch.device("cuda", group.local) if group.size > 1 else device


def _whole(name: str, low: int, high: int) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise GroupError(f"{name} is '{text}', must be a whole number from {low} to {high}; start with torchrun")
    return int(text)
