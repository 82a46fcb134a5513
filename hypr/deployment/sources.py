"""How a bundle finds its data again: by name, by the relative path of a file, or in the bundle itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.bundle import names
from export.bundle.bundle import Bundle
from export.files import write_atomically
from hypr import data
from hypr.data import SequenceDataset, own
from hypr.errors import HyprError
from hypr.training.data import place_of, source_of
from hypr.training.runs import Run

STORED = names.STORED
"""Test and calibration sequences inside a bundle that was not made from a run."""

MOST_STORED = 2**28
"""Values of test data that are copied into a bundle at most."""


def describe(run: Run, test: SequenceDataset, folder: Path) -> dict[str, Any]:
    """What a bundle in ``folder`` records of the data of its run."""
    settings = run.config
    name = run.data or settings.data.name
    return {
        "name": name,
        "encoding": test.encoding,
        "options": dict(settings.data.options),
        "split_seed": settings.training.seed if settings.data.split_seed is None else settings.data.split_seed,
        "test_sha256": test.sha256,
        "source": source_of(_place(run), folder) if own.is_file(name) else None,
    }


def _place(run: Run) -> str:
    if run.data is not None:
        return run.data
    return place_of(run.config.data.name, run.environment.get("data_source"), run.path)


def bundle_data(bundle: Bundle, split: str = "test", name: str | None = None) -> SequenceDataset:
    """The data set that a bundle's network was trained on, or another one by the user's word.

    Args:
        bundle: opened.
        split: part of the data.
        name: a data set, a file or ``module:function``, in its default encoding where it is not the bundle's own.

    Raises:
        HyprError: the bundle names none, its file has moved, its content has changed, or it is code that only the
            bundle
            names.
    """
    known = bundle.manifest.get("dataset")
    if not isinstance(known, dict) or not isinstance(known.get("name"), str):
        if name is None:
            raise HyprError(
                f"{bundle.path}: names no data set; give one with --data NAME or FILE.npz, or inputs with --inputs "
                "FILE.npz where the command has it"
            )
        return data.load(name, split)
    recorded = str(known["name"])
    if name is not None and name != recorded:
        same_kind = own.is_file(name) and own.is_file(recorded)
        return _load(known, name, split) if same_kind else data.load(name, split)
    place = place_of(recorded, known.get("source"), bundle.path)
    loaded = _load(known, place, split, trusted=name is not None or own.is_file(recorded))
    expected = known.get("test_sha256")
    if split == "test" and expected is not None and loaded.sha256 != expected:
        raise HyprError(
            f"{bundle.path}: the test part of '{loaded.name}' has sha256 {loaded.sha256[:16]}..., the bundle was made "
            f"with {str(expected)[:16]}...; restore those files or export again"
        )
    return loaded


def is_other(bundle: Bundle, test: SequenceDataset) -> bool:
    """Whether test data are not those that the bundle was made with."""
    known = bundle.manifest.get("dataset")
    expected = known.get("test_sha256") if isinstance(known, dict) else None
    return expected is not None and test.sha256 != expected


def _load(known: Mapping[str, Any], name: str, split: str, trusted: bool = True) -> SequenceDataset:
    options = known.get("options", {})
    return data.load(
        name,
        split,
        encoding=None if own.is_file(name) else known.get("encoding"),
        seed=int(known.get("split_seed", 0)),
        trusted=trusted,
        **(options if isinstance(options, dict) else {}),
    )


def pack(calibration: np.ndarray, test: SequenceDataset | None) -> dict[str, np.ndarray] | None:
    """Arrays of :data:`STORED`; None where there is no test, or too much of it.

    Args:
        calibration: (n, T, N_in); left out where its sequences have another length than the test's.
    """
    if test is None or np.prod(test.inputs.shape) > MOST_STORED:
        return None
    inputs, labels, mask = test.dense(), test.labels, test.mask
    parts = np.full(len(inputs), 2, np.int8)
    if calibration.shape[1:] == inputs.shape[1:]:
        few = len(calibration)
        inputs = np.concatenate([calibration.astype(np.int16), inputs.astype(np.int16)])
        labels = np.concatenate([np.zeros((few, *labels.shape[1:]), labels.dtype), labels])
        mask = np.concatenate([np.ones((few, mask.shape[1]), bool), mask])
        parts = np.concatenate([np.zeros(few, np.int8), parts])
    return {
        "inputs": inputs,
        "labels": labels,
        "mask": mask,
        "split": parts,
        "input_range": np.array([test.input_low, test.input_high]),
        "classes": np.array(test.classes),
    }


def store(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write :data:`STORED`, whole or not at all."""

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **dict(arrays))  # type: ignore[arg-type]

    write_atomically(path, write)
