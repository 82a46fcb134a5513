"""Inputs of a verification: an array, or one for each input of the program by name; parts of them, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from hardware.inputs import Inputs, named_inputs
from hardware.program import Program

Shape = tuple[int, int, int]


def as_engines_take_them(program: Program, inputs: Inputs) -> Inputs:
    """Checked inputs: an array (T, B, N_in) where the program has one input, else a mapping by name.

    Raises:
        InputError: they do not fit the program.
    """
    named = named_inputs(program, inputs)
    return named if len(named) > 1 else next(iter(named.values()))


def of_each(inputs: Inputs, change: Callable[[np.ndarray], np.ndarray]) -> Inputs:
    """The same kind of inputs with every array changed."""
    if isinstance(inputs, Mapping):
        return {name: change(value) for name, value in inputs.items()}
    return change(inputs)


def of_samples(inputs: Inputs, samples: Sequence[int] | slice) -> Inputs:
    """Some samples of the batch."""
    return of_each(inputs, lambda value: value[:, samples])


def inputs_shape(inputs: Inputs) -> Shape:
    """(T, B, N_in), with the channels of all inputs."""
    shapes = inputs_shapes(inputs) if isinstance(inputs, Mapping) else {"": cast(Shape, inputs.shape)}
    steps, batch, _ = next(iter(shapes.values()))
    return steps, batch, sum(shape[2] for shape in shapes.values())


def inputs_shapes(inputs: Inputs) -> dict[str, Shape]:
    """(T, B, N) of each of several inputs by name; empty for a single one."""
    if not isinstance(inputs, Mapping):
        return {}
    return {name: cast(Shape, value.shape) for name, value in inputs.items()}


def inputs_hash(inputs: Inputs) -> str:
    """SHA-256 over the shape and the little-endian int32 values of inputs (T, B, N_in); of several over all of them,
    each behind its name, in the order of names."""
    if not isinstance(inputs, Mapping):
        return _with_array(hashlib.sha256(), inputs).hexdigest()
    digest = hashlib.sha256()
    for name in sorted(inputs):
        digest.update(name.encode() + b"\0")
        _with_array(digest, inputs[name])
    return digest.hexdigest()


def _with_array(digest: hashlib._Hash, array: np.ndarray) -> hashlib._Hash:
    digest.update(repr(tuple(int(n) for n in array.shape)).encode())
    digest.update(np.ascontiguousarray(array, dtype="<i4").tobytes())
    return digest
