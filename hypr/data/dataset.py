"""The one form in which every data set arrives: integer sequences with labels and a mask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from hypr.data.events import EventArray
from hypr.data.splits import random_split, stratified_split
from hypr.errors import HyprError

SPLITS = ("train", "validation", "test")
_TEST_SEED = 20140


@dataclass(frozen=True)
class Batch:
    """One mini-batch.

    Attributes:
        inputs: (B, T, N_in), integers. labels: (B,) or (B, T). mask: bool (B, T), steps that count.
    """

    inputs: np.ndarray
    labels: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class SequenceDataset:
    """Integer input sequences with class labels, or with real targets.

    The inputs are the integers that the chip receives. A float network multiplies them by ``input_scale``, a power of
    two, so nothing is lost between the two.

    Attributes:
        name: name of the data set.
        split: ``train``, ``validation`` or ``test``; ``all`` where it is not divided yet (:meth:`part`).
        inputs: uint8 or int16 (n, T, N_in), each value in [``input_low``, ``input_high``], or events that become such
            an
            array batch by batch.
        labels: int64 (n,) with one class per sequence, or (n, T) with one class per step; float32 (n, C) or (n, T, C)
            for regression.
        mask: bool (n, T): steps that count in the loss and the accuracy.
        classes: number of classes, every label is in [0, classes); of outputs C for regression.
        input_low, input_high: declared range of the input integers, also outside this split.
        input_scale: factor that a float network applies to the integers.
        encoding: how values became integers.
        description: one sentence for people.
        labelled: bool (n, T), steps that really carry a label, or None where all of them do.
        parts: int8 (n,): 0, 1, 2 for a sample of the ``train``, ``validation``, ``test`` part, where the data say so.
        sha256: hash of the content (inputs, labels, mask, range); computed.

    Raises:
        HyprError: where a shape, type or range breaks the above.
    """

    name: str
    split: str
    inputs: np.ndarray | EventArray
    labels: np.ndarray
    mask: np.ndarray
    classes: int
    input_low: int
    input_high: int
    input_scale: float
    encoding: str
    description: str
    labelled: np.ndarray | None = None
    parts: np.ndarray | None = None
    sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _validate(self)
        if not self.sha256:
            object.__setattr__(self, "sha256", _content_hash(self))

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return int(self.inputs.shape[1])

    @property
    def channels(self) -> int:
        """Number of input channels N_in."""
        return int(self.inputs.shape[2])

    @property
    def per_step(self) -> bool:
        """True where every step has its own label."""
        return self.labels.ndim == (3 if self.regression else 2)

    @property
    def regression(self) -> bool:
        """True where the labels are real targets."""
        return self.labels.dtype.kind == "f"

    def subset(self, index: np.ndarray | slice) -> SequenceDataset:
        """The sequences of ``index`` (integers or a slice) as a data set of their own."""
        labelled = None if self.labelled is None else self.labelled[index]
        return replace(
            self,
            inputs=self.inputs.take(index) if isinstance(self.inputs, EventArray) else self.inputs[index],
            labels=self.labels[index],
            mask=self.mask[index],
            labelled=labelled,
            parts=None if self.parts is None else self.parts[index],
            sha256="",
        )

    def part(self, split: str, seed: int = 0, test: float = 0.2, validation: float = 0.1) -> SequenceDataset:
        """One part of data that are not divided yet.

        Where ``parts`` says which sample belongs where, that counts. What it does not say is drawn, each class in equal
        shares: the test part (the same for every seed), then the validation part, by ``seed``, from what is left.

        Args:
            split: ``train``, ``validation`` or ``test``.
            seed: of the validation part.
            test, validation: fractions that are drawn.

        Raises:
            HyprError: an unknown part, or one without samples.
        """
        if self.split in SPLITS:
            if split != self.split:
                raise HyprError(f"data set '{self.name}' is its {self.split} part; it holds no {split} part")
            return self
        if split not in SPLITS:
            raise HyprError(f"data set '{self.name}': unknown split '{split}'; valid: {', '.join(SPLITS)}")
        parts = np.full(len(self), -1) if self.parts is None else self.parts.astype(np.int64)
        if self.parts is None:
            parts[self._drawn(np.arange(len(self)), test, _TEST_SEED)] = 2
            parts[parts < 0] = 0
        if not (parts == 1).any():
            rest = np.flatnonzero(parts == 0)
            parts[rest[self._drawn(rest, validation, seed)]] = 1
        index = np.flatnonzero(parts == SPLITS.index(split))
        if not len(index):
            raise HyprError(
                f"data set '{self.name}': no sample of {len(self)} is in its {split} part; add samples, or say which "
                "in "
                "'split'"
            )
        return replace(self.subset(index), split=split, sha256="")

    def _drawn(self, index: np.ndarray, fraction: float, seed: int) -> np.ndarray:
        """Positions in ``index`` that are held out."""
        if self.labels.ndim == 1:
            held = stratified_split(self.labels[index], fraction, seed)[1]
            if len(held):
                return held
        return random_split(len(index), max(1, round(fraction * len(index))), seed)[1]

    def dense(self, index: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Inputs (n, T, N_in) as an array, of the samples that ``index`` chooses."""
        return self.inputs[index]

    def batches(self, size: int, order: np.ndarray | None = None) -> Iterator[Batch]:
        """Mini-batches of at most ``size`` sequences, in ``order`` (int (n,)) or as stored."""
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), size):
            index = order[start : start + size]
            yield Batch(self.inputs[index], self.labels[index], self.mask[index])


