"""NIR graph -> difference equations: continuous-time nodes become one step per dt, with the conventions that NIR
leaves open made explicit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError, UnsupportedError
from export.interchange.source import DECISION_RULES, OPTIONS, check_parameters
from export.interchange.steps import StepLayer, StepNetwork
from export.interchange.time_constants import SCHEMES, decay_and_gain
from export.interchange.topology import Stage, chain_of


@dataclass(frozen=True)
class Reading:
    """How to read what a NIR file does not say. None: from the file's metadata, else the default given here.

    Attributes:
        dt: seconds per step; else inferred where every node has the same tau/r (a gain of one), else an error.
        scheme: ``euler`` (default: ``1 - dt/tau``, gain ``r dt/tau``), ``exponential`` (``exp(-dt/tau)``, gain ``r (1
            - exp(-dt/tau))``) or ``exponential_unit_gain`` (gain 1).
        reset: ``zero`` (default: NIR's v_reset) or ``subtract`` (theta).
        reset_timing: ``same_step`` (default); ``next_step``: the spike of the previous step resets, after decay and
            input; ``carried_over``: as same_step, but a membrane that is still above theta loses another theta before
            the next spike is tested.
        feed_forward_keeps_input: with a ``zero`` reset at the next step, a LIF without recurrence loses its old
            membrane but keeps the new input.
        recurrent_bias_at_start: whether the bias of recurrent synapses acts at the first step already (default True).
        input_format: (low, high) of the input integers, default (0, 1).
        decision: rule; default ``sum`` of a leaky integrator, ``spike_count`` of a spiking output.
    """

    dt: float | None = None
    scheme: str | None = None
    reset: str | None = None
    reset_timing: str | None = None
    feed_forward_keeps_input: bool = False
    recurrent_bias_at_start: bool | None = None
    input_format: tuple[int, int] | None = None
    decision: str | None = None

    def __post_init__(self) -> None:
        allowed = {
            "scheme": SCHEMES,
            "reset": ("zero", "subtract"),
            "reset_timing": ("same_step", "next_step", "carried_over"),
            "decision": DECISION_RULES,
        }
        for key, values in allowed.items():
            if getattr(self, key) is not None and getattr(self, key) not in values:
                raise ExportError(f"{key} is '{getattr(self, key)}'; allowed: {', '.join(values)}")
        if self.dt is not None and not (np.isfinite(self.dt) and self.dt > 0):
            raise ExportError(f"dt is {self.dt}; it must be a positive number of seconds")


def discretise(graph: nir.NIRGraph, reading: Reading | None = None) -> StepNetwork:
    """Difference equations of a graph.

    Args:
        graph: from :func:`export.interchange.graph.to_nir`, :func:`export.interchange.graph.read` or another tool.
        reading: conventions; what contradicts the graph's own metadata is an error.

    Raises:
        GraphError: damaged or contradictory values. UnsupportedError: what has no exact form here, with the reason.
    """
    reading = reading or Reading()
    chain = chain_of(graph)
    metadata = dict(graph.metadata or {})
    scheme = _choose(reading.scheme, metadata.get("scheme"), "euler", "scheme")
    if scheme not in SCHEMES:
        raise GraphError(f"metadata scheme is {scheme!r}; allowed: {', '.join(SCHEMES)}")
    dt = _time_step(reading.dt, metadata.get("dt"), [s.node for s in chain.stages])
    names = _layer_names([stage.name for stage in chain.stages])
    layers = tuple(_layer(stage, name, dt, scheme, reading) for stage, name in zip(chain.stages, names, strict=True))
    for name, layer in zip(names[:-1], layers[:-1], strict=True):
        if not layer.spiking:
            raise UnsupportedError(
                f"node '{name}' does not spike but feeds another layer; only the last layer may be a leaky integrator"
            )
    return StepNetwork(
        layers, dt, chain.input_scale, _input_format(reading, metadata), _decision(reading, metadata, layers[-1])
    )


def _choose(given: Any, recorded: Any, default: Any, what: str) -> Any:
    if given is not None and recorded is not None and given != recorded:
        raise ExportError(f"{what} '{given}' contradicts '{recorded}' in the file's metadata; drop the option")
    return given if given is not None else recorded if recorded is not None else default


def _time_step(given: float | None, recorded: Any, nodes: list[nir.NIRNode | None]) -> float | None:
    if recorded is not None:
        try:
            recorded = float(recorded)
        except (TypeError, ValueError):
            raise GraphError(f"metadata dt is {recorded!r}; it must be a number of seconds") from None
        if not (np.isfinite(recorded) and recorded > 0):
            raise GraphError(f"metadata dt is {recorded}; it must be a positive number of seconds")
    dt = _choose(given, recorded, None, "dt")
    if dt is not None:
        return float(dt)
    ratios = [_gain_one_step(node) for node in nodes if isinstance(node, (nir.LIF, nir.LI, nir.CubaLIF))]
    if not ratios:
        return None
    steps = np.concatenate(ratios)
    if steps.max() > steps.min() * (1 + 1e-4) or not np.isfinite(steps).all():
        raise ExportError(
            "the file does not say its time step and tau/r differs between neurons; give the seconds per step (--dt)"
        )
    step = float(np.median(steps))
    step = float(f"{step:.5g}")  # tau and r were rounded to float32 by their writer
    slowest = max(
        float(np.max(node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau))
        for node in nodes
        if isinstance(node, (nir.LIF, nir.LI, nir.CubaLIF))
    )
    if step >= slowest * (1 - 1e-4):
        raise ExportError(
            "the file does not say its time step and r = 1 does not tell it; give the seconds per step (--dt)"
        )
    return step


def _gain_one_step(node: nir.NIRNode) -> np.ndarray:
    """The dt at which the input gain of each neuron is one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(node, nir.CubaLIF):
            syn = np.asarray(node.tau_syn, np.float64) / np.asarray(node.w_in, np.float64)
            return np.concatenate(
                [np.ravel(syn), np.ravel(np.asarray(node.tau_mem, np.float64) / np.asarray(node.r, np.float64))]
            )
        return np.ravel(np.asarray(node.tau, np.float64) / np.asarray(node.r, np.float64))


def _layer_names(names: list[str]) -> list[str]:
    """Names that a Program accepts: letters, digits, ``_ . -``; made unique."""
    result: list[str] = []
    for name in names:
        clean = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:56] or "layer"
        while clean in result:
            clean += "_"
        result.append(clean)
    return result


