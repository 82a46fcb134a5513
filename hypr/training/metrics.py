"""Accuracies, activity and the metrics file of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.files import read_at_most
from hypr.data import SequenceDataset
from hypr.data.storage import write_atomically
from hypr.errors import HyprError
from hypr.network import Network
from hypr.training.distributed import Group

MOST_BYTES = 2**26
"""Of a metrics file; 1,000 epochs need about one million."""

SATURATED_RATE = 0.5
"""A neuron that spikes at more than half of all steps carries little information."""


def decide(output: Tensor, counts: Tensor, rule: str) -> Tensor:
    """Classes from outputs, as a ``hardware`` Decision reads them; the lowest index wins a tie.

    Args:
        output: (B, T, C), membranes of the readout or output spikes.
        counts: bool (B, T), steps that count.
        rule: ``per_step``, ``sum`` or ``spike_count``.

    Returns:
        int64 (B, T) for ``per_step``, else (B,).
    """
    if rule == "per_step":
        return output.argmax(dim=-1)
    return (output * counts[..., None]).sum(dim=1).argmax(dim=-1)


def correct(output: Tensor, labels: Tensor, counts: Tensor, rule: str) -> tuple[float, int]:
    """(right, all) decisions: of counted steps for ``per_step``, else of sequences; shapes as in :func:`decide`. For
    real targets the right ones are the explained part of their variance, times all.
    """
    if labels.is_floating_point():
        return explained(output, labels, counts)
    decision = decide(output, counts, rule)
    if rule == "per_step":
        target = labels if labels.ndim == 2 else labels[:, None].expand_as(decision)
        return int(((decision == target) & counts).sum()), int(counts.sum())
    return int((decision == labels).sum()), len(labels)


def explained(output: Tensor, target: Tensor, counts: Tensor) -> tuple[float, int]:
    """(R2 times counted steps, counted steps) of a regression: R2 is 1 at best, 0 for the mean, and may be negative.

    Args:
        output: (B, T, C). target: (B, C) or (B, T, C). counts: bool (B, T).
    """
    wanted = (target[:, None] if target.ndim == 2 else target).expand_as(output)[counts].double()
    error = (output[counts].double() - wanted).pow(2).sum()
    spread = (wanted - wanted.mean(0)).pow(2).sum() if len(wanted) else wanted.new_zeros(())
    number = int(counts.sum())
    return (float(1 - error / spread) if float(spread) > 0 else 0.0) * number, number


@dataclass(frozen=True)
class Evaluation:
    """Measured on one split.

    Attributes:
        accuracy: part of right decisions, 0 to 1; R2 where the data have real targets.
        labelled_accuracy: the same over steps that carry a label, where a data set has steps without; else None.
        decisions: number of decisions.
    """

    accuracy: float
    labelled_accuracy: float | None
    decisions: int


@torch.no_grad()
def evaluate(network: Network, data: SequenceDataset, batch: int, group: Group | None = None) -> Evaluation:
    """Accuracy of a network on a data set under the network's own decision rule.

    Args:
        network: float network, any device.
        data: the sequences.
        batch: sequences at once.
        group: processes that share the work and all get the result; each takes its part of the sequences, since what
            one of them did alone the others would wait for. Counts are whole numbers, so nothing depends on the split.
    """
    group = Group() if group is None else group
    own = group.part(len(data))
    rule, ignored = str(network.decision["rule"]), int(str(network.decision["ignore_first"]))
    right, total, right_labelled, total_labelled = 0.0, 0, 0.0, 0
    if data.regression:
        return _evaluate_regression(network, data, batch, group)
    for start in range(own.start, own.stop, batch):
        part = slice(start, min(start + batch, own.stop))
        output = network(torch.from_numpy(data.inputs[part])).cpu()
        counts = torch.from_numpy(data.mask[part].copy())
        counts[:, :ignored] = False
        labels = torch.from_numpy(data.labels[part])
        hits, number = correct(output, labels, counts, rule)
        right, total = right + hits, total + number
        if data.labelled is not None and rule == "per_step":
            hits, number = correct(output, labels, counts & torch.from_numpy(data.labelled[part]), rule)
            right_labelled, total_labelled = right_labelled + hits, total_labelled + number
    sums = group.sum([right, total, right_labelled, total_labelled])
    right, total, right_labelled, total_labelled = (int(value) for value in sums)
    labelled = right_labelled / total_labelled if total_labelled else None
    return Evaluation(right / max(total, 1), labelled, total)


def _evaluate_regression(network: Network, data: SequenceDataset, batch: int, group: Group) -> Evaluation:
    """R2 over all counted steps; every process does the whole, since a mean over all targets is needed."""
    outputs = [
        network(torch.from_numpy(data.inputs[start : start + batch])).cpu() for start in range(0, len(data), batch)
    ]
    counts = torch.from_numpy(data.mask.copy())
    counts[:, : int(str(network.decision["ignore_first"]))] = False
    right, total = explained(torch.cat(outputs), torch.from_numpy(data.labels), counts)
    return Evaluation(right / max(total, 1), None, total)


def activity(rates: Mapping[str, np.ndarray], spiking: Mapping[str, bool]) -> dict[str, dict[str, float]]:
    """Mean rate per step and number of dead and saturated neurons of every spiking layer.

    Args:
        rates: layer name -> (N,), spikes per step of each neuron.
        spiking: layer name -> whether it spikes.
    """
    return {
        name: {
            "rate": float(np.mean(rate)),
            "dead": int(np.sum(rate == 0)),
            "saturated": int(np.sum(rate > SATURATED_RATE)),
        }
        for name, rate in rates.items()
        if spiking[name]
    }


class MetricsFile:
    """JSON lines, one per epoch; a line is on disk when :meth:`append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, epochs_done: int) -> list[dict[str, Any]]:
        """Keep the lines of the first epochs, drop later ones and a last line that was cut short.

        Returns:
            what was kept.
        """
        kept = [line for line in read_metrics(self.path) if line["epoch"] <= epochs_done] if self.path.exists() else []
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        return kept

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one line."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(line)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file; a last line that was cut short by a crash is left out.

    Raises:
        HyprError: where the file is missing or another line is not a JSON object with an epoch.
    """
    try:
        lines = read_at_most(path, MOST_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise HyprError(f"{path}: cannot be read ({reason}); give the folder of a run") from None
    found = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            whole = isinstance(line, dict) and isinstance(line.get("epoch"), int)
        except (ValueError, RecursionError):
            whole = False
        if whole:
            found.append(line)
        elif number < len(lines):
            raise HyprError(f"{path}: line {number} is not a JSON object with an epoch; remove it or train again")
    return found
