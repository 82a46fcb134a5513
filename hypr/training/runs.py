"""The folder of a run: its files, and how a trained network comes back out of it."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

import hypr
from export import files
from export.errors import ExportError
from hypr.data import SequenceDataset, own
from hypr.data.storage import write_atomically
from hypr.errors import HyprError
from hypr.kernels import dispatch
from hypr.network import Network
from hypr.training import checkpoint
from hypr.training.config import Config
from hypr.training.data import load_data, place_of, source_of
from hypr.training.metrics import read_metrics
from hypr.training.recorded import load_recorded

CONFIG, ENVIRONMENT, METRICS, RESULT, CURVES = (
    "config.toml",
    "environment.json",
    "metrics.jsonl",
    "result.json",
    "curves.png",
)
QUANTIZATION = "quantization.json"
"""Integer formats of a run that trained on integers; export uses them, so that it writes the integers of training."""

BEST, LAST, RESUME = "best.safetensors", "last.safetensors", "resume.safetensors"
if TYPE_CHECKING:
    from export.quantization.formats import QuantizationSettings

_PACKAGES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "safetensors")


@dataclass(frozen=True)
class Run:
    """A trained network and what is known of its training.

    Attributes:
        path: folder of the run.
        which: ``best`` (on validation) or ``last``.
        config: as it was used.
        data: where its data are now, by the user's word: a file or ``module:function``; None: where the run found them.
    """

    path: Path
    which: str
    config: Config
    data: str | None = None

    @cached_property
    def _checkpoint(self) -> checkpoint.Checkpoint:
        return checkpoint.read(self.path / f"{self.which}.safetensors")

    @cached_property
    def network(self) -> Network:
        """The trained network on the CPU, in the precision of training."""
        return rebuild(self._checkpoint)

    @property
    def epoch(self) -> int:
        """Epoch of these weights, from 1."""
        return int(self._checkpoint.details["epoch"])

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """One entry per epoch."""
        return read_metrics(self.path / METRICS)

    @cached_property
    def result(self) -> dict[str, Any] | None:
        """Final accuracies, or None where training has not come to its end."""
        return read_json(self.path / RESULT) if (self.path / RESULT).exists() else None

    @cached_property
    def settings(self) -> QuantizationSettings | None:
        """Integer formats that the run trained with, or None where it trained on floats."""
        path = self.path / QUANTIZATION
        return read_settings(path) if path.exists() else None

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, seed, data hashes and command."""
        return read_json(self.path / ENVIRONMENT)

    def load_data(self, split: str) -> SequenceDataset:
        """A split of the data set of the run, with the run's seed and encoding.

        Raises:
            HyprError: where its content differs from what the run was trained on, or a data file has moved.
        """
        dataset = load_data(self.config, split, self.data or data_place(self.config, self.path))
        expected = self.environment.get("data", {}).get(split)
        if expected is not None and dataset.sha256 != expected:
            raise HyprError(
                f"{self.path}: the {split} part of '{dataset.name}' has sha256 {dataset.sha256[:16]}..., the run "
                f"used {str(expected)[:16]}...; "
                f"restore those files or train again"
            )
        return dataset


def open_run(path: str | Path, which: Literal["best", "last"] = "best", data: str | None = None) -> Run:
    """Open the folder of a run.

    Args:
        path: of the folder that ``hypr train`` wrote.
        which: ``best`` on validation, or ``last``.
        data: see :class:`Run`.

    Raises:
        HyprError: where the folder holds no run or its files are damaged.
    """
    folder = Path(path)
    if not (folder / CONFIG).exists():
        raise HyprError(
            f"{folder}: holds no run ({CONFIG} is missing); give the folder that 'hypr train ... --out' wrote"
        )
    if which not in ("best", "last"):
        raise HyprError(f"{folder}: which is {which!r}; choose best or last")
    if not (folder / f"{which}.safetensors").exists():
        raise HyprError(
            f"{folder}: has no {which}.safetensors yet; finish the first epoch with 'hypr train ... --out {folder} "
            "--resume'"
        )
    return Run(folder, which, load_recorded(folder / CONFIG), data)


def data_place(settings: Config, folder: Path) -> str | None:
    """Where the data file of a run is, also from another working folder; None for data that are no file.

    Raises:
        HyprError: it is not where it was.
    """
    name = settings.data.name
    if not own.is_file(name):
        return None
    begun = (folder / ENVIRONMENT).exists()
    return place_of(name, read_json(folder / ENVIRONMENT).get("data_source") if begun else None, folder)


def rebuild(weights: checkpoint.Checkpoint) -> Network:
    """Network out of a checkpoint that describes its structure.

    Raises:
        HyprError: where structure and weights do not agree.
    """
    structure = weights.details.get("structure")
    if not isinstance(structure, dict):
        raise HyprError(f"{weights.path}: describes no network; use best.safetensors or last.safetensors of a run")
    try:
        network = Network.from_structure(structure)
    except HyprError as error:
        raise HyprError(f"{weights.path}: {error}") from None
    kinds = {tensor.dtype for tensor in weights.tensors.values() if tensor.is_floating_point()}
    if len(kinds) == 1:
        network = network.to(kinds.pop())
    checkpoint.load_weights(network, weights)
    return network


def save_weights(path: Path, network: Network, details: Mapping[str, Any]) -> None:
    """Write a checkpoint out of which :func:`rebuild` makes the network again."""
    checkpoint.save(path, network.state_dict(), {**details, "structure": network.structure()})


def environment(
    settings: Config,
    datasets: Mapping[str, SequenceDataset],
    network: Network,
    device: torch.device,
    folder: Path,
    processes: int = 1,
) -> dict[str, Any]:
    """Everything outside the configuration that could matter to a result."""
    return {
        "hypr": hypr.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "device": str(device) if device.type == "cpu" else f"{device} ({torch.cuda.get_device_name(device)})",
        "processes": processes,
        "threads": torch.get_num_threads(),
        "kernels": {name: dispatch.kernel_name(layer) for name, layer in _layers(network).items()},
        "seed": settings.training.seed,
        "data": {split: dataset.sha256 for split, dataset in datasets.items()},
        "data_source": source_of(settings.data.name, folder),
        "scale_choice": "state_error",  # by which its export chooses formats; files of version 0.1 lack it
        "command": shlex.join(sys.argv),
    }


def network_facts(network: Network) -> dict[str, Any]:
    """What a bundle says of a network that no run trained."""
    return {
        "hypr": hypr.__version__,
        "layers": {name: f"{layer.kind} {layer.n}" for name, layer in _layers(network).items()},
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def _layers(network: Network) -> dict[str, Any]:
    return dict(zip(network.layer_names(), network.layers, strict=True))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def read_settings(path: Path) -> QuantizationSettings:
    """Integer formats from a run's folder.

    Raises:
        HyprError: where the file is damaged or holds anything else.
    """
    from export.quantization.formats import OF_VERSION_01, QuantizationSettings

    try:
        return QuantizationSettings(**{**OF_VERSION_01, **read_json(path)})
    except (TypeError, ValueError) as error:
        raise HyprError(
            f"{path}: holds no integer formats ({' '.join(str(error).split())[:100]}); train again"
        ) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    write_atomically(path, (json.dumps(dict(content), indent=2, default=_plain) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        HyprError: where the file is missing or damaged.
    """
    try:
        return files.read_json(path, "train again")
    except ExportError as error:
        raise HyprError(str(error)) from None
