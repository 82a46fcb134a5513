"""The shape in which a trained network enters this package: plain arrays, no framework.

The training side provides ``Network.to_arrays()``, which returns a plain dictionary::

    {"layers": [{"kind": "brf", "weight": ..., "bias": ..., "recurrent_weight": ... or None,
                 "parameters": {"omega": ..., ...}, "options": {"variant": "euler"}}, ...],
     "input_scale": 1.0,                                     # float, a power of two
     "input_format": {"low": 0, "high": 1},                  # integers that the network is fed with
     "decision": {"rule": "per_step", "ignore_first": 0},
     "input_delays": [0, 3, ...]}                            # may be left out: steps that each input channel is late

A layer may have ``mask`` and ``recurrent_mask``, bool and of the shapes of the weights: False where no synapse is. The
weight there is 0.

All values are *effective* ones, as they enter the step (after abs, exp, interpolation), as float64 arrays that hold
the trained numbers without rounding. :func:`network_arrays` checks them and returns a :class:`NetworkArrays`.

Difference equations (``'`` = previous step, ``I = W x + b + R z'``), one per kind:

``brf``
    ``c = (sqrt(1 - (dt omega)^2) - 1)/dt - b_offset - q'``; ``u = u' + dt(c u' - omega v' + I)``;
    ``v = v' + dt(omega u' + c v')``; ``z = (u - theta - q') > 0``; ``q = gamma q' + z``.
    Option ``variant``: ``euler`` or ``exponential`` (``c = -b_offset - q'``,
    ``u + iv = exp(dt(c + i omega))(u' + i v') + dt I``).
``se_adlif``
    ``u = alpha u'(1 - z') + (1 - alpha)(I - w')``; ``z = u > theta``;
    ``w = beta w' + (1 - beta)(a u (1 - z) + b z*) rho``.
    Option ``adaptation_spike``: ``z*`` is ``current`` (z) or ``previous`` (z').
``alif``
    ``a = rho a' + (1 - rho) z'``; ``A = b0 + beta a``; ``u = alpha u' + (1 - alpha) I - A z'``; ``z = u > A``.
``lif``
    ``u = alpha u' + (1 - alpha) I``; ``z = u > theta``; option ``reset``: ``zero`` or ``subtract`` (theta), in the
    same step.
``cuba_lif``
    ``u = alpha_syn u' + syn_gain (W x + R z')``; ``v = alpha_mem v' + mem_gain u + b``; ``z = v > theta``;
    ``v = 0`` where z.
``li``
    ``u = kappa u' + (1 - kappa) I``, the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.errors import ExportError
from hardware.own import OWN
from hardware.populations import MAX_DELAY

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "brf": ("omega", "b_offset", "theta", "gamma", "dt"),
    "se_adlif": ("alpha", "beta", "a", "b", "rho", "theta"),
    "alif": ("alpha", "rho", "beta", "b0"),
    "lif": ("alpha", "theta"),
    "cuba_lif": ("alpha_syn", "alpha_mem", "syn_gain", "mem_gain", "theta"),
    "li": ("kappa",),
}
"""Per-neuron values of each kind, each float64 (N,) or a scalar for all neurons."""

OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "brf": {"variant": ("euler", "exponential")},
    "se_adlif": {"adaptation_spike": ("current", "previous")},
    "alif": {"reset": ("next", "same")},
    "lif": {"reset": ("zero", "subtract")},
    "cuba_lif": {},
    "li": {},
}
"""Named options of each kind; all must be given but those of :data:`LEFT_OUT`."""

LEFT_OUT: Mapping[str, Mapping[str, str]] = {"alif": {"reset": "next"}}
"""Options that are left out where they have this value."""

DECISION_RULES = ("per_step", "sum", "spike_count")
_DECAY_OF_KIND = {
    "brf": ("gamma",),
    "se_adlif": ("alpha", "beta"),
    "alif": ("alpha", "rho"),
    "lif": ("alpha",),
    "cuba_lif": ("alpha_syn", "alpha_mem"),
    "li": ("kappa",),
}


@dataclass(frozen=True)
class LayerArrays:
    """One trained layer.

    Attributes:
        kind: key of :data:`PARAMETERS`.
        weight: float64 (N, n_in), row = postsynaptic neuron.
        bias: float64 (N,).
        recurrent_weight: float64 (N, N), column = presynaptic neuron of the same layer one step earlier, or None.
        parameters: each float64 (N,); names in :data:`PARAMETERS`.
        options: names and values in :data:`OPTIONS`.
        mask, recurrent_mask: bool, of the shapes of the weights, False where no synapse is; None: all are there.
    """

    kind: str
    weight: np.ndarray
    bias: np.ndarray
    recurrent_weight: np.ndarray | None
    parameters: Mapping[str, np.ndarray]
    options: Mapping[str, str] = field(default_factory=dict)
    mask: np.ndarray | None = None
    recurrent_mask: np.ndarray | None = None

    @property
    def size(self) -> int:
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class NetworkArrays:
    """A trained chain of layers, last one the output.

    Attributes:
        layers: layer l reads layer l - 1 at the same step.
        input_scale: factor on the input integers before the first layer, a power of two.
        input_format: (low, high), range of the input integers; (0, 1) for spikes.
        decision: ``{"rule": ..., "ignore_first": ...}``, how a class is read from the outputs.
        input_delays: steps that each input channel is late; empty: none.
    """

    layers: tuple[LayerArrays, ...]
    input_scale: float = 1.0
    input_format: tuple[int, int] = (0, 1)
    decision: Mapping[str, Any] = field(default_factory=lambda: {"rule": "per_step", "ignore_first": 0})
    input_delays: tuple[int, ...] = ()

    def layer_names(self) -> tuple[str, ...]:
        """``hidden0``, ``hidden1``, ..., and ``readout`` for the last layer."""
        return (*(f"hidden{i}" for i in range(len(self.layers) - 1)), "readout")


def network_arrays(source: Any) -> NetworkArrays:
    """Checked arrays of a network.

    Args:
        source: a :class:`NetworkArrays`, a dictionary as in the module's docstring, or an object whose ``to_arrays()``
            returns one of these.

    Raises:
        ExportError: a missing or unknown item, a wrong shape, a value that is not finite or out of range.
    """
    if hasattr(source, "to_arrays"):
        source = source.to_arrays()
    if isinstance(source, NetworkArrays):
        layers = [dict(vars(layer)) for layer in source.layers]
        low, high = source.input_format
        scale, decision, delays = source.input_scale, source.decision, source.input_delays
    elif isinstance(source, Mapping):
        _known_keys(source, ("layers", "input_scale", "input_format", "decision", "input_delays"), "network")
        layers = list(source.get("layers", ()))
        declared = source.get("input_format") or {"low": 0, "high": 1}
        low, high = (declared["low"], declared["high"]) if isinstance(declared, Mapping) else declared
        scale, decision = (
            source.get("input_scale", 1.0),
            source.get("decision") or {"rule": "per_step", "ignore_first": 0},
        )
        delays = tuple(source.get("input_delays") or ())
    else:
        raise ExportError(
            f"cannot export a {type(source).__name__}: it has no to_arrays(); pass a hypr.Network or its arrays"
        )
    if not layers:
        raise ExportError("the network has no layers; a network needs at least one")
    checked, n_in = [], None
    for index, layer in enumerate(layers):
        name = "readout" if index == len(layers) - 1 else f"hidden{index}"
        checked.append(_layer(layer, name, n_in))
        n_in = checked[-1].size
    late = _input_delays(delays, checked[0].weight.shape[1])
    return NetworkArrays(tuple(checked), _input_scale(scale), _input_format(low, high), _decision(decision), late)


def _layer(source: Any, name: str, n_in: int | None) -> LayerArrays:
    if not isinstance(source, Mapping):
        raise ExportError(f"layer {name}: expected a dictionary of arrays, got {type(source).__name__}")
    _known_keys(
        source,
        ("kind", "weight", "bias", "recurrent_weight", "parameters", "options", "name", "mask", "recurrent_mask"),
        f"layer {name}",
    )
    kind = str(source.get("kind"))
    if kind not in PARAMETERS and kind not in OWN:
        raise ExportError(
            f"layer {name}: neuron '{kind}' has no integer step; known kinds are {', '.join([*PARAMETERS, *OWN])}; "
            "give its "
            "class integer_step and quantize (help(hypr.Neuron))"
        )
    weight = finite_array(source.get("weight"), f"layer {name}: weight")
    if weight.ndim != 2 or 0 in weight.shape:
        raise ExportError(f"layer {name}: weight has shape {weight.shape}; expected (neurons, inputs), both at least 1")
    if n_in is not None and weight.shape[1] != n_in:
        raise ExportError(f"layer {name}: weight has {weight.shape[1]} inputs but the layer below has {n_in} neurons")
    n = weight.shape[0]
    bias = source.get("bias")
    bias = np.zeros(n) if bias is None else _per_neuron(bias, n, f"layer {name}: bias")
    recurrent = source.get("recurrent_weight")
    if recurrent is not None:
        recurrent = finite_array(recurrent, f"layer {name}: recurrent_weight")
        if recurrent.shape != (n, n):
            raise ExportError(f"layer {name}: recurrent_weight has shape {recurrent.shape}; expected {(n, n)}")
    given = source.get("parameters", {})
    expected = PARAMETERS[kind] if kind in PARAMETERS else OWN[kind].real.parameters
    _exact_keys(given, expected, f"layer {name}: parameters of '{kind}'")
    parameters = {key: _per_neuron(given[key], n, f"layer {name}: {key}") for key in expected}
    check_parameters(kind, parameters, f"layer {name}")
    options = dict(source.get("options", {}))
    usual = LEFT_OUT.get(kind, {})
    options = {**usual, **options}
    _exact_keys(options, tuple(OPTIONS.get(kind, ())), f"layer {name}: options of '{kind}'")
    for key, allowed in OPTIONS.get(kind, {}).items():
        if options[key] not in allowed:
            raise ExportError(f"layer {name}: option {key} is '{options[key]}'; allowed: {', '.join(allowed)}")
    options = {key: value for key, value in options.items() if usual.get(key) != value}
    masks = [
        _mask(source.get(f"{prefix}mask"), matrix, f"layer {name}: {prefix}mask")
        for prefix, matrix in (("", weight), ("recurrent_", recurrent))
    ]
    return LayerArrays(kind, weight, bias, recurrent, parameters, options, *masks)


def _mask(mask: Any, weight: np.ndarray | None, what: str) -> np.ndarray | None:
    """A mask that fits its weights."""
    if mask is None:
        return None
    array = np.asarray(mask)
    shape = None if weight is None else weight.shape
    if weight is None or array.dtype != np.bool_ or array.shape != shape:
        raise ExportError(
            f"{what} is {array.dtype} of shape {array.shape}; expected bool of the weights' shape, {shape}"
        )
    count = int(np.count_nonzero(weight[~array]))
    if count:
        raise ExportError(f"{what} leaves out {count} synapse(s) whose weight is not 0; set those weights to 0")
    return array


def check_parameters(kind: str, parameters: Mapping[str, np.ndarray], where: str) -> None:
    """Ranges in which the difference equations above are meant: decays in [0, 1], a stable resonator grid,
    non-negative damping.

    Raises:
        ExportError: names the layer, the neuron, the limit and the value.
    """
    for key in _DECAY_OF_KIND.get(kind, ()):
        _in_range(parameters[key], 0.0, 1.0, f"{where}: {key}", "a decay factor lies in [0, 1]")
    if kind == "brf":
        _in_range(parameters["dt"], 1e-12, 1e6, f"{where}: dt", "the integration step must be positive")
        _in_range(parameters["omega"], 0.0, np.inf, f"{where}: omega", "give the effective |omega|")
        _in_range(parameters["b_offset"], 0.0, np.inf, f"{where}: b_offset", "give the effective |b|")
        if np.any(parameters["omega"] * parameters["dt"] > 1.0 + 1e-12):  # a product that rounds up from exactly 1
            i = int(np.argmax(parameters["omega"] * parameters["dt"]))
            value = float(parameters["omega"][i] * parameters["dt"][i])
            raise ExportError(f"{where}: dt*omega of neuron {i} is {value:.6g}, limit 1; lower omega or dt")


def finite_array(value: Any, what: str) -> np.ndarray:
    """float64 copy of `value`; ExportError where it is no array of finite real numbers."""
    if value is None:
        raise ExportError(f"{what} is missing")
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ExportError(f"{what} is not an array of real numbers (got {type(value).__name__})") from None
    bad = ~np.isfinite(array)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ExportError(
            f"{what} is {array[at]} at {list(at)} ({int(bad.sum())} such values); all must be finite: retrain or "
            "repair it"
        )
    return array


def _per_neuron(value: Any, n: int, what: str) -> np.ndarray:
    array = finite_array(value, what)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ExportError(f"{what} has shape {array.shape}; expected ({n},), one value per neuron")
    return array


def _in_range(value: np.ndarray, low: float, high: float, what: str, fix: str) -> None:
    bad = (value < low) | (value > high)
    if bad.any():
        i = int(np.argmax(bad))
        raise ExportError(f"{what} of neuron {i} is {value[i]:.9g}, limit {low:g} to {high:g}; {fix}")


def _input_scale(scale: Any) -> float:
    value = float(finite_array(scale, "input_scale").reshape(()))
    if value <= 0 or np.frexp(value)[0] != 0.5:
        raise ExportError(
            f"input_scale is {value:.9g}; it must be a power of two (such as 1/16), so that folding it into weights "
            "is exact"
        )
    return value


def _input_format(low: Any, high: Any) -> tuple[int, int]:
    if int(low) != low or int(high) != high or not -(2**23) < low <= 0 <= high < 2**23 or low == high:
        raise ExportError(
            f"input range {low} to {high} is not supported; it needs integers low <= 0 <= high of at most 24 bits"
        )
    return int(low), int(high)


def _input_delays(delays: tuple[Any, ...], channels: int) -> tuple[int, ...]:
    if delays and len(delays) != channels:
        raise ExportError(f"there are {len(delays)} input_delays for {channels} input channels; give one for each")
    for index, delay in enumerate(delays):
        if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or not 0 <= delay <= MAX_DELAY:
            raise ExportError(f"input_delays[{index}] is {delay!r}; expected whole steps from 0 to {MAX_DELAY}")
    return tuple(int(delay) for delay in delays)


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    _known_keys(decision, ("rule", "ignore_first"), "decision")
    rule, ignore = decision.get("rule", "per_step"), decision.get("ignore_first", 0)
    if rule not in DECISION_RULES:
        raise ExportError(f"decision rule '{rule}' is unknown; allowed: {', '.join(DECISION_RULES)}")
    if int(ignore) != ignore or ignore < 0:
        raise ExportError(f"decision ignore_first is {ignore}; it must be a whole number of steps, at least 0")
    return {"rule": str(rule), "ignore_first": int(ignore)}


def _known_keys(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ExportError(f"{where}: unknown item '{unknown[0]}'; known are {', '.join(known)}")


def _exact_keys(given: Mapping[str, Any], expected: tuple[str, ...], where: str) -> None:
    _known_keys(given, expected, where)
    missing = [key for key in expected if key not in given]
    if missing:
        raise ExportError(f"{where}: '{missing[0]}' is missing; needed are {', '.join(expected)}")
