"""Configurations that runs and bundles wrote down, perhaps before some key existed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.files import read_at_most
from hypr.errors import HyprError
from hypr.training.config import Config, fit_rule, from_dict
from hypr.training.toml import MOST_BYTES, parse_toml

_BEFORE = {("network", "initial"): "random", ("rule", "own_spike"): False}
"""What a run did before a key existed; files that lack the key mean that."""


def from_recorded(content: Mapping[str, Any], where: str) -> Config:
    """Validate what a run wrote down.

    Raises:
        HyprError: as :func:`hypr.training.config.from_dict`.
    """
    filled = dict(content)
    for (section, key), value in _BEFORE.items():
        if isinstance(filled.get(section), Mapping):
            filled[section] = {key: value, **filled[section]}
    fit_rule(filled)  # version 0.1 wrote down options of all rules
    return from_dict(filled, where)


def load_recorded(path: Path) -> Config:
    """The configuration in the folder of a run.

    Raises:
        HyprError: the file cannot be read, is no TOML, or holds a wrong key or value.
    """
    try:
        return from_recorded(parse_toml(read_at_most(path, MOST_BYTES).decode(), str(path)), str(path))
    except OSError as error:
        raise HyprError(f"{path}: cannot be read ({error.strerror}); give the folder of a run") from None
    except UnicodeDecodeError as error:
        raise HyprError(f"{path}: not valid TOML: {error}") from None


def written(path: Path) -> Config | None:
    """:func:`load_recorded`, None where the folder holds no run yet."""
    return load_recorded(path) if path.exists() else None


def settled(config: Config, before: Config | None) -> Config:
    """A configuration whose rule says all its options: those left open are the recorded ones of the run that is
    continued, or the rule's defaults. A continued run also begins as it was to begin, if it had not.
    """
    rule, network = config.rule, config.network
    if before is not None:
        network = network.model_copy(update={"initial": before.network.initial})
    if before is not None and before.rule.name == rule.name:
        kept = {
            key: value
            for key, value in before.rule.model_dump().items()
            if getattr(rule, key) is None and key != "window"
        }
        rule = rule.model_copy(update=kept)
    return config.model_copy(update={"rule": rule.settled(), "network": network})
