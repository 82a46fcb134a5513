"""Handwritten digits that ship with scikit-learn, read pixel by pixel: 64 steps."""

from __future__ import annotations

import numpy as np

from hypr.data.dataset import SequenceDataset
from hypr.data.encodings import level_crossing, thermometer
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import select, stratified_split
from hypr.errors import HyprError

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.1
TEST_SEED = 1797
"""The test part is the same 20 % of each class for every seed, so that accuracies of different seeds compare."""


def _load(
    split: str, encoding: str, seed: int, order: str, padding: int, levels: int, pixels_per_step: int
) -> SequenceDataset:
    from sklearn.datasets import load_digits  # slow to import, only needed here

    if order not in ("rows", "columns", "snake"):
        raise HyprError(f"data set 'digits': option 'order' is '{order}'; choose rows, columns or snake")
    if not 0 <= padding <= 1000:
        raise HyprError(f"data set 'digits': option 'padding' is {padding}; choose 0 to 1000 steps")
    if not 1 <= levels <= 16:
        raise HyprError(f"data set 'digits': option 'levels' is {levels}; choose 1 to 16")
    if pixels_per_step not in (1, 2, 4, 8):
        raise HyprError(f"data set 'digits': option 'pixels_per_step' is {pixels_per_step}; choose 1, 2, 4 or 8")
    digits = load_digits()
    images = digits.images.astype(np.int16)  # (1797, 8, 8), whole numbers 0 to 16
    labels = digits.target.astype(np.int64)
    rest, test = stratified_split(labels, TEST_FRACTION, TEST_SEED)
    chosen = test if split == "test" else rest[select(labels[rest], split, VALIDATION_FRACTION, seed)]
    pixels = _in_order(images[chosen], order).reshape(len(chosen), 64 // pixels_per_step, pixels_per_step)
    pixels = np.concatenate([pixels, np.zeros((len(chosen), padding, pixels_per_step), np.int16)], axis=1)
    inputs, high, scale = _encode(pixels, encoding, levels)
    return SequenceDataset(
        name="digits",
        split=split,
        inputs=inputs,
        labels=labels[chosen],
        mask=np.ones(inputs.shape[:2], bool),
        classes=10,
        input_low=0,
        input_high=high,
        input_scale=scale,
        encoding=encoding,
        description=_in_words(pixels_per_step, order, padding),
    )


def _in_words(pixels_per_step: int, order: str, padding: int) -> str:
    rate = "a pixel" if pixels_per_step == 1 else f"{pixels_per_step} pixels"
    how = "line by line, every second one backwards" if order == "snake" else f"by {order}"
    return f"scikit-learn digits, {rate} per step, {how}" + (f", then {padding} empty steps" if padding else "")


def _in_order(images: np.ndarray, order: str) -> np.ndarray:
    """(n, 8, 8) -> (n, 64): rows, columns, or rows of which every second one runs backwards."""
    if order == "columns":
        images = images.transpose(0, 2, 1)
    elif order == "snake":
        images = images.copy()
        images[:, 1::2] = images[:, 1::2, ::-1]
    return images.reshape(len(images), 64)


def _encode(pixels: np.ndarray, encoding: str, levels: int) -> tuple[np.ndarray, int, float]:
    """(inputs, highest value, scale)."""
    if encoding == "graded":
        return pixels.astype(np.uint8), 16, 1 / 16
    thresholds = np.floor(np.arange(levels) * 16 / levels).astype(np.int16)  # 0 first: "there is ink"
    if encoding == "spikes":
        return thermometer(pixels, thresholds), 1, 1.0
    return level_crossing(pixels, thresholds), 1, 1.0


register(
    DatasetSpec(
        name="digits",
        description="1797 handwritten digits of 8 x 8 pixels, one pixel per step; embedded, needs no files",
        origin="UCI Optical Recognition of Handwritten Digits (CC BY 4.0), as shipped in scikit-learn",
        loader=_load,
        encodings=("graded", "spikes", "crossings"),
        options={"order": "rows", "padding": 0, "levels": 8, "pixels_per_step": 1},
    )
)
