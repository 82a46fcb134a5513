"""Neurons that are not in the specification: a user's own integer step, registered by name.

One step that serves oracle and emulator alike is one implementation, and comparing the two proves nothing about it; a
second, scalar step makes the comparison a test. :func:`describe` says which of the two a program has, with the hash of
the source.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.errors import ProgramError
from hardware.models import MODELS, OWN_MODELS, ModelSpec
from hardware.program import Program

Arrays = Mapping[str, np.ndarray]
Step = Callable[[Mapping[str, Any], tuple[np.ndarray, ...], np.ndarray, np.ndarray], tuple[Any, Any]]
"""``step(n, states, spikes_before, drive)`` as in :mod:`hardware.neurons`: int64 and bool arrays (B, N)."""

Scalar = Callable[[Mapping[str, Any], Sequence[int], int, int], tuple[Sequence[int], int]]
"""The same for one neuron in Python ints, as in :mod:`hardware.reference`."""


@dataclass(frozen=True)
class RealForm:
    """What the integers of a neuron stand for; arrays float64 (N,).

    Attributes:
        parameters: names of the real parameters.
        step: ``step(parameters, states, spikes before (B, N), current (B, N)) -> (states, spikes)``, reals.
        quantize: ``quantize(parameters, unit, shifts) -> integers``, unit = value of one state unit.
        dequantize: ``dequantize(integers, unit, shifts) -> parameters``, or None.
        gain: ``gain(parameters)``: what the neuron multiplies its current with.
    """

    parameters: tuple[str, ...]
    step: Callable[[Arrays, tuple[np.ndarray, ...], np.ndarray, np.ndarray], tuple[Any, Any]]
    quantize: Callable[[Arrays, np.ndarray, Mapping[str, int]], Mapping[str, np.ndarray]]
    dequantize: Callable[[Arrays, np.ndarray, Mapping[str, int]], Mapping[str, np.ndarray]] | None
    gain: Callable[[Arrays], np.ndarray]


@dataclass(frozen=True)
class OwnNeuron:
    """A neuron of someone's own.

    Attributes:
        spec: its states, parameters and shifts.
        step: of arrays. scalar: of one neuron, written a second time, or None.
        real: for export.
    """

    spec: ModelSpec
    step: Step
    scalar: Scalar | None
    real: RealForm

    @property
    def implementations(self) -> int:
        """How many times the step is written down."""
        return 1 if self.scalar is None else 2

    @property
    def sha256(self) -> str:
        """Hash of the source of its steps."""
        return source_hash(self.step, *(() if self.scalar is None else (self.scalar,)))


OWN: dict[str, OwnNeuron] = {}
"""Registered neurons by model name."""


def register(neuron: OwnNeuron) -> None:
    """Let engines run a neuron; one of the same name is replaced.

    Raises:
        ProgramError: the specification has a model of that name.
    """
    name = neuron.spec.name
    if name in MODELS:
        raise ProgramError(f"a neuron of your own cannot be called '{name}': the specification has that; rename it")
    OWN[name] = neuron
    OWN_MODELS[name] = neuron.spec


def source_hash(*functions: Callable[..., Any]) -> str:
    """SHA-256 over the source text of functions; over their compiled code where there is no text."""
    digest = hashlib.sha256()
    for function in functions:
        try:
            digest.update(textwrap.dedent(inspect.getsource(function)).encode())
        except (OSError, TypeError):
            code = getattr(function, "__code__", None)
            digest.update(repr(function).encode() if code is None else code.co_code + repr(code.co_consts).encode())
    return digest.hexdigest()


def models_of(program: Program) -> tuple[str, ...]:
    """Names of the program's neurons that are not in the specification."""
    return tuple(dict.fromkeys(item.model for item in program.populations if item.model in OWN))


def hashes(program: Program) -> dict[str, str]:
    """Name -> hash of the step, of the program's neurons that are not in the specification."""
    return {name: OWN[name].sha256 for name in models_of(program)}


def describe(program: Program) -> dict[str, dict[str, Any]]:
    """For a certificate: of each such neuron the hash of its source and how many implementations were compared."""
    statements = {
        1: "one implementation: oracle and emulator call the same step, so their equality says nothing about it",
        2: "two implementations: the oracle runs a scalar step of its own",
    }
    return {
        name: {
            "source_sha256": OWN[name].sha256,
            "implementations": OWN[name].implementations,
            "statement": f"'{name}' is not in the specification; {statements[OWN[name].implementations]}",
        }
        for name in models_of(program)
    }


def scalar_step(name: str) -> Scalar:
    """The step of one neuron: the second implementation, or the first on arrays of one element."""
    own = OWN[name]
    if own.scalar is not None:
        return own.scalar

    def step(n: Mapping[str, Any], states: Sequence[int], z_before: int, drive: int) -> tuple[list[int], int]:
        constants = {key: np.array([value]) if isinstance(value, int) else value for key, value in n.items()}
        constants |= {key: n[key] for key in own.spec.shifts}
        arrays = tuple(np.array([[value]], np.int64) for value in states)
        new, spikes = own.step(constants, arrays, np.array([[bool(z_before)]]), np.array([[drive]], np.int64))
        return [int(value[0, 0]) for value in new], int(spikes[0, 0])

    return step
