"""From a configuration to its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypr import data
from hypr.data import SequenceDataset, own
from hypr.errors import HyprError
from hypr.training.config import Config


def load_data(config: Config, split: str, name: str | None = None) -> SequenceDataset:
    """One split of the configured data set.

    Args:
        name: where the data are now, instead of the configured name.

    Raises:
        HyprError: no such data, or code that only the configuration names (:func:`hypr.data.permit`).
    """
    seed = config.training.seed if config.data.split_seed is None else config.data.split_seed
    options: dict[str, Any] = dict(config.data.options)
    return data.load(
        name or config.data.name, split, encoding=config.data.encoding, seed=seed, trusted=name is not None, **options
    )


def source_of(name: str, folder: Path) -> dict[str, str] | None:
    """How a run or a bundle in ``folder`` finds a data file again: name, path from there and hash; None for others."""
    if not own.is_file(name):
        return None
    return {"name": name, "path": own.relative(Path(name), folder), "sha256": own.file_sha256(Path(name))}


def place_of(name: str, source: Any, folder: Path) -> str:
    """Where the data of a run or a bundle in ``folder`` are: the name itself, or the path of its file.

    Args:
        source: what :func:`source_of` returned, read back from a file.

    Raises:
        HyprError: a file that is not where it was.
    """
    if not own.is_file(name):
        return name
    recorded = source.get("path") if isinstance(source, dict) else None
    if recorded is not None and not isinstance(recorded, str):
        raise HyprError(f"{folder}: the recorded path of {name} is damaged; say where it is with --data PATH.npz")
    return str(own.locate(name, folder, recorded))
