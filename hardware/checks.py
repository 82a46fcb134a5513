"""Checks of plain values, with the one-line errors of a :class:`hardware.errors.ProgramError`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hardware.errors import ProgramError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy, so that what was validated cannot change afterwards; what is frozen already is returned."""
    owned = type(array) is np.ndarray and array.base is None
    if owned and not array.flags.writeable and array.flags.c_contiguous:
        return array
    copy = np.array(array, order="C", copy=True)
    copy.setflags(write=False)
    return copy


def check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ProgramError(f"{what} name {name!r} must be 1 to 64 letters, digits, '_', '.' or '-'")


def check_unique(names: Iterable[str], what: str) -> None:
    given = list(names)
    for name in given:
        if given.count(name) > 1:
            raise ProgramError(f"names of {what} must be unique, '{name}' occurs {given.count(name)} times; rename one")


def check_int(value: object, low: int, high: int, what: str) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ProgramError(f"{what} must be an int, got {type(value).__name__}")
    if not low <= value <= high:
        raise ProgramError(f"{what} must be {low} to {high}, got {value}")


def check_names(given: Mapping[str, object], expected: Mapping[str, object] | tuple[str, ...], what: str) -> None:
    """Every expected name is given and no other."""
    missing = [name for name in expected if name not in given]
    if missing:
        raise ProgramError(f"{what} {missing[0]} is missing; needed are {', '.join(expected)}")
    unknown = [str(name) for name in given if name not in expected]
    if unknown:
        raise ProgramError(f"{what} {unknown[0]} is unknown; known are {', '.join(expected) or 'none'}")


def check_array(array: np.ndarray, size: int, low: int, high: int, what: str) -> None:
    """int32 of shape (size,) with values from ``low`` to ``high``."""
    if array.dtype != np.int32 or array.shape != (size,):
        raise ProgramError(f"{what} must be int32 of shape ({size},), got {array.dtype} of shape {array.shape}")
    outside = np.flatnonzero((array < low) | (array > high))
    if outside.size:
        raise ProgramError(f"{what} must be {low} to {high}, got {int(array[outside[0]])} at neuron {int(outside[0])}")


def check_mantissas(weight: np.ndarray, bits: int, what: str) -> None:
    """int8 within ``bits`` signed bits, symmetric."""
    check_int(bits, 2, 8, f"{what}: weight_bits")
    limit = 2 ** (bits - 1) - 1
    outside = np.argwhere((weight > limit) | (weight < -limit))
    if outside.size:
        place = tuple(int(i) for i in outside[0])
        raise ProgramError(
            f"{what}: {bits}-bit weights must be {-limit} to {limit}, got {int(weight[place])} at {list(place)}"
        )


def size_and_shape(size: Any, shape: Any, what: str) -> tuple[int, tuple[int, ...]]:
    """A number of neurons or channels, or a picture's shape, as both.

    Raises:
        ProgramError: where a length is no positive int, or size and shape disagree.
    """
    if isinstance(size, (tuple, list)):
        size, shape = None, tuple(size) if shape is None else shape
    if shape is None:
        shape = (size,)
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ProgramError(f"{what}: shape must be a tuple of ints, got {shape!r}")
    for length in shape:
        check_int(length, 1, 2**24, f"{what}: size")
    product = math.prod(int(length) for length in shape)
    check_int(product, 1, 2**24, f"{what}: size")
    if size is not None:
        check_int(size, 1, 2**24, f"{what}: size")
        if size != product:
            raise ProgramError(f"{what}: shape {tuple(shape)} has {product} elements, size is {size}; make them agree")
    return product, tuple(int(length) for length in shape)
