"""Data sets that a user names by a file, ``mine.npz``, or by a function, ``module:function``."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hypr import extensions
from hypr.data.arrays import from_arrays
from hypr.data.dataset import SequenceDataset
from hypr.data.npz import read_npz
from hypr.errors import HyprError

KEYS = ("inputs", "labels", "mask", "lengths", "split", "input_range", "input_scale", "classes")
"""Arrays of a DATA.npz; the first two must be there."""

FRACTIONS = {"test": 0.2, "validation": 0.1}
"""Options of every data set of one's own: what is drawn where the data do not say which sample is in which part."""

Loader = Callable[..., SequenceDataset]


def is_file(name: str) -> bool:
    """Whether a data set's name means a file."""
    return name.endswith(".npz")


def is_code(name: str) -> bool:
    """Whether a data set's name means a function."""
    return ":" in name and not is_file(name)


def of_file(path: Path) -> tuple[Loader, dict[str, Any]]:
    """Loader of a file, and its options with their defaults."""

    def load(split: str, encoding: str, seed: int, test: float, validation: float) -> SequenceDataset:
        return read(path).part(split, seed, test, validation)

    return load, dict(FRACTIONS)


def of_function(place: str) -> tuple[Loader, dict[str, Any]]:
    """Loader of ``module:function``, which is imported now, and its options: those of the function, if it has any.

    The function returns what :func:`hypr.data.from_arrays` gives, or a ``SequenceDataset`` of the part that it is asked
    for by its argument ``split``; it may also take ``seed``.

    Raises:
        HyprError: it cannot be imported, or is not callable.
    """
    function = extensions.imported(place, "data set")
    if not callable(function):
        raise HyprError(f"data set '{place}' is a {type(function).__name__}; name a function that returns the data")
    parameters = inspect.signature(function).parameters
    own = {
        key: item.default
        for key, item in parameters.items()
        if isinstance(item.default, bool | int | float | str) and key not in ("split", "seed")
    }

    def load(split: str, encoding: str, seed: int, test: float, validation: float, **options: Any) -> SequenceDataset:
        known = {"split": split, "seed": seed}
        found = function(**{key: value for key, value in known.items() if key in parameters}, **options)
        if not isinstance(found, SequenceDataset):
            raise HyprError(
                f"data set '{place}' returned a {type(found).__name__}; return hypr.data.from_arrays(x, y) or "
                "from_events"
            )
        return found.part(split, seed, test, validation)

    return load, FRACTIONS | own


def read(path: Path) -> SequenceDataset:
    """All of a DATA.npz.

    Raises:
        HyprError: no such file, damaged, unknown or missing arrays, shapes that do not fit; a swapped axis is named.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise HyprError(f"{path}: cannot be read ({error.strerror}); give the path of an .npz file") from None
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> SequenceDataset:
    arrays = read_npz(path)
    unknown = sorted(set(arrays) - set(KEYS))
    if "input_spikes" in arrays:
        raise HyprError(
            f"{path}: holds 'input_spikes' (steps, samples, channels), what an engine runs; data to train or "
            "calibrate on are "
            "'inputs' (samples, steps, channels) and 'labels'"
        )
    if unknown:
        raise HyprError(f"{path}: unknown array '{unknown[0]}'; known are {', '.join(KEYS)}")
    for key in KEYS[:2]:
        if key not in arrays:
            raise HyprError(f"{path}: holds no '{key}'; save it with np.savez(path, inputs=x, labels=y)")
    return from_arrays(
        arrays["inputs"],
        arrays["labels"],
        mask=arrays.get("mask"),
        lengths=arrays.get("lengths"),
        split=arrays.get("split"),
        input_range=tuple(arrays["input_range"]) if "input_range" in arrays else None,
        input_scale=_number(path, arrays, "input_scale", 1.0),
        classes=int(_number(path, arrays, "classes", 0)) or None,
        name=path.stem,
        description=f"{path.name}, {len(arrays['inputs'])} sequences",
    )


def _number(path: Path, arrays: dict[str, np.ndarray], key: str, default: float) -> float:
    value = arrays.get(key, np.array(default))
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise HyprError(f"{path}: '{key}' has shape {value.shape}; must be one number")
    return float(value.reshape(-1)[0])


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def locate(name: str, beside: Path | None, recorded: str | None) -> Path:
    """A data file that a run or a bundle names.

    Args:
        name: as the user gave it, looked up from the working folder.
        beside: folder of the run or the bundle. recorded: path from there.

    Raises:
        HyprError: it is at neither place.
    """
    places = [Path(name)]
    if beside is not None and recorded is not None:
        places.insert(0, (beside / recorded).resolve())
    for place in places:
        if place.is_file():
            return place
    looked = " nor ".join(map(str, dict.fromkeys(places)))
    raise HyprError(f"data file {name} has moved or is gone: not at {looked}; say where it is with --data PATH.npz")


def relative(path: Path, folder: Path) -> str:
    """Path of a data file as seen from the folder of a run or a bundle."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
