"""Tactile Braille letters as event streams of 12 taxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hypr.data import storage
from hypr.data.dataset import SequenceDataset
from hypr.data.npz import read_npz
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import select, stratified_split
from hypr.errors import HyprError

STEPS, CHANNELS, CLASSES = 256, 12, 7
TEST_FRACTION, VALIDATION_FRACTION, TEST_SEED = 0.2, 0.1, 1158
FILES = (
    storage.RemoteFile(
        "pool_trainval_1158.npz", sha256="8dc8b7a8e1d182a98563fd5a2b0f92d32dfbde86f602521056ca252d779f2392"
    ),
)


def _load(split: str, encoding: str, seed: int) -> SequenceDataset:
    (path,) = storage.require("braille", FILES[0].path)
    inputs, labels = read_pool(path)
    rest, test = stratified_split(labels, TEST_FRACTION, TEST_SEED)
    chosen = test if split == "test" else rest[select(labels[rest], split, VALIDATION_FRACTION, seed)]
    return SequenceDataset(
        name="braille",
        split=split,
        inputs=inputs[chosen],
        labels=labels[chosen],
        mask=np.ones((len(chosen), STEPS), bool),
        classes=CLASSES,
        input_low=0,
        input_high=1,
        input_scale=1.0,
        encoding=encoding,
        description=(
            "tactile Braille letters (Space, A, E, I, O, U, Y), 12 taxels; the test part is 20 % of the "
            "pool, the same for every seed"
        ),
    )


def read_pool(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the packed pool of samples.

    Args:
        path: npz with ``x_packed`` uint8 (n, 256, 2), the bits of 12 channels, and ``y`` (n,).

    Returns:
        inputs uint8 (n, 256, 12) of 0/1 and labels int64 (n,).

    Raises:
        HyprError: where the file is damaged or holds anything else.
    """
    content = read_npz(path)
    try:
        packed, labels = content["x_packed"], content["y"]
    except KeyError as error:
        raise HyprError(f"{path}: not a Braille file (it holds no {error}); replace it with a whole copy") from None
    if packed.dtype != np.uint8 or packed.ndim != 3 or packed.shape[1:] != (STEPS, 2) or labels.shape != (len(packed),):
        raise HyprError(
            f"{path}: expected x_packed uint8 (n, {STEPS}, 2) and y (n,), got {packed.dtype} {packed.shape} and "
            f"{labels.shape}"
        )
    if labels.dtype.kind not in "iu" or not np.isin(labels, np.arange(CLASSES)).all():
        raise HyprError(f"{path}: labels must be whole numbers from 0 to {CLASSES - 1}")
    return np.unpackbits(packed, axis=-1, count=CHANNELS), labels.astype(np.int64)


register(
    DatasetSpec(
        name="braille",
        description="1158 tactile Braille letters of 256 steps, 12 event channels, 7 letters",
        origin="Braille letter reading data of the NIR paper (training and validation samples)",
        loader=_load,
        encodings=("spikes",),
        files=FILES,
    )
)
