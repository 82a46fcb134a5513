"""QT Database: electrocardiograms as level-crossing spikes, one class per step (P, PQ, QR, RS, ST, TP)."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np

from export.files import read_at_most
from hypr.data import storage
from hypr.data.dataset import SequenceDataset
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import random_split
from hypr.errors import HyprError

STEPS, CHANNELS, CLASSES = 1300, 4, 6
MOST_VALUES = 2**27
HELD_OUT_FRACTION = 0.1  # 62 of 618: 556 stay for training
_ADDRESS = "https://raw.githubusercontent.com/byin-cwi/Efficient-spiking-networks/main/data/"
FILES = (
    storage.RemoteFile(
        "QTDB_train.mat",
        _ADDRESS + "QTDB_train.mat",
        "72d1a10c96f1540880447e07256835d66da419c0b34f3dff495731a7928c5bc7",
    ),
    storage.RemoteFile(
        "QTDB_test.mat", _ADDRESS + "QTDB_test.mat", "916f11e21679a5b61988305bbb7cd1e6df8b34f1ed4a157a7a4e295d400ef232"
    ),
)


def _load(split: str, encoding: str, seed: int) -> SequenceDataset:
    train_path, test_path = (storage.root() / "qtdb" / file.path for file in FILES)
    path = test_path if split == "test" else train_path
    storage.require("qtdb", path.name)
    inputs, labels, labelled = read_mat(path)
    if split != "test":
        kept, held_out = random_split(len(inputs), round(HELD_OUT_FRACTION * len(inputs)), seed)
        index = held_out if split == "validation" else kept
        inputs, labels, labelled = inputs[index], labels[index], labelled[index]
    return SequenceDataset(
        name="qtdb",
        split=split,
        inputs=inputs,
        labels=labels,
        mask=np.ones(labels.shape, bool),
        classes=CLASSES,
        input_low=0,
        input_high=1,
        input_scale=1.0,
        encoding=encoding,
        description=(
            "QT Database ECG, two leads as level-crossing spikes, 6 wave segments per step; steps "
            "without a label count as class 0"
        ),
        labelled=labelled,
    )


def read_mat(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read one QTDB file.

    Args:
        path: of a Matlab file with ``x`` (n, 1301, 4) in {0, 1}, the last step padded with -1, and one-hot ``y`` (n,
            1301, 6).

    Returns:
        inputs uint8 (n, 1300, 4), labels int64 (n, 1300) where a step without a label is class 0, and labelled bool
        (n, 1300).

    Raises:
        HyprError: where the file is damaged or holds anything else.
    """
    import scipy.io  # only needed here

    try:
        packed = read_at_most(path, MOST_VALUES)
        sizes = {name: math.prod(shape) for name, shape, _ in scipy.io.whosmat(io.BytesIO(packed))}
        if max(sizes.values(), default=0) > MOST_VALUES:
            raise ValueError(f"claims {max(sizes.values()):,} values, the limit is {MOST_VALUES:,}")
        content = scipy.io.loadmat(io.BytesIO(packed), variable_names=["x", "y"], verify_compressed_data_integrity=True)
        x, y = content["x"], content["y"]
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise HyprError(
            f"{path}: not a readable QTDB file ({_one_line(error)}); delete it and run 'hypr data fetch qtdb'"
        ) from None
    _check(path, x, y)
    x, y = x[:, :STEPS], y[:, :STEPS]
    return x.astype(np.uint8), y.argmax(axis=-1).astype(np.int64), y.sum(axis=-1) == 1


def _check(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    for name, array, last in (("x", x, CHANNELS), ("y", y, CLASSES)):
        if (
            not isinstance(array, np.ndarray)
            or array.ndim != 3
            or array.shape[1:] != (STEPS + 1, last)
            or not len(array)
        ):
            shape = getattr(array, "shape", None)
            raise HyprError(f"{path}: '{name}' must have shape (n, {STEPS + 1}, {last}), got {shape}")
        if array.dtype.kind not in "iuf":
            raise HyprError(f"{path}: '{name}' must hold numbers, got {array.dtype}")
        values = np.unique(array[:, :STEPS])
        if not np.isin(values, (0, 1)).all():  # NaN is not in (0, 1) either
            raise HyprError(
                f"{path}: '{name}' must hold 0 and 1 only, got values from {values.min()} to {values.max()}"
            )
    if len(x) != len(y):
        raise HyprError(f"{path}: 'x' has {len(x)} sequences and 'y' {len(y)}; they must agree")
    if y[:, :STEPS].sum(axis=-1).max() > 1:
        raise HyprError(f"{path}: 'y' has a step with more than one class; it must be one-hot")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


register(
    DatasetSpec(
        name="qtdb",
        description="759 electrocardiograms of 1300 steps, 4 spike channels, one of 6 classes at every step",
        origin="PhysioNet QT Database as level-crossing spikes (Yin et al., byin-cwi/Efficient-spiking-networks)",
        loader=_load,
        encodings=("spikes",),
        files=FILES,
    )
)
