"""``INPUTS.npz`` and ``OUT.npz``: what ``hypr run`` and ``hypr verify`` read and write. No pickle."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.files import write_atomically
from export.verification.inputs import inputs_shape, of_samples
from hardware.inputs import Inputs
from hardware.trace import Trace
from hypr.data import SequenceDataset, from_arrays
from hypr.data.npz import read_npz
from hypr.data.own import KEYS, read
from hypr.errors import HyprError

INPUT_KEY = "input_spikes"
_OPTIONAL = ("labels", "mask")


@dataclass(frozen=True)
class Sequences:
    """What an engine runs, and what is known of it.

    Attributes:
        values: (T, B, N_in), integers (spikes or graded payloads) or bool; of several inputs a mapping by name.
        labels: classes (B,) or (T, B); real targets (B, C) or (T, B, C) as float32; None where there are none.
        mask: bool (T, B), steps that count; None: all.
        name: of the data, for people.
    """

    values: Inputs
    labels: np.ndarray | None = None
    mask: np.ndarray | None = None
    name: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
        return inputs_shape(self.values)[:2]

    @property
    def regression(self) -> bool:
        return self.labels is not None and self.labels.dtype.kind == "f"

    def first(self, samples: int | None) -> Sequences:
        """The first sequences."""
        if samples is None:
            return self
        labels = self.labels
        if labels is not None:
            time_major = labels.ndim == (3 if self.regression else 2)
            labels = labels[:, :samples] if time_major else labels[:samples]
        mask = None if self.mask is None else self.mask[:, :samples]
        return Sequences(of_samples(self.values, slice(samples)), labels, mask, self.name)

    def counts(self, ignore_first: int) -> np.ndarray:
        """bool (T, B): steps that a decision counts."""
        counts = np.ones(self.shape, bool) if self.mask is None else self.mask.copy()
        counts[:ignore_first] = False
        return counts

    def one_per_sequence(self) -> np.ndarray:
        """Labels (B,) for a network that decides once per sequence.

        Raises:
            HyprError: they change within a sequence.
        """
        assert self.labels is not None
        if self.labels.ndim == 1:
            return self.labels
        if not (self.labels == self.labels[0]).all():
            raise HyprError(f"{self.name}: has a label for every step, but the network decides once per sequence")
        return self.labels[0]

    def dataset(self) -> SequenceDataset:
        """Batch-first, as training has it; labels 0 where there are none.

        Raises:
            HyprError: several inputs.
        """
        if not isinstance(self.values, np.ndarray):
            raise HyprError(f"{self.name}: holds several inputs; a network in training has one")
        labels = np.zeros(self.values.shape[1], np.int64) if self.labels is None else self.labels
        if labels.ndim == (3 if self.regression else 2):
            labels = labels.swapaxes(0, 1)
        mask = None if self.mask is None else self.mask.T
        return from_arrays(self.values.swapaxes(0, 1), labels, mask=mask, name=self.name)


def sequences_of(data: SequenceDataset) -> Sequences:
    """A data set as engines take it."""
    values = np.ascontiguousarray(data.dense().transpose(1, 0, 2), dtype=np.int32)
    labels = data.labels.swapaxes(0, 1) if data.per_step else data.labels
    name = data.name if data.split == "all" else f"{data.name}, {data.split} part"
    return Sequences(values, labels, np.ascontiguousarray(data.mask.T), name)


def read_sequences(path: Path, part: str = "test") -> Sequences:
    """Sequences from an INPUTS.npz, or from the named part of a DATA.npz (all of it, where it says nothing of parts).

    Raises:
        HyprError: no such file, damaged, an array nearly called labels or mask, wrong shapes; a swapped axis is named
            where it shows.
    """
    arrays = read_npz(path)
    if INPUT_KEY not in arrays and set(arrays) & set(KEYS) and "inputs" in arrays:
        if "labels" not in arrays:  # calibration needs none
            x = arrays["inputs"]
            return Sequences(
                from_arrays(x, np.zeros(len(x), int), name=str(path)).dense().swapaxes(0, 1), name=str(path)
            )
        whole = read(path)
        return sequences_of(whole if whole.parts is None else whole.part(part))
    named = [key for key in arrays if key.startswith(f"{INPUT_KEY}/")]
    if INPUT_KEY not in arrays and not named:
        held = ", ".join(list(arrays)[:8]) or "nothing"
        raise HyprError(
            f"{path}: holds no '{INPUT_KEY}' (it holds {held}); save it with np.savez(path, {INPUT_KEY}=array)"
        )
    for key in sorted(
        set(arrays) - {INPUT_KEY, *named, *_OPTIONAL}
    ):  # others may lie beside, a slip of the pen may not
        if difflib.get_close_matches(key.lower(), _OPTIONAL, n=1, cutoff=0.7):
            raise HyprError(f"{path}: unknown array '{key}'; known are {INPUT_KEY}, {', '.join(_OPTIONAL)}")
    keys = [INPUT_KEY] if INPUT_KEY in arrays else named
    found = {key.partition("/")[2]: _checked(path, key, arrays[key]) for key in keys}
    shape = next(iter(found.values())).shape
    labels = _labels(path, arrays["labels"], shape) if "labels" in arrays else None
    mask = _mask(path, arrays["mask"], shape) if "mask" in arrays else None
    return Sequences(found[""] if keys == [INPUT_KEY] else found, labels, mask, str(path))


class InputFiles(Sequence[np.ndarray]):
    """Calibration inputs from files, one of which is in memory at a time; items are (B, T, N_in).

    Args:
        paths: ``.npz`` files with ``input_spikes``, and folders of such.

    Raises:
        HyprError: a folder without such files; at an item what :func:`read_sequences` raises.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths: list[Path] = []
        for path in paths:
            found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
            if not found:
                raise HyprError(f"{path}: no .npz file in it; save inputs with np.savez(path, {INPUT_KEY}=array)")
            self.paths += found

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        values = read_sequences(self.paths[index]).values
        if isinstance(values, Mapping):
            return {name: value.transpose(1, 0, 2) for name, value in values.items()}
        return values.transpose(1, 0, 2)