def _validate(data: SequenceDataset) -> None:
    where = f"data set '{data.name}' ({data.split})"
    if data.inputs.ndim != 3 or data.inputs.dtype not in (np.uint8, np.int16):
        raise HyprError(
            f"{where}: inputs must be uint8 or int16 (n, T, N_in), got {data.inputs.dtype} {data.inputs.shape}"
        )
    n, steps, _ = data.inputs.shape
    if 0 in data.inputs.shape:
        raise HyprError(f"{where}: inputs are empty, shape {data.inputs.shape}; check the files and the split")
    if data.labels.dtype == np.float32:
        if data.labels.shape not in ((n, data.classes), (n, steps, data.classes)) or not np.isfinite(data.labels).all():
            raise HyprError(
                f"{where}: targets must be finite, ({n}, {data.classes}) or ({n}, {steps}, {data.classes}), got shape "
                f"{data.labels.shape}"
            )
    elif data.labels.shape not in ((n,), (n, steps)) or data.labels.dtype != np.int64:
        raise HyprError(
            f"{where}: labels must be int64 ({n},) or ({n}, {steps}), got {data.labels.dtype} {data.labels.shape}"
        )
    for name, array in (("mask", data.mask), ("labelled", data.labelled)):
        if array is not None and (array.shape != (n, steps) or array.dtype != np.bool_):
            raise HyprError(f"{where}: {name} must be bool ({n}, {steps}), got {array.dtype} {array.shape}")
    low, high = int(data.inputs.min()), int(data.inputs.max())
    if low < data.input_low or high > data.input_high:
        raise HyprError(
            f"{where}: inputs span {low} to {high}, outside the declared {data.input_low} to {data.input_high}"
        )
    if data.regression:
        return
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= data.classes:
        raise HyprError(f"{where}: labels span {low} to {high}, outside 0 to {data.classes - 1}")


def _content_hash(data: SequenceDataset) -> str:
    digest = hashlib.sha256()
    digest.update(f"{data.classes} {data.input_low} {data.input_high} {data.input_scale}".encode())
    arrays: list[np.ndarray] = [data.labels, data.mask]
    if isinstance(data.inputs, EventArray):
        data.inputs.update_hash(digest)
    else:
        arrays.insert(0, data.inputs)
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
