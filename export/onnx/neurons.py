"""The integer step of every neuron model as ONNX operators, in the notation of hardware/FIXED_POINT.md.

States and currents are int64 values of shape (B, N); parameters are int64 initialisers of shape (N,). ``'`` in the
specification (the value of the step before) is the suffix ``_old`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.onnx.builder import GraphBuilder, Value
from hardware.models import MOST_SPIKES, STATE_MAX
from hardware.populations import Population

WRAP = STATE_MAX + 1
"""M of FP-3.5."""


@dataclass(frozen=True)
class Current:
    """What reaches a population's neurons in one step, int64 (B, N) (FP-2.1).

    Attributes:
        synaptic: of all projections, without bias.
        bias: (N,).
    """

    synaptic: Value
    bias: Value

    @property
    def total(self) -> Value:
        return self.synaptic + self.bias


class Arithmetic:
    """Fixed-point primitives and parameters of one population inside a graph."""

    def __init__(self, graph: GraphBuilder, population: Population) -> None:
        self.graph = graph
        self._population = population

    def parameter(self, name: str) -> Value:
        """Parameter `name` of the population, int64 (N,)."""
        return self.graph.constant(
            f"{self._population.name}:{name}", self._population.parameters[name].astype(np.int64)
        )

    def shifted(self, name: str, by: int) -> Value:
        """Parameter `name` times ``2^by``, a constant."""
        value = self._population.parameters[name].astype(np.int64) << by
        return self.graph.constant(f"{self._population.name}:{name}_shifted", value)

    def shift(self, name: str) -> int:
        return self._population.shifts[name]

    def scalar(self, value: int) -> Value:
        return self.graph.scalar(value)

    def shz(self, x: Value, k: int) -> Value:
        """FP-1.3: ONNX ``Div`` of integers truncates toward zero, as this shift does."""
        return self.graph.node("Div", x, self.scalar(1 << k)) if k else x

    def mulsh(self, x: Value, c: Value, k: int) -> Value:
        """FP-1.2: for c >= 0 the product has the sign of x, so that truncating it is ``sign(x) ((|x| c) >> k)``."""
        return self.shz(x * c, k)

    def sat(self, x: Value) -> Value:
        """FP-1.1."""
        return self.graph.node("Clip", x, self.scalar(-STATE_MAX), self.scalar(STATE_MAX))

    def at_least_zero(self, x: Value) -> Value:
        return self.graph.node("Max", x, self.scalar(0))

    def at_most(self, x: Value, most: int) -> Value:
        """The smaller one; x is not negative. ``Clip``, for our reader knows no ``Min``."""
        return self.graph.node("Clip", x, self.scalar(0), self.scalar(most))

    def divided(self, x: Value, by: Value) -> Value:
        """FP-3.9: whole part of the quotient; x is not negative."""
        return self.graph.node("Div", x, by)

    def above(self, x: Value, limit: Value) -> Value:
        return x > limit

    def at_least(self, x: Value, limit: Value) -> Value:
        return self.graph.node("LessOrEqual", limit, x)

    def if_spike(self, z: Value, value: Value) -> Value:
        """`value` where z, else 0."""
        return self.graph.where(z, value, self.scalar(0))

    def unless_spike(self, z: Value, value: Value) -> Value:
        """0 where z, else `value`."""
        return self.graph.where(z, self.scalar(0), value)

    def wrap_once(self, x: Value) -> Value:
        """FP-3.5: one wrap into (-2^23, 2^23]."""
        over, under = x > self.scalar(WRAP), self.graph.node("LessOrEqual", x, self.scalar(-WRAP))
        low = self.graph.where(under, x + self.scalar(2 * WRAP), x)
        return self.graph.where(over, x - self.scalar(2 * WRAP), low)


States = Mapping[str, Value]
Step = tuple[dict[str, Value], Value | None]
"""New states by name and the spikes (bool or int64 (B, N)), or None of a model that does not spike."""


def brf(a: Arithmetic, old: States, current: Current, z_old: Value, options: Mapping[str, str]) -> Step:
    """FP-3.1."""
    u_old, v_old, q_old = old["u"], old["v"], old["q"]
    S, k = a.parameter("S"), a.shift("K")
    d = a.at_least_zero(a.parameter("C") - a.mulsh(q_old, a.parameter("D"), a.shift("Kd")))
    u = a.sat(a.mulsh(u_old, d, k) - a.mulsh(v_old, S, k) + current.total)
    v = a.sat(a.mulsh(u_old, S, k) + a.mulsh(v_old, d, k))
    z = (u - q_old) > a.parameter("TH")
    q = a.sat(a.mulsh(q_old, a.parameter("R"), a.shift("KR")) + a.if_spike(z, a.parameter("J")))
    return {"u": u, "v": v, "q": q}, z


def se_adlif(a: Arithmetic, old: States, current: Current, z_old: Value, options: Mapping[str, str]) -> Step:
    """FP-3.2."""
    u = a.sat(a.mulsh(old["u"], a.parameter("A"), a.shift("K")) - a.shz(old["w"], a.shift("g")) + current.total)
    z = u > a.parameter("TH")
    u = a.unless_spike(z, u)
    z_star = z if options["adaptation_spike"] == "current" else z_old
    decayed = a.mulsh(old["w"], a.parameter("Be"), a.shift("K"))
    w = a.sat(decayed + a.mulsh(u, a.parameter("At"), a.shift("Ka")) + a.if_spike(z_star, a.parameter("Bt")))
    return {"u": u, "w": w}, z


def alif(a: Arithmetic, old: States, current: Current, z_old: Value, options: Mapping[str, str]) -> Step:
    """FP-3.3."""
    adaptation = a.sat(a.mulsh(old["a"], a.parameter("Rho"), a.shift("K")) + a.if_spike(z_old, a.parameter("Ja")))
    threshold = a.parameter("B0") + adaptation
    u = a.sat(a.mulsh(old["u"], a.parameter("A"), a.shift("K")) + current.total - a.if_spike(z_old, threshold))
    return {"a": adaptation, "u": u}, u > threshold


def fire(
    a: Arithmetic, threshold: Value, x: Value, x_old: Value, z_old: Value, options: Mapping[str, str]
) -> tuple[Value, Value]:
    """FP-3.7 to FP-3.9: membrane after its reset, and spikes (int64 where there can be several in a step)."""
    if options["spikes"] != "one":
        count = a.at_most(a.divided(a.at_least_zero(x), threshold), MOST_SPIKES[options["spikes"]])
        return x - count * threshold, count
    reached = a.at_least if options["fires"] == "at" else a.above
    if options["reset_at"] == "next":
        x = _reset(a, threshold, x, z_old, options)
        return x, reached(x, threshold)
    tested = x - a.if_spike(reached(x_old, threshold), threshold) if options["reset_at"] == "carried" else x
    z = reached(tested, threshold)
    return _reset(a, threshold, x, z, options), z


def _reset(a: Arithmetic, threshold: Value, x: Value, z: Value, options: Mapping[str, str]) -> Value:
    if options["reset"] == "zero":
        return a.unless_spike(z, x)
    return a.sat(x - a.if_spike(z, threshold)) if options["reset"] == "subtract" else x


def lif(a: Arithmetic, old: States, current: Current, z_old: Value, options: Mapping[str, str]) -> Step:
    """FP-3.4."""
    threshold = a.parameter("TH")
    u = a.sat(a.mulsh(old["u"], a.parameter("A"), a.shift("K")) + current.total)
    u, z = fire(a, threshold, u, old["u"], z_old, options)
    return {"u": u}, z


def cuba_lif(a: Arithmetic, old: States, current: Current, z_old: Value, options: Mapping[str, str]) -> Step:
    """FP-3.5: Lava's LIF, whose bias enters the voltage and not the current."""
    one, bits = a.scalar(4096), 12
    u_decay = one - (a.parameter("du") + a.scalar(1))
    u = a.wrap_once(a.mulsh(old["u"], u_decay, bits) + current.synaptic * a.scalar(1 << 6))
    v = a.sat(a.mulsh(old["v"], one - a.parameter("dv"), bits) + u + current.bias)
    several = options["spikes"] != "one"  # divided by: a constant, as a reader of the file must see that it is above 0
    threshold = a.shifted("vth", 6) if several else a.parameter("vth") * a.scalar(1 << 6)
    v, z = fire(a, threshold, v, old["v"], z_old, options)
    return {"u": u, "v": v}, z


def li(a: Arithmetic, old: States, current: Current, z_old: Value | None, options: Mapping[str, str]) -> Step:
    """FP-3.6."""
    return {"u": a.sat(a.mulsh(old["u"], a.parameter("A"), a.shift("K")) + current.total)}, None


STEPS: Mapping[str, Callable[..., Step]] = {
    "brf": brf,
    "se_adlif": se_adlif,
    "alif": alif,
    "lif": lif,
    "cuba_lif": cuba_lif,
    "li": li,
}
