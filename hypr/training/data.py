"""From a configuration to its data."""

from __future__ import annotations

from hypr import data
from hypr.data import SequenceDataset
from hypr.training.config import Config


def load_data(config: Config, split: str) -> SequenceDataset:
    """One split of the configured data set."""
    seed = config.training.seed if config.data.split_seed is None else config.data.split_seed
    return data.load(config.data.name, split, encoding=config.data.encoding, seed=seed, **config.data.options)
