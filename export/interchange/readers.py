"""One reader per type of NIR neuron: its parameters as those of a difference equation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError, UnsupportedError
from export.interchange.nodes import INITIAL
from export.interchange.reading import OPEN, RESETS, Reading
from export.interchange.source import LEFT_OUT, OPTIONS, check_parameters
from export.interchange.steps import states_of
from export.interchange.time_constants import decay_and_gain
from export.interchange.topology import Stage
from hardware.own import OWN

Equation = tuple[str, dict[str, np.ndarray], dict[str, str]]
"""Kind, parameters (N,) each, options."""


def equation_of(stage: Stage, dt: float | None, scheme: str, reading: Reading) -> Equation:
    """The difference equation of a neuron.

    Args:
        dt: seconds per step; None where nobody said. reading: conventions of this neuron.

    Raises:
        GraphError: damaged values. UnsupportedError: a type of neuron without a form here. ExportError: dt is missing.
    """
    neuron = _Neuron(stage, dt, scheme, reading)
    read = _READERS.get(neuron.type)
    if read is None:
        raise UnsupportedError(
            f"node '{stage.name}' is a {neuron.type}: it has no form in the integer contract; use LIF, IF, CubaLIF, LI "
            "or I"
        )
    return read(neuron)


def initial_states(stage: Stage, kind: str, start: str | None) -> dict[str, np.ndarray]:
    """Where states start, if not at 0: as the node's metadata say, else the membrane at ``v_leak`` or ``v_reset``.

    Raises:
        GraphError: metadata that are not one number for each neuron. ExportError: `start` contradicts them.
    """
    recorded = _recorded_start(stage, kind)
    if recorded:
        choose(start, "as recorded", None, f"node '{stage.name}': start")
        return recorded
    key = start if start in ("v_leak", "v_reset") else None
    value = getattr(stage.node, key, None) if key and stage.integrator is None else None
    if value is None or not np.any(value):
        return {}
    return {"v" if kind == "cuba_lif" else "u": np.broadcast_to(np.ravel(np.asarray(value, np.float64)), (stage.size,))}


def _recorded_start(stage: Stage, kind: str) -> dict[str, np.ndarray]:
    metadata, found = getattr(stage.node, "metadata", None) or {}, {}
    for state in states_of(kind):
        value = metadata.get(f"{INITIAL}{state}")
        if value is None:
            continue
        values = np.asarray(value)
        if values.dtype.kind not in "iuf" or values.shape != (stage.size,) or not np.isfinite(values).all():
            raise GraphError(
                f"node '{stage.name}': metadata {INITIAL}{state} is no list of {stage.size} numbers; remove it"
            )
        found[state] = values.astype(np.float64)
    return found


def choose(given: Any, recorded: Any, default: Any, what: str) -> Any:
    """What was asked for, else what the file records, else the default; ExportError where the first two disagree."""
    if given is not None and recorded is not None and given != recorded:
        raise ExportError(f"{what} '{given}' contradicts '{recorded}' in the file's metadata; drop the option")
    return given if given is not None else recorded if recorded is not None else default


@dataclass(frozen=True)
class _Neuron:
    """A stage with the conventions that it is read by."""

    stage: Stage
    dt: float | None
    scheme: str
    reading: Reading

    @property
    def node(self) -> Any:
        return self.stage.node if self.stage.integrator is None else self.stage.integrator

    @property
    def type(self) -> str:
        return "Linear" if self.node is None else type(self.node).__name__

    @property
    def size(self) -> int:
        return self.stage.size

    @property
    def metadata(self) -> Mapping[str, Any]:
        return getattr(self.node, "metadata", None) or {}

    def zeros(self) -> np.ndarray:
        return np.zeros(self.size)

    def vector(self, key: str, node: Any = None) -> np.ndarray:
        """A parameter of each neuron, in the float type of the file."""
        value = np.asarray(getattr(self.node if node is None else node, key))
        if value.size not in (1, self.size):
            raise GraphError(f"node '{self.stage.name}': {key} has shape {value.shape}; expected {self.size} values")
        if value.dtype == np.float16:  # decays of so few digits are not meant
            value = value.astype(np.float32)
        if value.dtype.kind != "f":
            value = value.astype(np.float64)
        return np.broadcast_to(value.reshape(-1), (self.size,))

    def step(self) -> float:
        if self.dt is None:
            raise ExportError(
                f"node '{self.stage.name}' needs the time step, which the file does not say; give the seconds per step "
                "(--dt)"
            )
        return self.dt

    def membrane(self, tau_key: str, r_key: str, suffix: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Decay and gain; the exact numbers in the node's metadata where they agree with tau and r to rounding."""
        self.must_say("scheme")
        tau, r = self.vector(tau_key), self.vector(r_key)
        decay, gain = decay_and_gain(tau, r, self.step(), self.scheme, f"node '{self.stage.name}'")
        # a float32 tau fixes the decay to a few float32 roundings, a float64 one to a few float64 ones
        slack = 8 * max(float(np.finfo(tau.dtype).eps), float(np.finfo(r.dtype).eps))
        exact_decay = self.recorded(f"decay{suffix}", decay, slack)
        relative = np.maximum(np.abs(gain) / np.maximum(1.0 - decay, slack), 1.0)
        return exact_decay, self.recorded(f"gain{suffix}", gain, slack * relative)

    def leak(self, decay: np.ndarray) -> np.ndarray:
        """What v_leak adds to the membrane at each step."""
        v_leak = self.vector("v_leak")
        leak = (1.0 - decay) * v_leak.astype(np.float64)
        return self.recorded("leak", leak, 8 * float(np.finfo(v_leak.dtype).eps) * np.abs(leak))

    def recorded(self, key: str, derived: np.ndarray, slack: np.ndarray | float) -> np.ndarray:
        """Exact numbers of a file of ours, which its own float32 parameters only approximate."""
        value = self.metadata.get(key)
        if value is None:
            return derived
        try:
            recorded = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise GraphError(f"node '{self.stage.name}': metadata {key} is not a list of numbers; remove it") from None
        agrees = recorded.shape == derived.shape and bool(np.all(np.abs(recorded - derived) <= slack))
        if not agrees:
            raise GraphError(
                f"node '{self.stage.name}': metadata {key} contradicts its time constants; the file was edited: remove "
                "that metadata"
            )
        return recorded

    def integrator_gain(self) -> np.ndarray:
        """``r dt``; within rounding of 1 (r chosen as 1/dt) it is 1."""
        r = self.vector("r")
        if self.reading.integrator_gain == "r":
            return r.astype(np.float64)
        gain = r.astype(np.float64) * self.step()
        return np.where(np.abs(gain - 1.0) <= 4 * float(np.finfo(r.dtype).eps), 1.0, gain)

    def firing(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Threshold, reset value, and options that say how the reset works."""
        if self.stage.integrator is not None:
            theta = self.vector("threshold", self.stage.node).astype(np.float64)
            return {"theta": theta, "v_reset": self.zeros()}, {"reset": "none", "reset_timing": "same_step"}
        reset = choose(self.reading.reset, self.metadata.get("reset"), "zero", f"node '{self.stage.name}': reset")
        if reset not in RESETS:
            raise GraphError(f"node '{self.stage.name}': metadata reset is '{reset}'; allowed: {', '.join(RESETS)}")
        values = {key: self.vector(name).astype(np.float64) for key, name in _FIRING.items()}
        return values, {"reset": str(reset), "reset_timing": self._timing(str(reset), values), **self._firing()}

    def _firing(self) -> dict[str, str]:
        """How many spikes, and where: options that are present where they are not the default."""
        self.must_say("spikes")
        given = {}
        for key, default in (("spikes", "single"), ("spike_at", "above"), ("max_spikes", None)):
            recorded = self.metadata.get(key)  # in a file of ours, of what the integers do
            what = f"node '{self.stage.name}': {key}"
            if recorded is not None and str(recorded) not in OPEN[key]:
                raise GraphError(f"{what} in its metadata is '{recorded}'; allowed: {', '.join(OPEN[key])}")
            value = choose(getattr(self.reading, key), None if recorded is None else str(recorded), default, what)
            if value != default:
                given[key] = str(value)
        if given.get("spikes") != "multi":
            given.pop("max_spikes", None)
        return given

    def must_say(self, convention: str) -> None:
        """Refuse where the tool has two conventions, its files do not say which, and nobody chose."""
        if convention in self.reading.ask and getattr(self.reading, convention) is None:
            raise ExportError(f"node '{self.stage.name}': {ASKED[convention]}")

    def _timing(self, reset: str, values: Mapping[str, np.ndarray]) -> str:
        given = self.reading.reset_timing
        if isinstance(self.node, nir.CubaLIF) and self.reading.cuba_reset_timing is not None:
            given = self.reading.cuba_reset_timing
        recorded = self.metadata.get("reset_timing")
        if recorded is not None:  # a file of ours, of what the integers do
            what = f"node '{self.stage.name}': reset_timing"
            if recorded not in OPEN["reset_timing"]:
                allowed = ", ".join(OPEN["reset_timing"])
                raise GraphError(f"{what} in its metadata is '{recorded}'; allowed: {allowed}")
            return str(choose(given, recorded, "same_step", what))
        timing = given or "same_step"
        if reset == "none":
            return "same_step"
        if timing == "carried_over" and reset == "zero" and np.all(values["theta"] >= values["v_reset"]):
            return "same_step"  # after a reset to zero nothing is left above theta
        keeps = self.reading.feed_forward_keeps_input and not self.stage.recurrent and isinstance(self.node, nir.LIF)
        if timing == "next_step" and reset == "zero" and keeps:
            return "same_step"  # old membrane dropped, input kept: the same spikes
        return timing


ASKED = {
    "spikes": "Sinabs sends several spikes per step (MultiSpike, its default) or one (SingleSpike), and the file does "
    "not say which; give --spikes multi or --spikes single",
    "scheme": "Sinabs scales the input by 1 - exp(-1/tau) (norm_input=True, its default) or not, and the file does not "
    "say which; give --scheme exponential (True) or --scheme exponential_unit_gain (False)",
    "synapse_gain": "Norse writes LIFCell, which adds its input undivided, as a CubaLIF with w_in 1, as it would one "
    "that multiplies it by w_in dt/tau_syn; the file does not say which: give --synapse-gain w_in (LIFCell) or "
    "--synapse-gain w_in_dt",
}
"""Convention -> what to say where it must be chosen."""

_FIRING = {"theta": "v_threshold", "v_reset": "v_reset"}


def _linear(neuron: _Neuron) -> Equation:
    """A linear readout without memory is a leaky integrator that keeps nothing."""
    return "li", {"kappa": neuron.zeros(), "gain": np.ones(neuron.size), "leak": neuron.zeros()}, {}


def _threshold(neuron: _Neuron) -> Equation:
    """A Threshold behind synapses is a neuron that keeps nothing: its membrane is its current."""
    theta = neuron.vector("threshold").astype(np.float64)
    values = {"alpha": neuron.zeros(), "theta": theta, "gain": np.ones(neuron.size), "leak": neuron.zeros()}
    return "lif", {**values, "v_reset": neuron.zeros()}, {"reset": "zero", "reset_timing": "same_step"}


def _extension(neuron: _Neuron) -> Equation:
    kind = {"BRF": "brf", "SEAdLIF": "se_adlif", "ALIF": "alif"}[neuron.type]
    where = f"node '{neuron.stage.name}'"
    parameters = {key: neuron.vector(key).astype(np.float64) for key in type(neuron.node)._arrays()}
    try:
        check_parameters(kind, parameters, where)
    except ExportError as error:
        raise GraphError(str(error)) from None
    options = {}
    for key, allowed in OPTIONS[kind].items():
        options[key] = str(getattr(neuron.node, key))
        if options[key] not in allowed:
            raise GraphError(f"{where}: {key} is '{options[key]}'; allowed: {', '.join(allowed)}")
    usual = LEFT_OUT.get(kind, {})
    return kind, parameters, {key: value for key, value in options.items() if usual.get(key) != value}


def _own(neuron: _Neuron) -> Equation:
    node = neuron.node
    if node.kind not in OWN:
        raise GraphError(
            f"node '{neuron.stage.name}': '{node.kind}' is a neuron of someone's own; import its module first "
            "(--with MODULE)"
        )
    expected = OWN[node.kind].real.parameters
    if tuple(node.keys()) != expected or node.values.shape[1] != neuron.size:
        raise GraphError(
            f"node '{neuron.stage.name}': parameters are {node.names} of {node.values.shape[1]} neurons; "
            f"'{node.kind}' has "
            f"{','.join(expected)}, the layer {neuron.size} neurons"
        )
    return node.kind, dict(zip(expected, node.values.astype(np.float64), strict=True)), {}


def _li(neuron: _Neuron) -> Equation:
    decay, gain = neuron.membrane("tau", "r")
    leak = neuron.leak(decay)
    if neuron.stage.integrator is not None:
        values, options = neuron.firing()
        return "lif", {"alpha": decay, "gain": gain, "leak": leak, **values}, options
    return "li", {"kappa": decay, "gain": gain, "leak": leak}, {}


def _i(neuron: _Neuron) -> Equation:
    gain = neuron.integrator_gain()
    if neuron.stage.integrator is not None:
        values, options = neuron.firing()
        return "lif", {"alpha": np.ones(neuron.size), "gain": gain, "leak": neuron.zeros(), **values}, options
    return "li", {"kappa": np.ones(neuron.size), "gain": gain, "leak": neuron.zeros()}, {}


def _if(neuron: _Neuron) -> Equation:
    """IF is a LIF that never forgets."""
    values, options = neuron.firing()
    gain = neuron.integrator_gain()
    return "lif", {"alpha": np.ones(neuron.size), "gain": gain, "leak": neuron.zeros(), **values}, options


def _lif(neuron: _Neuron) -> Equation:
    decay, gain = neuron.membrane("tau", "r")
    values, options = neuron.firing()
    return "lif", {"alpha": decay, "gain": gain, "leak": neuron.leak(decay), **values}, options


def _cuba_lif(neuron: _Neuron) -> Equation:
    decay_syn, gain_syn = neuron.membrane("tau_syn", "w_in", "_syn")
    weight = neuron.vector("w_in").astype(np.float64)
    if np.all(weight == 1):
        neuron.must_say("synapse_gain")
    if neuron.reading.synapse_gain in ("w_in", "w_in_decayed"):
        gain_syn = weight * (decay_syn if neuron.reading.synapse_gain == "w_in_decayed" else 1.0)
    decay, gain = neuron.membrane("tau_mem", "r")
    values, options = neuron.firing()
    parameters = {"alpha_syn": decay_syn, "alpha_mem": decay, "syn_gain": gain_syn, "mem_gain": gain}
    return "cuba_lif", {**parameters, **values, "leak": neuron.leak(decay)}, options


_READERS: Mapping[str, Callable[[_Neuron], Equation]] = {
    "Linear": _linear,
    "Threshold": _threshold,
    "BRF": _extension,
    "SEAdLIF": _extension,
    "ALIF": _extension,
    "OwnNeuron": _own,
    "LI": _li,
    "I": _i,
    "IF": _if,
    "LIF": _lif,
    "CubaLIF": _cuba_lif,
}
