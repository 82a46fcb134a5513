"""Spiking Heidelberg Digits (SHD) and Spiking Speech Commands (SSC): spike times of 700 cochlear channels in HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.errors import ExportError
from hypr.data import storage
from hypr.data.dataset import SequenceDataset
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import select
from hypr.errors import HyprError

UNITS = 700
MOST_COUNTS = 2**33
VALIDATION_FRACTION = 0.1
CLASSES = {"shd": 20, "ssc": 35}
_ADDRESS = "https://zenkelab.org/datasets/"
_MD5 = {
    "shd_train": "f3252aeb598ac776c1b526422d90eecb",
    "shd_test": "1503a5064faa34311c398fb0a1ed0a6f",
    "ssc_train": "d102be95e7144fcc0553d1f45ba94170",
    "ssc_valid": "b4eee3516a4a90dd0c71a6ac23a8ae43",
    "ssc_test": "a35ff1e9cffdd02a20eb850c17c37748",
}


def _files(name: str) -> tuple[storage.RemoteFile, ...]:
    return tuple(
        storage.RemoteFile(f"{part}.h5", f"{_ADDRESS}{part}.h5.zip", md5=md5, archive="zip")
        for part, md5 in _MD5.items()
        if part.startswith(name)
    )


def _load_from(
    name: str, split: str, encoding: str, seed: int, step_ms: float, steps: int, channels: int
) -> SequenceDataset:
    if UNITS % channels:
        raise HyprError(
            f"data set '{name}': option 'channels' is {channels}; choose a divisor of {UNITS} (700, 350, 140, 70, ...)"
        )
    if not 0.1 <= step_ms <= 100 or not 1 <= steps <= 20_000:
        raise HyprError(f"data set '{name}': step_ms is {step_ms} and steps {steps}; choose 0.1 to 100 and 1 to 20000")
    own_validation = name == "ssc"
    part = {"train": "train", "test": "test", "validation": "valid" if own_validation else "train"}[split]
    (path,) = storage.require(name, f"{name}_{part}.h5")
    inputs, labels = read_events(path, CLASSES[name], step_ms, steps, channels)
    if split != "test" and not own_validation:
        index = select(labels, split, VALIDATION_FRACTION, seed)
        inputs, labels = inputs[index], labels[index]
    high = 1 if encoding == "spikes" else 255
    return SequenceDataset(
        name=name,
        split=split,
        inputs=np.minimum(inputs, high).astype(np.uint8),
        labels=labels,
        mask=np.ones(inputs.shape[:2], bool),
        classes=CLASSES[name],
        input_low=0,
        input_high=high,
        input_scale=1.0,
        encoding=encoding,
        description=f"{name.upper()} in {steps} steps of {step_ms:g} ms, {channels} channels",
    )


def read_events(path: Path, classes: int, step_ms: float, steps: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read and bin one file.

    Args:
        path: HDF5 with ``spikes/times`` (seconds) and ``spikes/units`` (0 to 699), one array per sample, and
            ``labels``.
        classes: number of classes.
        step_ms: length of a step; later spikes than the last step are left out.
        steps: number of steps T.
        channels: units are summed in groups of ``700 / channels`` neighbours.

    Returns:
        uint8 counts (n, T, channels), at most 255, and labels int64 (n,).

    Raises:
        HyprError: where the file is damaged or holds anything else.
    """
    import h5py  # only needed here

    from export.interchange.hdf5 import refuse_foreign_storage

    name = path.stem.split("_")[0]
    try:
        with h5py.File(path, "r") as content:
            refuse_foreign_storage(content, path)
            times, units, labels = content["spikes/times"][()], content["spikes/units"][()], content["labels"][()]
    except ExportError as error:
        raise HyprError(str(error)) from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
        raise HyprError(
            f"{path}: not a readable spike file ({' '.join(str(error).split())[:100]}); delete it and run 'hypr data "
            f"fetch {name}'"
        ) from None
    if {np.ndim(part) for part in (times, units, labels)} != {1}:
        raise HyprError(f"{path}: times, units and labels must be lists, one entry for each sample")
    if not len(times) == len(units) == len(labels) or not len(labels):
        raise HyprError(
            f"{path}: {len(times)} arrays of times, {len(units)} of units and {len(labels)} labels; they must agree"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise HyprError(f"{path}: labels must be whole numbers from 0 to {classes - 1}")
    if len(labels) * steps * channels > MOST_COUNTS:
        raise HyprError(
            f"{path}: {len(labels):,} samples of {steps} steps and {channels} channels are more than {MOST_COUNTS:,} "
            "values; take fewer steps or channels"
        )
    counts = np.zeros((len(labels), steps, channels), np.uint8)
    for row, (when, unit) in enumerate(zip(times, units, strict=True)):
        counts[row] = _bin(path, row, np.asarray(when), np.asarray(unit), step_ms, steps, channels)
    return counts, labels.astype(np.int64)


def _bin(
    path: Path, row: int, when: np.ndarray, unit: np.ndarray, step_ms: float, steps: int, channels: int
) -> np.ndarray:
    if when.shape != unit.shape or when.ndim != 1 or when.dtype.kind != "f" or unit.dtype.kind not in "iu":
        raise HyprError(
            f"{path}: sample {row} must hold as many times (float) as units (integer), got {when.shape} and "
            f"{unit.shape}"
        )
    if len(when) and (not np.isfinite(when).all() or when.min() < 0 or unit.min() < 0 or unit.max() >= UNITS):
        raise HyprError(f"{path}: sample {row} has a time or a unit outside 0 to inf s and 0 to {UNITS - 1}")
    at = np.floor(when.astype(np.float64) * 1000 / step_ms)
    inside = at < steps  # before a time of years becomes a whole number
    flat = at[inside].astype(np.int64) * channels + unit[inside].astype(np.int64) // (UNITS // channels)
    return np.minimum(np.bincount(flat, minlength=steps * channels), 255).reshape(steps, channels)


def _load_shd(split: str, encoding: str, seed: int, **options: float) -> SequenceDataset:
    return _load_from("shd", split, encoding, seed, **options)  # type: ignore[arg-type]


def _load_ssc(split: str, encoding: str, seed: int, **options: float) -> SequenceDataset:
    return _load_from("ssc", split, encoding, seed, **options)  # type: ignore[arg-type]


for _name, _loader, _text in (
    ("shd", _load_shd, "10,420 spoken digits in two languages as spikes of 700 cochlear channels"),
    ("ssc", _load_ssc, "105,829 spoken commands as spikes of 700 cochlear channels"),
):
    register(
        DatasetSpec(
            name=_name,
            description=_text,
            origin="Heidelberg spiking data sets (Cramer et al., 2020), CC BY 4.0",
            loader=_loader,
            encodings=("spikes", "counts"),
            options={"step_ms": 4.0, "steps": 250, "channels": 140},
            files=_files(_name),
        )
    )