def _checked(path: Path, key: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.ndim != 3:
        raise HyprError(f"{path}: '{key}' has shape {inputs.shape}; it must be (steps, samples, channels)")
    if not inputs.size:
        raise HyprError(f"{path}: '{key}' has shape {inputs.shape}; none of them may be 0")
    if inputs.dtype.kind not in "biu":
        raise HyprError(
            f"{path}: '{key}' holds {inputs.dtype}; it must hold integers or bool: "
            "encode values as spikes or payloads first"
        )
    return inputs


def read_inputs(path: Path) -> Inputs:
    """Inputs alone: an array (T, B, N_in), or of several inputs a mapping. Raises as :func:`read_sequences`."""
    return read_sequences(path).values


def _labels(path: Path, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    steps, batch, _ = shape
    if labels.dtype.kind == "f" and labels.ndim in (2, 3) and labels.shape[-2] == batch:
        if labels.ndim == 3 and labels.shape[0] != steps:
            raise HyprError(f"{path}: targets have shape {labels.shape}; must be ({batch}, C) or ({steps}, {batch}, C)")
        return labels.astype(np.float32)
    if labels.dtype.kind not in "iu" or labels.shape not in ((batch,), (steps, batch)):
        swapped = labels.shape in ((steps,), (batch, steps)) and steps != batch
        how = "; steps and samples look swapped" if swapped else ""
        raise HyprError(
            f"{path}: labels are {labels.dtype} {labels.shape}, '{INPUT_KEY}' is {shape}; must be whole numbers "
            f"({batch},) or ({steps}, {batch}){how}"
        )
    if labels.size and labels.min() < 0:
        raise HyprError(f"{path}: labels go down to {int(labels.min())}; classes count from 0")
    return labels.astype(np.int64)


def _mask(path: Path, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if mask.shape != shape[:2]:
        swapped = mask.shape == (shape[1], shape[0])
        how = "; steps and samples look swapped" if swapped else ""
        raise HyprError(f"{path}: mask has shape {mask.shape}, must be {shape[:2]}: one value per step and sample{how}")
    return mask != 0


def write_trace(trace: Trace, path: Path, predicted: np.ndarray | None = None) -> None:
    """Write ``output``, ``spikes/<layer>``, ``<state>/<layer>`` and ``predicted``; the file appears whole or not at
    all.

    Args:
        predicted: classes (B,) or (T, B), left out where None.
    """
    arrays = trace.arrays() | ({} if predicted is None else {"predicted": predicted})

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stubs take keyword names for flags

    write_atomically(path, write)