def _input_format(reading: Reading, metadata: dict[str, Any]) -> tuple[int, int]:
    recorded = None
    if "input_low" in metadata and "input_high" in metadata:
        try:
            recorded = (int(metadata["input_low"]), int(metadata["input_high"]))
        except (TypeError, ValueError):
            raise GraphError(
                f"metadata input_low/input_high are {metadata['input_low']!r}/{metadata['input_high']!r}; they must "
                "be integers"
            ) from None
    low, high = _choose(reading.input_format, recorded, (0, 1), "input range")
    if not -(2**23) < low <= 0 <= high < 2**23 or low == high:
        raise GraphError(
            f"input range {low} to {high} is not supported; it needs integers low <= 0 <= high of at most 24 bits"
        )
    return int(low), int(high)


def _decision(reading: Reading, metadata: dict[str, Any], last: StepLayer) -> dict[str, Any]:
    default = "spike_count" if last.spiking else "sum"
    rule = _choose(reading.decision, metadata.get("decision_rule"), default, "decision rule")
    try:
        ignore = int(metadata.get("decision_ignore_first", 0))
    except (TypeError, ValueError):
        raise GraphError(
            f"metadata decision_ignore_first is {metadata['decision_ignore_first']!r}; it must be a number of steps"
        ) from None
    if rule not in DECISION_RULES or ignore < 0:
        raise GraphError(
            f"metadata decision '{rule}' with {ignore} ignored steps is unknown; rules are {', '.join(DECISION_RULES)}"
        )
    return {"rule": str(rule), "ignore_first": ignore}


