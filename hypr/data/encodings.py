"""Turning level sequences into integers for the chip: pure functions on arrays (n, T, C)."""

from __future__ import annotations

import numpy as np


def thermometer(levels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Spikes that say which thresholds a level exceeds.

    Args:
        levels: int (n, T, C).
        thresholds: int (K,), ascending.

    Returns:
        uint8 (n, T, C * K); channel ``c * K + k`` is 1 where level c exceeds threshold k.
    """
    spikes = levels[..., None] > thresholds
    return spikes.reshape(*levels.shape[:2], -1).astype(np.uint8)


def level_crossing(levels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Spikes at the steps where a level crosses a threshold; the level before the first step is the lowest.

    Args:
        levels: int (n, T, C).
        thresholds: int (K,), ascending.

    Returns:
        uint8 (n, T, 2 C K): first all upward crossings, then all downward ones.
    """
    above = thermometer(levels, thresholds).astype(np.int8)
    before = np.concatenate([np.zeros_like(above[:, :1]), above[:, :-1]], axis=1)
    change = above - before
    return np.concatenate([change > 0, change < 0], axis=-1).astype(np.uint8)


def integrate_and_fire(drive: np.ndarray, threshold: float) -> np.ndarray:
    """Spike trains whose rate follows a drive: each ``threshold`` of its sum over time gives one spike.

    At most one spike per step; what exceeds it is dropped, so that loud passages saturate instead of echoing.

    Args:
        drive: float (n, T, C), not negative.
        threshold: drive per spike.

    Returns:
        uint8 (n, T, C).
    """
    spikes = np.zeros(drive.shape, np.uint8)
    sum_of_drive = np.zeros(drive[:, 0].shape)
    for step in range(drive.shape[1]):
        sum_of_drive = sum_of_drive + drive[:, step]
        fired = sum_of_drive >= threshold
        spikes[:, step] = fired
        sum_of_drive = np.where(fired, np.minimum(sum_of_drive - threshold, threshold), sum_of_drive)
    return spikes
