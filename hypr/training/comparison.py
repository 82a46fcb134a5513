"""Runs side by side: those that differ in nothing but the seed are one group, whose means are compared pair by pair."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypr.errors import HyprError
from hypr.training import runs
from hypr.training.config import Config, RuleConfig
from hypr.training.metrics import read_metrics
from hypr.training.recorded import load_recorded

MEASURES = ("validation", "test", "validation_labelled", "test_labelled")
_NOT_COMPARED = ("training.seed", "name", "description", "training.evaluation_batch", "device")


@dataclass(frozen=True)
class Mean:
    """Mean, standard error (None of a single value) and number of values."""

    value: float
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(statistics.fmean(values), error, len(values))


@dataclass(frozen=True)
class Group:
    """Finished runs of one configuration.

    Attributes:
        label: what distinguishes it from the other groups.
        runs: seed -> measures of that run: accuracies (0 to 1) of the network that was best on validation,
            ``seconds_per_epoch`` (the shortest epoch), and ``spikes_per_step`` of all its neurons in training where it
            has spiking layers.
    """

    label: str
    runs: Mapping[int, Mapping[str, float]]

    def mean(self, measure: str) -> Mean | None:
        """Over the runs that have the measure."""
        values = [run[measure] for run in self.runs.values() if measure in run]
        return Mean.of(values) if values else None

    def difference(self, other: Group, measure: str) -> Mean | None:
        """Mean of this less the other, over the seeds that both have."""
        shared = [seed for seed in self.runs if seed in other.runs]
        pairs = [(self.runs[seed].get(measure), other.runs[seed].get(measure)) for seed in shared]
        values = [one - two for one, two in pairs if one is not None and two is not None]
        return Mean.of(values) if values else None


def gather(paths: Sequence[Path]) -> list[Group]:
    """Groups of the finished runs in some folders, in the order in which they first appear.

    Args:
        paths: folders of runs, or folders that hold such folders.

    Raises:
        HyprError: a folder without finished runs, or the same seed twice in a group.
    """
    found: dict[tuple[tuple[str, str], ...], dict[int, dict[str, float]]] = {}
    for path in paths:
        for folder in _runs_in(path):
            settings = _settings(load_recorded(folder / runs.CONFIG))
            seed = int(settings["training.seed"])
            key = tuple(sorted((name, repr(value)) for name, value in settings.items() if name not in _NOT_COMPARED))
            group = found.setdefault(key, {})
            if seed in group:
                raise HyprError(f"{folder}: a second run of the same configuration with seed {seed}; leave one out")
            group[seed] = _measures(folder)
    labels = _labels([dict(key) for key in found])
    return [Group(label, dict(sorted(group.items()))) for label, group in zip(labels, found.values(), strict=True)]


def _settings(config: Config) -> dict[str, Any]:
    """By dotted key, without those of the rule that are its defaults: labels would repeat them."""
    rule, name = config.rule, config.rule.name
    usual = RuleConfig(name=name, carry=False) if rule.carry is False else RuleConfig(name=name)
    known = usual.settled().model_dump(exclude={"name", "carry"}) | {"carry": True}
    values = config.to_dict()
    values["rule"] = {key: value for key, value in values["rule"].items() if key not in known or value != known[key]}
    return _flat(values)


def _runs_in(path: Path) -> list[Path]:
    if (path / runs.CONFIG).exists():
        if not (path / runs.RESULT).exists():
            raise HyprError(f"{path}: the run has not come to its end; continue it with 'hypr train ... --resume'")
        return [path]
    found = sorted(folder.parent for folder in path.glob(f"*/{runs.RESULT}")) if path.is_dir() else []
    if not found:
        raise HyprError(f"{path}: holds no finished run; give folders that 'hypr train' wrote")
    return found


def _measures(folder: Path) -> dict[str, float]:
    result, lines = runs.read_json(folder / runs.RESULT), read_metrics(folder / runs.METRICS)
    values = {name: float(value) for name, value in result["best"].items() if name in MEASURES}
    if lines:
        values["seconds_per_epoch"] = min(float(line["seconds"]) for line in lines)
    best = next((line for line in lines if line["epoch"] == result["best_epoch"]), None)
    if best and best["activity"]:
        network = runs.open_run(folder).network
        widths = dict(zip(network.layer_names(), (layer.n for layer in network.layers), strict=True))
        values["spikes_per_step"] = sum(one["rate"] * widths[name] for name, one in best["activity"].items())
    return values


def _labels(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """For each group its values of the keys in which groups differ."""
    keys = sorted({key for one in settings for key in one})
    missing = "-"
    differing = [key for key in keys if len({one.get(key, missing) for one in settings}) > 1]
    if not differing:
        return ["all runs"] * len(settings)
    differing.sort(key=lambda key: (not key.startswith("data."), key != "rule.name", key))
    short = {
        key: key.rsplit(".", 1)[-1] if key.rsplit(".", 1)[-1] != "name" else key.split(".")[0] for key in differing
    }
    return [
        ", ".join(f"{short[key]}={one[key].strip(chr(39))}" for key in differing if key in one) or "without these"
        for one in settings
    ]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, Mapping):
        pairs = list(values.items())
    elif isinstance(values, list) and any(isinstance(one, Mapping) for one in values):
        pairs = [(str(index), one) for index, one in enumerate(values)]
    else:
        return {prefix: values}
    return {
        name: value for key, item in pairs for name, value in _flat(item, f"{prefix}.{key}" if prefix else key).items()
    }
