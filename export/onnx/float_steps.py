"""The float step of every neuron kind as ONNX operators in float32: the equations of
:mod:`export.interchange.float_neurons`, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.interchange.steps import StepPopulation
from export.onnx.builder import FLOAT, GraphBuilder, Value


@dataclass(frozen=True)
class Floats:
    """float32 constants of one population inside a graph."""

    graph: GraphBuilder
    population: StepPopulation

    def array(self, name: str, value: np.ndarray) -> Value:
        return self.graph.constant(f"{self.population.name}:{name}", np.asarray(value, dtype=np.float32))

    def get(self, name: str) -> Value:
        """Parameter `name` of the population."""
        return self.array(name, self.population.parameters[name])

    def one_minus(self, name: str) -> Value:
        return self.array(f"one_minus_{name}", 1.0 - self.population.parameters[name])

    def number(self, value: float) -> Value:
        return self.graph.scalar(value, "float32")


Old = Mapping[str, Value]
New = tuple[dict[str, Value], Value | None]
"""New states by name and the spikes (bool (B, N)), or None of a kind that does not spike."""


def _brf(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    p = f.population.parameters
    u_old, v_old, q_old = old["u"], old["v"], old["q"]
    if f.population.options["variant"] == "euler":
        undamped = (np.sqrt(1.0 - (p["dt"] * p["omega"]) ** 2) - 1.0) / p["dt"] - p["b_offset"]
        diagonal = f.number(1.0) + f.get("dt") * (f.array("undamped", undamped) - q_old)
        turn = f.array("dt_omega", p["dt"] * p["omega"])
        u = diagonal * u_old - turn * v_old + f.get("dt") * current
        v = turn * u_old + diagonal * v_old
    else:
        decay = f.graph.node("Exp", f.get("dt") * (f.array("undamped", -p["b_offset"]) - q_old))
        cosine = f.array("cosine", np.cos(p["dt"] * p["omega"]))
        sine = f.array("sine", np.sin(p["dt"] * p["omega"]))
        u = decay * (cosine * u_old - sine * v_old) + f.get("dt") * current
        v = decay * (sine * u_old + cosine * v_old)
    over = (u - f.get("theta") - q_old) > f.number(0.0)
    return {"u": u, "v": v, "q": f.get("gamma") * q_old + over.cast(FLOAT)}, over


def _se_adlif(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    assert z_old is not None
    one = f.number(1.0)
    u = f.get("alpha") * old["u"] + f.one_minus("alpha") * (current - old["w"])
    over = u > f.get("theta")
    z = over.cast(FLOAT)
    z_star = z if f.population.options["adaptation_spike"] == "current" else z_old
    drive = f.get("a") * u * (one - z) + f.get("b") * z_star
    w = f.get("beta") * old["w"] + f.one_minus("beta") * drive * f.get("rho")
    return {"u": u * (one - z), "w": w}, over  # recorded after the reset, as by the other engines


def _alif(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    assert z_old is not None
    a = f.get("rho") * old["a"] + f.one_minus("rho") * z_old
    threshold = f.get("b0") + f.get("beta") * a
    if f.population.options.get("reset") == "same":
        u = f.get("alpha") * old["u"] + f.one_minus("alpha") * current
        over = u > threshold
        return {"a": a, "u": f.graph.where(over, u - threshold, u)}, over
    u = f.get("alpha") * old["u"] + f.one_minus("alpha") * current - threshold * z_old
    return {"a": a, "u": u}, u > threshold


def _lif(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    u = f.get("alpha") * old["u"] + f.get("gain") * current + f.get("leak")
    u, over = _fire(f, u, old["u"], z_old)
    return {"u": u}, over


def _cuba_lif(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    u = f.get("alpha_syn") * old["u"] + f.get("syn_gain") * (current + f.get("b_syn"))
    v = f.get("alpha_mem") * old["v"] + f.get("mem_gain") * u + f.array("bias", f.population.bias)
    v, over = _fire(f, v, old["v"], z_old)
    return {"u": u, "v": v}, over


def _li(f: Floats, old: Old, current: Value, z_old: Value | None) -> New:
    return {"u": f.get("kappa") * old["u"] + f.get("gain") * current + f.get("leak")}, None


def _fire(f: Floats, membrane: Value, before: Value, z_old: Value | None) -> tuple[Value, Value]:
    """The membrane after its reset, and the spikes, in the order that the population's options name."""
    theta = f.get("theta")
    timing = f.population.options.get("reset_timing", "same_step")
    if f.population.options["reset"] == "none":
        return membrane, membrane > theta
    if timing == "next_step":
        assert z_old is not None
        membrane = _reset(f, membrane, z_old > f.number(0.0))
        return membrane, membrane > theta
    tested = membrane
    if timing == "carried_over":
        tested = f.graph.where(before > theta, membrane - theta, membrane)
    over = tested > theta
    return _reset(f, membrane, over), over


def _reset(f: Floats, membrane: Value, over: Value) -> Value:
    after = f.get("v_reset") if f.population.options["reset"] == "zero" else membrane - f.get("theta")
    return f.graph.where(over, after, membrane)


STEPS: Mapping[str, Callable[[Floats, Old, Value, Value | None], New]] = {
    "brf": _brf,
    "se_adlif": _se_adlif,
    "alif": _alif,
    "lif": _lif,
    "cuba_lif": _cuba_lif,
    "li": _li,
}
