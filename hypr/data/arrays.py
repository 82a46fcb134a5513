"""Data of one's own: from arrays, from events, from data sets of the tonic package's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hypr.data.dataset import SPLITS, SequenceDataset
from hypr.data.events import EventArray, binned
from hypr.errors import HyprError

_MOST_CLASSES = 100_000


def from_arrays(
    x: Any,
    y: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    split: Any = None,
    classes: int | None = None,
    input_range: tuple[int, int] | None = None,
    input_scale: float = 1.0,
    name: str = "own data",
    description: str = "",
) -> SequenceDataset:
    """A data set out of arrays; ``.part("train")`` and so on divide it.

    Args:
        x: (n, T, N_in), whole numbers of any type (spikes or integer payloads), NumPy or torch.
        y: whole numbers: a class for each sample (n,) or for each step (n, T). Floats: targets of a regression, (n,),
            (n, C) or (n, T, C).
        mask: (n, T), nonzero where a step counts; None: all.
        lengths: (n,), steps of each sample; those after them do not count.
        split: (n,), ``train``, ``validation``, ``test`` or 0, 1, 2; None: drawn.
        classes: number of classes; None: the largest label + 1.
        input_range: (low, high) of the inputs that the deployed network accepts; None: what occurs, 0 and 1 included.
        input_scale: power of two that a float network multiplies the inputs by, 1/16 for payloads 0 to 16.
        name, description: for people.

    Raises:
        HyprError: a wrong shape, type or value; a swapped axis is named where it shows.
    """
    inputs = _inputs(np.asarray(x), name)
    return _dataset(inputs, y, mask, lengths, split, classes, input_range, input_scale, name, description)


def from_events(
    times: Sequence[Any],
    units: Sequence[Any],
    labels: Any,
    *,
    step: float = 1.0,
    steps: int | None = None,
    channels: int | None = None,
    most_per_step: int = 1,
    mask: Any = None,
    lengths: Any = None,
    split: Any = None,
    classes: int | None = None,
    name: str = "own events",
    description: str = "",
) -> SequenceDataset:
    """A data set out of lists of events, which stay events: a batch at a time becomes an array.

    Args:
        times: per sample, when each event happened, from 0.
        units: per sample, the input channel of each event.
        labels: see ``y`` of :func:`from_arrays`.
        step: duration of a time step in the unit of ``times``.
        steps: number of time steps, later events are dropped; None: all that are needed.
        channels: number of input channels; None: the largest one + 1.
        most_per_step: events of one channel in one step count up to this, as an integer payload.
        mask, lengths, split, classes, name, description: see :func:`from_arrays`.

    Raises:
        HyprError: as :func:`from_arrays`.
    """
    inputs = binned(times, units, step, steps, channels, most_per_step)
    high = (0, most_per_step)
    return _dataset(inputs, labels, mask, lengths, split, classes, high, 1.0, name, description)


def from_tonic(
    dataset: Any,
    test: Any = None,
    *,
    step_us: float = 1000.0,
    steps: int | None = None,
    most_per_step: int = 1,
    classes: int | None = None,
    name: str = "",
) -> SequenceDataset:
    """A data set out of one of the package tonic, or of the same interface.

    Args:
        dataset: ``len(dataset)``, ``dataset[i] -> (events, label)``, ``dataset.sensor_size = (width, height,
            polarities)``; events are a structured array with ``t`` in microseconds, ``x``, and ``y`` and ``p`` where
            the sensor has them.
        test: another such data set, which becomes the test part.
        step_us: duration of a time step in microseconds.
        steps, most_per_step, classes: see :func:`from_events`.
        name: for people; the class's name by default.

    Raises:
        HyprError: another interface, or as :func:`from_events`.
    """
    sets = [dataset] if test is None else [dataset, test]
    size = getattr(dataset, "sensor_size", None)
    if size is None or len(size) != 3 or not hasattr(dataset, "__getitem__"):
        raise HyprError(
            f"from_tonic: a {type(dataset).__name__} has no sensor_size (width, height, polarities); use from_events"
        )
    width, height, polarities = (int(number) for number in size)
    times, units, labels, parts = [], [], [], []
    for number, part in enumerate(sets):
        for index in range(len(part)):
            events, label = part[index]
            times.append(np.asarray(events["t"], dtype=np.float64))
            units.append(_unit(events, width, height))
            labels.append(int(label))
            parts.append(2 if number else 0)
    return from_events(
        times,
        units,
        np.array(labels),
        step=step_us,
        steps=steps,
        channels=width * height * polarities,
        most_per_step=most_per_step,
        classes=classes,
        split=None if test is None else np.array(parts),
        name=name or type(dataset).__name__,
    )


def _unit(events: Any, width: int, height: int) -> np.ndarray:
    """Channel of each event: polarity first, then row, then column."""
    names = events.dtype.names or ()
    zero = np.zeros(len(events), np.int64)
    x, y, p = (np.asarray(events[key]).astype(np.int64) if key in names else zero for key in ("x", "y", "p"))
    return ((p if p.size == 0 or p.min() >= 0 else (p > 0).astype(np.int64)) * height + y) * width + x


def _dataset(
    inputs: np.ndarray | EventArray,
    y: Any,
    mask: Any,
    lengths: Any,
    split: Any,
    classes: int | None,
    input_range: tuple[int, int] | None,
    input_scale: float,
    name: str,
    description: str,
) -> SequenceDataset:
    labels, counted = _labels(np.asarray(y), inputs.shape, name)
    low, high = _range(inputs, input_range, name)
    if counted is not None and classes is not None and classes < counted:
        raise HyprError(f"data set '{name}': labels go up to {counted - 1}, but classes is {classes}; raise it")
    outputs = labels.shape[-1] if counted is None else (classes or counted)
    return SequenceDataset(
        name=name,
        split="all",
        inputs=inputs,
        labels=labels,
        mask=_mask(mask, lengths, inputs.shape, name),
        classes=outputs,
        input_low=low,
        input_high=high,
        input_scale=float(input_scale),
        encoding="as given",
        description=description or f"{name}: {len(labels)} sequences of {inputs.shape[1]} steps",
        parts=None if split is None else _parts(np.asarray(split), len(labels), name),
    )


def _inputs(x: np.ndarray, name: str) -> np.ndarray:
    """uint8 or int16."""
    if x.ndim != 3:
        raise HyprError(f"data set '{name}': inputs have shape {x.shape}; must be (samples, steps, channels)")
    if x.dtype.kind not in "biuf":
        raise HyprError(f"data set '{name}': inputs hold {x.dtype}; must hold whole numbers or bool")
    if not x.size:
        raise HyprError(f"data set '{name}': inputs are empty, shape {x.shape}")
    if x.dtype.kind == "f":
        broken = ~np.isfinite(x) | (x != np.round(x))
        if broken.any():
            raise HyprError(
                f"data set '{name}': inputs hold {float(x[broken][0]):g}; must be whole numbers (spikes or "
                "payloads): encode "
                "values as spikes, or give np.round(16 * x) with input_scale=1/16"
            )
    low, high = int(x.min()), int(x.max())
    if low < -(2**15) or high >= 2**15:
        raise HyprError(f"data set '{name}': inputs span {low} to {high}; must be within 16 bits: use fewer levels")
    return np.ascontiguousarray(x, dtype=np.uint8 if low >= 0 and high <= 255 else np.int16)


def _labels(y: np.ndarray, shape: tuple[int, ...], name: str) -> tuple[np.ndarray, int | None]:
    """Labels as stored, and the number of classes that occur; None for targets of a regression."""
    samples, steps, channels = shape
    where = f"data set '{name}'"
    if y.ndim and len(y) != samples:
        if len(y) == steps:
            raise HyprError(
                f"{where}: inputs of shape {shape} have {samples} samples, but there are {len(y)} labels, as many as "
                "steps: "
                "samples and steps look swapped; give x.transpose(1, 0, 2)"
            )
        raise HyprError(f"{where}: {samples} samples (first axis of the inputs), but {len(y)} labels; make them equal")
    if y.dtype.kind == "f":
        if y.ndim == 2 and y.shape[1] == steps and steps > 1:
            raise HyprError(f"{where}: targets of shape {y.shape}: one per step has shape (n, T, C); add the last axis")
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim not in (2, 3) or (y.ndim == 3 and y.shape[1] != steps):
            raise HyprError(f"{where}: targets have shape {y.shape}; must be (n, C) or (n, {steps}, C)")
        return np.ascontiguousarray(y, dtype=np.float32), None
    if y.dtype.kind not in "iub" or y.ndim not in (1, 2):
        raise HyprError(
            f"{where}: labels are {y.dtype} {y.shape}; must be whole numbers (n,) or (n, T), or float targets"
        )
    if y.ndim == 2 and y.shape[1] != steps:
        swapped = " (inputs look like (samples, channels, steps): transpose(0, 2, 1))" if y.shape[1] == channels else ""
        raise HyprError(f"{where}: labels have shape {y.shape}, inputs have {steps} steps{swapped}")
    if int(y.min()) < 0 or int(y.max()) >= _MOST_CLASSES:
        raise HyprError(f"{where}: labels span {int(y.min())} to {int(y.max())}; classes count from 0")
    return np.ascontiguousarray(y, dtype=np.int64), int(y.max()) + 1


def _range(inputs: np.ndarray | EventArray, given: tuple[int, int] | None, name: str) -> tuple[int, int]:
    low, high = min(0, int(inputs.min())), max(1, int(inputs.max()))
    if given is None:
        return low, high
    try:
        first, last = (int(value) for value in given)
    except (TypeError, ValueError):
        raise HyprError(f"data set '{name}': input_range is {given!r}; give (lowest, highest)") from None
    return first, last


def _mask(mask: Any, lengths: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    samples, steps, channels = shape
    counts = np.ones((samples, steps), bool)
    if mask is not None:
        given = np.asarray(mask)
        if given.shape != (samples, steps):
            swapped = given.shape == (steps, samples)
            how = (
                "; it looks like (steps, samples): transpose it"
                if swapped
                else f"; must be ({samples}, {steps}), one value per sample and step"
            )
            if given.shape == (samples, channels):
                how = "; steps and channels of the inputs look swapped: give x.transpose(0, 2, 1)"
            raise HyprError(f"data set '{name}': mask has shape {given.shape}, inputs {shape}{how}")
        counts = given != 0
    if lengths is not None:
        given = np.asarray(lengths)
        if given.shape != (samples,) or given.dtype.kind not in "iu":
            raise HyprError(
                f"data set '{name}': lengths are {given.dtype} {given.shape}; must be whole numbers ({samples},)"
            )
        if int(given.min()) < 1 or int(given.max()) > steps:
            swapped_axes = steps < int(given.max()) <= channels
            how = (
                "steps and channels look swapped: give x.transpose(0, 2, 1)"
                if swapped_axes
                else f"allowed: 1 to {steps}"
            )
            raise HyprError(f"data set '{name}': lengths span {int(given.min())} to {int(given.max())}; {how}")
        counts = counts & (np.arange(steps) < given[:, None])
    if not counts.any():
        raise HyprError(f"data set '{name}': the mask leaves no step in any sample; at least one must count")
    return counts


def _parts(split: np.ndarray, samples: int, name: str) -> np.ndarray:
    if split.shape != (samples,):
        raise HyprError(f"data set '{name}': split has shape {split.shape}; must be ({samples},), one value per sample")
    if split.dtype.kind in "US":
        names = split.astype(str)
        if not np.isin(names, SPLITS).all():
            wrong = names[~np.isin(names, SPLITS)][0]
            raise HyprError(f"data set '{name}': split holds '{wrong}'; valid: {', '.join(SPLITS)}")
        return np.array([SPLITS.index(one) for one in names], np.int8)
    if split.dtype.kind not in "iu" or split.min() < 0 or split.max() > 2:
        raise HyprError(f"data set '{name}': split must hold 0 (train), 1 (validation), 2 (test), or these names")
    return split.astype(np.int8)
