"""Sequential MNIST: 28 x 28 pixels, one per step, in order or permuted."""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from export.files import read_at_most
from hypr.data import storage
from hypr.data.dataset import SequenceDataset
from hypr.data.encodings import level_crossing, thermometer
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import random_split
from hypr.errors import HyprError

VALIDATION = 5000
PERMUTATION_SEED = 92916
_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
RAW_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Hashes of the files after decompression: compressed copies in circulation differ, their content does not."""
FILES = tuple(
    storage.RemoteFile(f"{name}.gz", f"{_ADDRESS}{name}.gz", unpacked_sha256=expected)
    for name, expected in RAW_SHA256.items()
)
MOST_BYTES = 2**27
"""Of a file after decompression; the largest has 47 MB."""


def _load(split: str, encoding: str, seed: int, permuted: bool, limit: int, bits: int) -> SequenceDataset:
    if not 1 <= bits <= 8:
        raise HyprError(f"data set 'mnist': option 'bits' is {bits}; choose 1 to 8")
    part = "t10k" if split == "test" else "train"
    storage.require("mnist", f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
    images = read_idx(storage.root() / "mnist" / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(storage.root() / "mnist" / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(images) != len(labels):
        raise HyprError(f"data set 'mnist': {len(images)} images and {len(labels)} labels in {part}; they must agree")
    if split != "test":
        kept, held_out = random_split(len(images), VALIDATION, seed)
        index = held_out if split == "validation" else kept
        images, labels = images[index], labels[index]
    if limit:
        images, labels = images[:limit], labels[:limit]
    pixels = images.reshape(len(images), -1, 1)
    if permuted:
        pixels = pixels[:, np.random.default_rng(PERMUTATION_SEED).permutation(pixels.shape[1])]
    inputs, high, scale = _encode(pixels, encoding, bits)
    return SequenceDataset(
        name="mnist",
        split=split,
        inputs=inputs,
        labels=labels.astype(np.int64),
        mask=np.ones(inputs.shape[:2], bool),
        classes=10,
        input_low=0,
        input_high=high,
        input_scale=scale,
        encoding=encoding,
        description=f"MNIST, one pixel per step{', permuted' if permuted else ''}",
    )


def _encode(pixels: np.ndarray, encoding: str, bits: int) -> tuple[np.ndarray, int, float]:
    if encoding == "graded":
        return (pixels >> (8 - bits)).astype(np.uint8), 2**bits - 1, 2.0**-bits
    thresholds = (np.arange(2**bits - 1) + 1) * (256 // 2**bits)
    if encoding == "spikes":
        return thermometer(pixels, thresholds), 1, 1.0
    return level_crossing(pixels, thresholds), 1, 1.0


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read a gzip-compressed idx file of bytes.

    Args:
        path: of the file.
        dimensions: expected number of axes.

    Returns:
        uint8 array with the shape that the header states.

    Raises:
        HyprError: where the file is damaged, holds anything else or differs from the canonical content.
    """
    try:
        raw = storage.unpacked(read_at_most(path, MOST_BYTES), MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise HyprError(f"{path}: not a whole gzip file ({error}); delete it and run 'hypr data fetch mnist'") from None
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise HyprError(f"{path}: not an idx file of bytes with {dimensions} dimension(s); run 'hypr data fetch mnist'")
    shape = tuple(int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions))
    if 0 in shape:
        raise HyprError(f"{path}: header states {shape}, which holds nothing; run 'hypr data fetch mnist'")
    if len(raw) - header != math.prod(shape):
        raise HyprError(
            f"{path}: header states {shape}, but {len(raw) - header} bytes follow; run 'hypr data fetch mnist'"
        )
    expected = RAW_SHA256.get(path.name.removesuffix(".gz"))
    if expected is not None and hashlib.sha256(raw).hexdigest() != expected:
        raise HyprError(
            f"{path}: content is not that of MNIST (sha256 differs); delete it and run 'hypr data fetch mnist'"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


register(
    DatasetSpec(
        name="mnist",
        description="70,000 handwritten digits of 28 x 28 pixels, one pixel per step (784 steps), in order or permuted",
        origin="MNIST (LeCun, Cortes, Burges), idx files",
        loader=_load,
        encodings=("graded", "spikes", "crossings"),
        options={"permuted": False, "limit": 0, "bits": 4},
        files=FILES,
    )
)
