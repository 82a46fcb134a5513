"""Deterministic train/validation divisions."""

from __future__ import annotations

import numpy as np


def random_split(n: int, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide ``range(n)`` at random: (kept, held out), both sorted; ``held_out`` of them are held out."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the samples so that each class gives the same fraction: (kept, held out), both sorted.

    Args:
        labels: int (n,).
        fraction: part of each class that is held out, rounded to whole samples.
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    held_out: list[np.ndarray] = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: round(fraction * len(members))])
    held = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), held), held


def select(labels: np.ndarray, split: str, fraction: float, seed: int) -> np.ndarray:
    """Indices of ``train`` or ``validation`` under :func:`stratified_split`."""
    train, validation = stratified_split(labels, fraction, seed)
    return validation if split == "validation" else train
