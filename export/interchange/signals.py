"""What arrives at a node of a NIR graph: a sum of linear maps of delayed spikes, and constants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import nir
import numpy as np

from export.errors import ExportError, GraphError, UnsupportedError
from export.interchange.compose import compose
from export.interchange.linear import LINEAR, Shape, linear_map, size_of
from export.interchange.weights import DenseWeights, SparseWeights, Weights
from export.interchange.wiring import Wiring, declared_shape, without_leading


@dataclass(frozen=True)
class Term:
    """``W s(t - delay)``; ``weights`` None is the identity, the delay is that of Delay nodes alone, in steps."""

    source: str
    weights: Weights | None = None
    delay: int = 0


@dataclass(frozen=True)
class Constant:
    """A bias, float64 (N,), from a step on; with the sources of the node that adds it."""

    values: np.ndarray
    start: int
    sources: frozenset[str]


@dataclass(frozen=True)
class Signal:
    shape: Shape
    terms: tuple[Term, ...]
    constants: tuple[Constant, ...] = ()


_UNSAID = "neuron '{}' has one shared parameter and nothing that it hears says how many neurons there are"

_LONGEST_STEPS = 100_000
"""Of a Delay; a longer one is a unit that was not meant."""


class _Unknown(Exception):
    """The width of a neuron is not known yet."""


class Signals:
    """Signals of a wiring, each worked out once.

    Args:
        dt: seconds per step; None where nobody said.
    """

    def __init__(self, wiring: Wiring, dt: float | None) -> None:
        self.wiring, self.dt = wiring, dt
        self._found: dict[str, Signal] = {}
        self._shapes: dict[str, Shape] = {}
        self._open: list[str] = []
        self._asked: list[str] = []  # neurons whose shape is looked for

    def shape_of(self, name: str) -> Shape:
        """Shape of an input or a neuron; of a neuron with one shared parameter that of what it hears.

        Raises:
            GraphError: nothing says it.
        """
        try:
            return self._shape(name)
        except _Unknown:
            raise GraphError(_UNSAID.format(name)) from None

    def of(self, name: str) -> Signal:
        """What a node sends: an input or neuron its own spikes."""
        if name in self._found:
            return self._found[name]
        node = self.wiring.nodes[name]
        if not isinstance(node, (nir.Delay, *LINEAR)) and name not in self.wiring.wires:
            found = Signal(self._shape(name), (Term(name),))
        else:
            if name in self._open:
                raise UnsupportedError(f"node '{name}' is part of a loop without a neuron; a loop needs a neuron in it")
            self._open.append(name)
            try:
                found = self._sent(name, node, self.heard(name))
            finally:
                self._open.remove(name)
        self._found[name] = found
        return found

    def heard(self, name: str) -> Signal:
        """The sum of what feeds a node.

        Raises:
            GraphError: nothing feeds it, or shapes do not fit.
        """
        feeding = self.wiring.before[name]
        if not feeding:
            raise GraphError(f"node '{name}' has no input; connect it to the input node or to a neuron")
        parts = [self.of(source) for source in feeding]
        shape = parts[0].shape
        for source, part in zip(feeding, parts, strict=True):
            if size_of(part.shape) != size_of(shape):
                raise GraphError(
                    f"node '{name}' is fed {size_of(shape)} values by '{feeding[0]}' but {size_of(part.shape)} by "
                    f"'{source}'; shapes must agree"
                )
        terms = tuple(term for part in parts for term in part.terms)
        return Signal(shape, terms, tuple(constant for part in parts for constant in part.constants))

    def _sent(self, name: str, node: nir.NIRNode, heard: Signal) -> Signal:
        if name in self.wiring.wires:
            return heard
        if isinstance(node, nir.Delay):
            return self._delayed(name, node, heard)
        found = linear_map(node, heard.shape, name)
        terms, constants = list(heard.terms), list(heard.constants)
        if found.weights is not None:
            terms = [replace(term, weights=_after(term.weights, found.weights)) for term in terms]
            constants = [replace(item, values=_through(found.weights, item.values)) for item in constants]
        if found.bias is not None and found.bias.any():
            constants.append(Constant(found.bias, 0, frozenset(term.source for term in terms)))
        return Signal(found.shape, tuple(terms), tuple(constants))

    def _delayed(self, name: str, node: nir.Delay, heard: Signal) -> Signal:
        steps = self._steps(name, np.asarray(node.delay))
        size = size_of(heard.shape)
        if steps.size not in (1, size):
            raise GraphError(f"Delay '{name}' has {steps.size} values but receives {size}; shapes must agree")
        steps = np.broadcast_to(steps, (size,))
        terms: list[Term] = []
        constants: list[Constant] = []
        for delay in np.unique(steps):
            chosen = None if np.all(steps == delay) else np.flatnonzero(steps == delay)
            for term in heard.terms:
                weights = term.weights if chosen is None else _rows(term.weights, chosen, size)
                terms.append(Term(term.source, weights, term.delay + int(delay)))
            for item in heard.constants:
                values = item.values if chosen is None else np.where(steps == delay, item.values, 0.0)
                constants.append(Constant(values, item.start + int(delay), item.sources))
        return Signal(heard.shape, tuple(terms), tuple(constants))

    def _steps(self, name: str, delay: np.ndarray) -> np.ndarray:
        """Whole steps of a Delay node in seconds."""
        if np.any(delay < 0):
            raise GraphError(f"Delay '{name}' is {float(delay.min()):.9g} s; a delay must not be negative")
        if not delay.any():
            return np.zeros(delay.size, np.int64)
        if self.dt is None:
            raise ExportError(
                f"Delay '{name}' needs the time step, which the file does not say; give the seconds per step (--dt)"
            )
        exact = delay.reshape(-1).astype(np.float64) / self.dt
        steps = np.round(exact)
        slack = 4 * float(np.finfo(delay.dtype if delay.dtype.kind == "f" else np.float64).eps)
        wrong = np.flatnonzero(np.abs(exact - steps) > slack * np.maximum(exact, 1.0))
        if wrong.size:
            value, found = float(delay.reshape(-1)[wrong[0]]), float(exact[wrong[0]])
            raise UnsupportedError(
                f"Delay '{name}' is {value:.9g} s, {found:.6g} steps of {self.dt:.9g} s; only whole steps can be kept: "
                "give another dt (--dt) or round the delay"
            )
        if steps.max() > _LONGEST_STEPS:
            raise UnsupportedError(
                f"Delay '{name}' is {float(delay.max()):.6g} s, {float(steps.max()):.6g} steps; at most "
                f"{_LONGEST_STEPS}"
            )
        return steps.astype(np.int64)

    def _shape(self, name: str) -> Shape:
        if name not in self._shapes:
            read = self._input_shape if name in self.wiring.inputs else self._neuron_shape
            try:
                self._shapes[name] = read(name)
            except _Unknown:
                if self._asked:  # another neuron asks, and may hear something else that says it
                    raise
                raise GraphError(_UNSAID.format(name)) from None
        return self._shapes[name]

    def _input_shape(self, name: str) -> Shape:
        shape = declared_shape(self.wiring.nodes[name])
        if not shape or any(n < 1 for n in shape):
            raise GraphError(f"node '{name}' has no shape; write the number of channels in its input type")
        for reader in self._readers(name):
            expected = declared_shape(self.wiring.nodes[reader])
            inner = None if expected is None else without_leading(shape, expected)
            if inner is not None and inner != shape:
                self.wiring.notes.append(
                    f"input '{name}': the leading dimension of {shape} is read as batch or time, channels are {inner}"
                )
                return inner
        return shape

    def _readers(self, name: str) -> list[str]:
        """What hears an input, wires passed over."""
        found: list[str] = []
        for reader, feeding in self.wiring.before.items():
            if name in feeding:
                found += self._readers(reader) if reader in self.wiring.wires else [reader]
        return found

    def _neuron_shape(self, name: str) -> Shape:
        node = self.wiring.integrators.get(name, self.wiring.nodes[name])
        shapes = [np.shape(value) for key, value in vars(node).items() if isinstance(value, np.ndarray)]
        shapes += [np.shape(value) for value in vars(self.wiring.nodes[name]).values() if isinstance(value, np.ndarray)]
        known = next((shape for shape in shapes if size_of(shape) > 1), None)
        if known is not None:
            return tuple(int(n) for n in known)
        return self._shape_heard(name)

    def _shape_heard(self, name: str) -> Shape:
        if name in self._asked:
            raise _Unknown
        self._asked.append(name)
        try:
            for source in self.wiring.before[name]:
                try:
                    return self.of(source).shape
                except _Unknown:
                    continue
        finally:
            self._asked.remove(name)
        if not self.wiring.before[name]:
            raise GraphError(f"neuron '{name}' has no input; connect it to the input node or to another neuron")
        raise _Unknown


def _after(first: Weights | None, second: Weights) -> Weights:
    return second if first is None else compose(first, second)


def _through(weights: Weights, values: np.ndarray) -> np.ndarray:
    result: np.ndarray = (
        weights.matrix @ values if isinstance(weights, DenseWeights) else weights.apply(values[None])[0]
    )
    return result


def _rows(weights: Weights | None, chosen: np.ndarray, size: int) -> Weights:
    """Only some of the targets keep their synapses."""
    mask = np.zeros(size)
    mask[chosen] = 1.0
    if weights is None:
        return SparseWeights(chosen, chosen, np.ones(chosen.size), (size, size))
    if isinstance(weights, DenseWeights):
        return weights.scaled(mask)
    target, source, values = weights.coo()
    kept = mask[target] > 0
    return SparseWeights(target[kept], source[kept], values[kept], weights.shape)
