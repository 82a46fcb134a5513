"""When a membrane resets, and to what (FP-3.7 to FP-3.9), for the ProcessModels of ``lif`` and ``cuba_lif``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware.fixed_point import sat
from hardware.models import MOST_SPIKES


def fire(
    options: Mapping[str, str], threshold: np.ndarray, x: np.ndarray, x_before: np.ndarray, z_before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Membrane after the reset, and spikes.

    Args:
        x: membrane after decay and input. x_before: what the step before left. z_before: spikes of the step before.
    """
    if options["spikes"] != "one":
        count = np.minimum(np.floor_divide(np.maximum(x, 0), threshold), MOST_SPIKES[options["spikes"]])
        return x - count * threshold, count
    if options["reset_at"] == "next":
        x = np.where(z_before > 0, reset(options, threshold, x), x)
        return x, reached(options, threshold, x)
    tested = x
    if options["reset_at"] == "carried":
        tested = np.where(reached(options, threshold, x_before), x - threshold, x)
    z = reached(options, threshold, tested)
    return np.where(z, reset(options, threshold, x), x), z


def reached(options: Mapping[str, str], threshold: np.ndarray, x: np.ndarray) -> np.ndarray:
    """FP-3.8."""
    result: np.ndarray = x >= threshold if options["fires"] == "at" else x > threshold
    return result


def reset(options: Mapping[str, str], threshold: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the membrane would be after a reset; saturated only where it holds integers."""
    if options["reset"] == "zero":
        return np.zeros_like(x)
    if options["reset"] == "none":
        return x
    return sat(x - threshold) if x.dtype.kind == "i" else x - threshold
