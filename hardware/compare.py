"""Integer-by-integer comparison of two traces: how much differs, and where the first difference is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware.chain import Layer
from hardware.errors import InputError
from hardware.neurons import CLAUSES
from hardware.populations import Population
from hardware.program import Program
from hardware.trace import Trace, output_key

UPDATE_ORDER: Mapping[str, tuple[str, ...]] = {
    "brf": ("u", "v", "spikes", "q"),
    "se_adlif": ("spikes", "u", "w"),
    "alif": ("a", "u", "spikes"),
    "lif": ("spikes", "u"),
    "cuba_lif": ("u", "spikes", "v"),
    "li": ("u",),
}
"""Order in which one step settles its results; a spike comes before the state that it resets, so that the cause is
named and not its effect."""


def update_order(population: Layer | Population) -> tuple[str, ...]:
    """The same for any neuron; of one that is not in the specification the spikes come last."""
    return UPDATE_ORDER.get(population.model) or (*population.spec.states, "spikes")


@dataclass(frozen=True)
class Divergence:
    """One differing integer.

    Attributes:
        layer, step, sample, neuron: where; step counts from 0.
        state: state name, ``spikes``, or ``output`` where the layer's own arrays were not compared.
        value_a, value_b: the two integers.
        clause: clause of the specification that defines the value, empty where no program was given.
    """

    layer: str
    step: int
    sample: int
    neuron: int
    state: str
    value_a: int
    value_b: int
    clause: str = ""

    def __str__(self) -> str:
        clause = f" ({self.clause})" if self.clause else ""
        return (
            f"layer {self.layer}, step {self.step}, sample {self.sample}, neuron {self.neuron}, {self.state}: "
            f"{self.value_a} against {self.value_b}{clause}"
        )


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`.

    Attributes:
        engine_a, engine_b: the engines that produced the two traces.
        compared: number of integers compared.
        differing: how many of them differ.
        differing_by_array: the same for each array, keys as in ``Trace.arrays()``.
        not_compared: arrays that only one of the traces holds.
        first_divergence: the earliest difference by (step, layer, state in update order, sample, neuron), or None.
    """

    engine_a: str
    engine_b: str
    compared: int
    differing: int
    differing_by_array: Mapping[str, int] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    first_divergence: Divergence | None = None

    @property
    def equal(self) -> bool:
        """Whether no integer differs among the arrays that both traces hold (``not_compared`` names the others)."""
        return self.differing == 0


def compare(a: Trace, b: Trace, program: Program | None = None) -> Comparison:
    """Compare every array that both traces hold.

    Args:
        a, b: traces of the same inputs; ``a`` is named first in the divergence.
        program: names clauses and orders layers and states; without it the order of the arrays in ``a`` is used.

    Raises:
        InputError: if an array has different shapes in the two traces or is not of integers.
    """
    arrays_a, arrays_b = a.arrays(), b.arrays()
    common = _common_keys(a, b, program)
    counts: dict[str, int] = {}
    compared = 0
    first: tuple[int, str, np.ndarray] | None = None
    for key in common:
        x, y = arrays_a[key], arrays_b[key]
        _check_pair(key, x, y, a.engine, b.engine)
        compared += x.size
        different = x != y
        counts[key] = int(np.count_nonzero(different))
        if counts[key]:
            step = int(np.argmax(different.any(axis=(1, 2))))
            if first is None or step < first[0]:
                first = (step, key, different[step])
    return Comparison(
        engine_a=a.engine,
        engine_b=b.engine,
        compared=compared,
        differing=sum(counts.values()),
        differing_by_array=counts,
        not_compared=tuple(
            key for key in {**arrays_a, **arrays_b} if key != "output" and not (key in arrays_a and key in arrays_b)
        ),
        first_divergence=None if first is None else _divergence(first, arrays_a, arrays_b, program),
    )


def context(
    a: Trace, b: Trace, divergence: Divergence, before: int = 5, after: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the diverging neuron did around the divergence: key -> (values of a, values of b), from ``before`` steps
    earlier on.

    The first value is that of step ``max(0, divergence.step - before)``. Only arrays of the same layer that both traces
    hold are given.
    """
    window = slice(max(0, divergence.step - before), divergence.step + 1 + after)
    arrays_a, arrays_b = a.arrays(), b.arrays()
    own = {f"{name}/{divergence.layer}" for name in {key.partition("/")[0] for key in arrays_a}}
    keys = [key for key in arrays_a if key in arrays_b and (key in own or key == divergence.state == "output")]
    where = (window, divergence.sample, divergence.neuron)
    return {key: (arrays_a[key][where], arrays_b[key][where]) for key in keys}


def _split(key: str, output_layer: str) -> tuple[str, str]:
    """State name and layer name of an array's key."""
    state, _, layer = key.partition("/")
    return (state, layer) if layer else ("output", output_layer)


def _common_keys(a: Trace, b: Trace, program: Program | None) -> list[str]:
    """Keys in both traces, in the order that decides which of several differences at one step is the first."""
    arrays_a, arrays_b = a.arrays(), b.arrays()
    common = {key for key in arrays_a if key in arrays_b}
    if program is None:
        ordered = [key for key in arrays_a if key in common and key != "output"]
        same = {key for key in ordered if arrays_a[key] is arrays_a["output"] and arrays_b[key] is arrays_b["output"]}
        return ordered if same else [*ordered, "output"]
    ordered = [key for key in _keys_in_order(program) if key in common]
    return ordered if output_key(program) in common else [*ordered, "output"]


def _keys_in_order(program: Program) -> Iterator[str]:
    for population in program.populations:
        for state in update_order(population):
            yield f"{state}/{population.name}"


def _check_pair(key: str, x: np.ndarray, y: np.ndarray, engine_a: str, engine_b: str) -> None:
    if x.shape != y.shape:
        raise InputError(
            f"cannot compare '{key}': {engine_a} has shape {x.shape}, {engine_b} has {y.shape}; run both "
            f"on the same inputs"
        )
    for engine, array in ((engine_a, x), (engine_b, y)):
        if array.dtype != np.bool_ and not np.issubdtype(array.dtype, np.integer):
            raise InputError(
                f"cannot compare '{key}' of {engine}: {array.dtype} is not an integer type; compare "
                f"integer engines only"
            )


def _divergence(
    first: tuple[int, str, np.ndarray],
    arrays_a: Mapping[str, np.ndarray],
    arrays_b: Mapping[str, np.ndarray],
    program: Program | None,
) -> Divergence:
    step, key, different = first
    sample, neuron = (int(i) for i in np.argwhere(different)[0])
    state, layer = _split(key, program.output.name if program else "output")
    return Divergence(
        layer=layer,
        step=step,
        sample=sample,
        neuron=neuron,
        state=state,
        value_a=int(arrays_a[key][step, sample, neuron]),
        value_b=int(arrays_b[key][step, sample, neuron]),
        clause=_clause(program.population(layer)) if program else "",
    )


def _clause(population: Population) -> str:
    return CLAUSES.get(population.model) or f"integer step of '{population.model}'"
