"""Target chips from files, the map of a network on one, its cost and its picture."""

from hypr.mapping.chip_map import DEFAULT_TARGET, ChipMap, chip_map
from hypr.mapping.target_files import load_target, targets

__all__ = ["DEFAULT_TARGET", "ChipMap", "chip_map", "load_target", "targets"]
