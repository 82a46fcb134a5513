"""NIR nodes of our own: neurons that cannot be built from NIR's primitives.

Reset and damping multiply states, so no combination of NIR's linear nodes gives these dynamics. Each class is
registered with the ``nir`` package when this module is imported and then round-trips through ``nir.write`` and
``nir.read``. A program that does not know them fails when it reads such a file, instead of running other dynamics.

Notation: ``'`` marks the previous step, ``I`` the sum of all inputs of the node at this step, ``H(x) = 1 where x > 0``.
All states start at 0. All arrays have the shape of the layer. A recurrent connection (a cycle in the edges) delivers
the spikes of the previous step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import nir
import numpy as np

from export.errors import GraphError


@dataclass(eq=False)
class _Neuron(nir.NIRNode):
    """Shape handling that the three nodes share."""

    def __post_init__(self) -> None:
        shape: tuple[int, ...] | None = None
        for item in self._arrays():
            value = np.asarray(getattr(self, item))
            setattr(self, item, value)
            if value.dtype.kind not in "fiub":
                raise GraphError(f"{type(self).__name__}: {item} holds {value.dtype}, not real numbers")
            shape = value.shape if shape is None else shape
            if value.shape != shape:
                raise GraphError(
                    f"{type(self).__name__}: {item} has shape {value.shape}, expected {shape} as the first parameter"
                )
        assert shape is not None
        self.input_type = {"input": np.array(shape)}
        self.output_type = {"output": np.array(shape)}

    @classmethod
    def _arrays(cls) -> list[str]:
        inherited = {f.name for f in fields(nir.NIRNode)}
        return [f.name for f in fields(cls) if f.name not in inherited and f.name not in _TEXT_FIELDS]

    @classmethod
    def from_dict(cls, kwargs: dict[str, Any]) -> nir.NIRNode:
        given = {key: value for key, value in kwargs.items() if key != "type"}
        known = {f.name for f in fields(cls)} - {"input_type", "output_type"}
        unknown = sorted(set(given) - known)
        missing = sorted(known - set(given) - {"metadata"} - _TEXT_FIELDS)
        if unknown or missing:
            problem = f"unknown item '{unknown[0]}'" if unknown else f"item '{missing[0]}' is missing"
            raise GraphError(f"{cls.__name__}: {problem}; items are {', '.join(sorted(known))}")
        return cls(**given)


INITIAL = "initial_"
"""Prefix of metadata that say where a state starts, if not at 0: float64 (N,)."""

_TEXT_FIELDS = {"variant", "adaptation_spike", "reset"}


@dataclass(eq=False)
class BRF(_Neuron):
    r"""Balanced resonate-and-fire neuron (Higuchi et al. 2024; as in arXiv 2506.14464), states u, v, q.

    .. math::
        p &= (\sqrt{1 - (dt\,\omega)^2} - 1) / dt \\
        c &= p - b_{offset} - q' \\
        u &= u' + dt\,(c\,u' - \omega\,v' + I) \\
        v &= v' + dt\,(\omega\,u' + c\,v') \\
        z &= H(u - \theta - q') \\
        q &= \gamma\,q' + z

    `variant` ``exponential``: :math:`c = -b_{offset} - q'`, :math:`u + iv = e^{dt(c + i\omega)}(u' + iv') + dt\,I`.

    Attributes:
        omega: angular frequency, radians per unit of dt, at least 0, with ``dt * omega <= 1``.
        b_offset: damping, at least 0, per unit of dt.
        theta: threshold.
        gamma: decay of the refractory state q per step (0.9 in the paper).
        dt: integration step of the equations above (a number of the model; the wall-clock step is in the graph's
            metadata).
        variant: ``euler`` or ``exponential``.
    """

    omega: np.ndarray
    b_offset: np.ndarray
    theta: np.ndarray
    gamma: np.ndarray
    dt: np.ndarray
    variant: str = "euler"


@dataclass(eq=False)
class SEAdLIF(_Neuron):
    r"""Adaptive LIF in the symplectic Euler discretisation (Baronig et al. 2024), states u, w.

    .. math::
        u &= \alpha\,u'\,(1 - z') + (1 - \alpha)(I - w') \\
        z &= H(u - \theta) \\
        w &= \beta\,w' + (1 - \beta)\,(a\,u\,(1 - z) + b\,z^*)\,\rho

    `adaptation_spike` ``current``: :math:`z^* = z`; ``previous``: :math:`z^* = z'`.

    Attributes:
        alpha: membrane decay per step. beta: adaptation decay per step.
        a: coupling of the membrane to the adaptation. b: adaptation per spike. rho: scale of both.
        theta: threshold.
        adaptation_spike: ``current`` or ``previous``.
    """

    alpha: np.ndarray
    beta: np.ndarray
    a: np.ndarray
    b: np.ndarray
    rho: np.ndarray
    theta: np.ndarray
    adaptation_spike: str = "current"


@dataclass(eq=False)
class ALIF(_Neuron):
    r"""LIF with an adaptive threshold (as in arXiv 2506.14464), states a, u.

    .. math::
        a &= \rho\,a' + (1 - \rho)\,z' \\
        A &= b_0 + \beta\,a \\
        u &= \alpha\,u' + (1 - \alpha)\,I - A\,z' \\
        z &= H(u - A)

    `reset` ``same``: :math:`u = \alpha\,(u' - A'\,z') + (1 - \alpha)\,I`.

    Attributes:
        alpha: membrane decay per step. rho: threshold decay per step.
        beta: threshold increase per unit of a. b0: resting threshold.
        reset: ``next`` (left out of files) or ``same``.
    """

    alpha: np.ndarray
    rho: np.ndarray
    beta: np.ndarray
    b0: np.ndarray
    reset: str = "next"

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = super().to_dict()
        if found["reset"] == "next":  # files from before there was a choice do not have it
            del found["reset"]
        return found


@dataclass(eq=False)
class OwnNeuron(nir.NIRNode):
    """A neuron of someone's own (:mod:`hardware.own`): its name and parameters. The dynamics are in its module, which
    whoever reads the file must import first.

    Attributes:
        kind: its name.
        names: of its parameters, separated by commas.
        values: (parameters, N), a row each.
    """

    kind: str
    names: str
    values: np.ndarray

    def __post_init__(self) -> None:
        self.kind, self.names = _as_text(self.kind), _as_text(self.names)
        self.values = np.asarray(self.values)
        if self.values.ndim != 2 or len(self.values) != len(self.keys()):
            raise GraphError(
                f"OwnNeuron '{self.kind}': values have shape {self.values.shape}; expected a row for each of "
                f"{self.names}"
            )
        shape = np.array(self.values.shape[1:])
        self.input_type, self.output_type = {"input": shape}, {"output": shape}

    def keys(self) -> list[str]:
        """Names of the parameters."""
        return [name for name in self.names.split(",") if name]

    @classmethod
    def from_dict(cls, kwargs: dict[str, Any]) -> nir.NIRNode:
        given = {key: value for key, value in kwargs.items() if key != "type"}
        unknown = sorted(set(given) - {"kind", "names", "values", "metadata"})
        missing = sorted({"kind", "names", "values"} - set(given))
        if unknown or missing:
            problem = f"unknown item '{unknown[0]}'" if unknown else f"item '{missing[0]}' is missing"
            raise GraphError(f"OwnNeuron: {problem}; items are kind, names, values")
        return cls(**given)


def _as_text(value: Any) -> str:
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)


EXTENSION_NODES: tuple[type[nir.NIRNode], ...] = (BRF, SEAdLIF, ALIF, OwnNeuron)


def register() -> None:
    """Make ``nir.read`` and ``nir.write`` know the nodes of this module; calling it again changes nothing.

    Raises:
        GraphError: an installed ``nir`` has its own node of that name (its dynamics would be mistaken for ours).
    """
    known = getattr(nir.ir, "__all_ir")
    for node in EXTENSION_NODES:
        present = getattr(nir.ir, node.__name__, node)
        if present is not node and present.__module__ != node.__module__:
            raise GraphError(f"the installed nir {nir.version} has a node {node.__name__} of its own; use nir 1.0.8")
        setattr(nir.ir, node.__name__, node)
        if node.__name__ not in known:
            known.append(node.__name__)


register()