def _layer(stage: Stage, name: str, dt: float | None, scheme: str, reading: Reading) -> StepLayer:
    n = stage.forward.weight.shape[0]
    kind = type(stage.node).__name__
    read = {
        "NoneType": _read_linear,
        "BRF": _read_extension,
        "SEAdLIF": _read_extension,
        "ALIF": _read_extension,
        "LIF": _read_lif,
        "LI": _read_li,
        "IF": _read_if,
        "I": _read_i,
        "CubaLIF": _read_cuba_lif,
    }.get(kind)
    if read is None:
        raise UnsupportedError(
            f"node '{stage.name}' is a {kind}: it has no form in the integer contract; use LIF, IF, CubaLIF, LI or I"
        )
    step_kind, parameters, options = read(stage, n, dt, scheme, reading)
    bias = stage.forward.bias
    recurrent = None
    if stage.recurrent is not None:
        recurrent = stage.recurrent.weight
        at_start = reading.recurrent_bias_at_start is not False
        if stage.recurrent.bias.any() and not at_start:
            parameters["recurrent_bias"] = stage.recurrent.bias  # absent at the first step
        else:
            bias = bias + stage.recurrent.bias
    if step_kind == "cuba_lif":
        parameters["b_syn"], bias = bias, parameters.pop("leak")
    return StepLayer(name, step_kind, stage.forward.weight, recurrent, bias, parameters, options)


def _vector(stage: Stage, key: str, n: int) -> np.ndarray:
    value = np.asarray(getattr(stage.node, key))
    if value.size not in (1, n):
        raise GraphError(f"node '{stage.name}': {key} has shape {value.shape}; expected {n} values")
    if value.dtype.kind != "f":
        value = value.astype(np.float64)
    return np.broadcast_to(value.reshape(-1), (n,))


def _read_linear(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    """A linear readout without memory is a leaky integrator that keeps nothing."""
    return "li", {"kappa": np.zeros(n), "gain": np.ones(n), "leak": np.zeros(n)}, {}


def _read_extension(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    kind = {"BRF": "brf", "SEAdLIF": "se_adlif", "ALIF": "alif"}[type(stage.node).__name__]
    keys = type(stage.node)._arrays()  # type: ignore[union-attr]
    parameters = {key: _vector(stage, key, n).astype(np.float64) for key in keys}
    try:
        check_parameters(kind, parameters, f"node '{stage.name}'")
    except ExportError as error:
        raise GraphError(str(error)) from None
    options = {}
    for key, allowed in OPTIONS[kind].items():
        options[key] = str(getattr(stage.node, key))
        if options[key] not in allowed:
            raise GraphError(f"node '{stage.name}': {key} is '{options[key]}'; allowed: {', '.join(allowed)}")
    return kind, parameters, options


def _need_dt(stage: Stage, dt: float | None) -> float:
    if dt is None:
        raise ExportError(
            f"node '{stage.name}' needs the time step, which the file does not say; give the seconds per step (--dt)"
        )
    return dt


def _membrane(
    stage: Stage, n: int, dt: float, scheme: str, tau_key: str, r_key: str, suffix: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Decay and gain; the exact numbers in the node's metadata where they agree with tau and r to rounding."""
    tau, r = _vector(stage, tau_key, n), _vector(stage, r_key, n)
    decay, gain = decay_and_gain(tau, r, dt, scheme, f"node '{stage.name}'")
    # a float32 tau fixes the decay to a few float32 roundings, a float64 one to a few float64 ones
    slack = 8 * max(float(np.finfo(tau.dtype).eps), float(np.finfo(r.dtype).eps))
    exact_decay = _recorded(stage, f"decay{suffix}", decay, slack)
    exact_gain = _recorded(
        stage, f"gain{suffix}", gain, slack * np.maximum(np.abs(gain) / np.maximum(1.0 - decay, slack), 1.0)
    )
    return exact_decay, exact_gain


def _leak(stage: Stage, n: int, decay: np.ndarray) -> np.ndarray:
    """What v_leak adds to the membrane at each step."""
    v_leak = _vector(stage, "v_leak", n)
    leak = (1.0 - decay) * v_leak.astype(np.float64)
    return _recorded(stage, "leak", leak, 8 * float(np.finfo(v_leak.dtype).eps) * np.abs(leak))


def _recorded(stage: Stage, key: str, derived: np.ndarray, slack: np.ndarray | float) -> np.ndarray:
    value = (getattr(stage.node, "metadata", None) or {}).get(key)
    if value is None:
        return derived
    try:
        recorded = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise GraphError(f"node '{stage.name}': metadata {key} is not a list of numbers; remove it") from None
    agrees = recorded.shape == derived.shape and bool(np.all(np.abs(recorded - derived) <= slack))
    if not agrees:
        raise GraphError(
            f"node '{stage.name}': metadata {key} contradicts its time constants; the file was edited: remove that "
            "metadata"
        )
    return recorded


def _read_li(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    decay, gain = _membrane(stage, n, _need_dt(stage, dt), scheme, "tau", "r")
    leak = _leak(stage, n, decay)
    return "li", {"kappa": decay, "gain": gain, "leak": leak}, {}


def _resetting(stage: Stage, n: int, reading: Reading) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    recorded = (getattr(stage.node, "metadata", None) or {}).get("reset")
    reset = _choose(reading.reset, recorded, "zero", f"node '{stage.name}': reset")
    if reset not in ("zero", "subtract"):
        raise GraphError(f"node '{stage.name}': metadata reset is '{reset}'; allowed: zero, subtract")
    values = {
        "theta": _vector(stage, "v_threshold", n).astype(np.float64),
        "v_reset": _vector(stage, "v_reset", n).astype(np.float64),
    }
    timing = reading.reset_timing or "same_step"
    late_zero = timing == "next_step" and reset == "zero"
    if timing == "carried_over" and reset == "zero" and np.all(values["theta"] >= values["v_reset"]):
        timing = "same_step"  # after a reset to zero nothing is left above theta
    if late_zero and reading.feed_forward_keeps_input and stage.recurrent is None and isinstance(stage.node, nir.LIF):
        timing = "same_step"  # old membrane dropped, input kept: the same spikes
    return values, {"reset": str(reset), "reset_timing": timing}


def _read_if(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    """IF is a LIF that never forgets."""
    values, options = _resetting(stage, n, reading)
    parameters = {"alpha": np.ones(n), "theta": values["theta"], "gain": _integrator_gain(stage, n, dt)}
    return "lif", {**parameters, "leak": np.zeros(n), "v_reset": values["v_reset"]}, options


def _read_i(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    return "li", {"kappa": np.ones(n), "gain": _integrator_gain(stage, n, dt), "leak": np.zeros(n)}, {}


def _integrator_gain(stage: Stage, n: int, dt: float | None) -> np.ndarray:
    """``r dt``; within rounding of 1 (r chosen as 1/dt) it is 1."""
    r = _vector(stage, "r", n)
    gain = r.astype(np.float64) * _need_dt(stage, dt)
    return np.where(np.abs(gain - 1.0) <= 4 * float(np.finfo(r.dtype).eps), 1.0, gain)


def _read_lif(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    decay, gain = _membrane(stage, n, _need_dt(stage, dt), scheme, "tau", "r")
    values, options = _resetting(stage, n, reading)
    leak = _leak(stage, n, decay)
    return (
        "lif",
        {"alpha": decay, "theta": values["theta"], "gain": gain, "leak": leak, "v_reset": values["v_reset"]},
        options,
    )


def _read_cuba_lif(
    stage: Stage, n: int, dt: float | None, scheme: str, reading: Reading
) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    step = _need_dt(stage, dt)
    decay_syn, gain_syn = _membrane(stage, n, step, scheme, "tau_syn", "w_in", "_syn")
    decay, gain = _membrane(stage, n, step, scheme, "tau_mem", "r")
    values, options = _resetting(stage, n, reading)
    leak = _leak(stage, n, decay)
    parameters = {
        "alpha_syn": decay_syn,
        "alpha_mem": decay,
        "syn_gain": gain_syn,
        "mem_gain": gain,
        "theta": values["theta"],
    }
    return "cuba_lif", {**parameters, "v_reset": values["v_reset"], "leak": leak}, options
