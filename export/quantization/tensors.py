"""Real numbers to integers, one tensor or one neuron model at a time: pure functions on NumPy arrays.

Export and the integer forward pass of training call exactly these. Rounding is ``floor(x + 0.5)`` (FP-1.4). `unit` is
the value of one state unit of each neuron, float64 (N,).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.errors import QuantizationError, UnsupportedError
from export.interchange.weights import Weights
from hardware.fixed_point import round_parameter
from hardware.models import MAX_COEFFICIENT_BITS, MAX_SHIFT, STATE_MAX
from hardware.own import OWN

CUBA_SHIFT = 6
"""Lava's LIF shifts synaptic currents left by 6 before it adds them (FP-3.5)."""

CUBA_ONE = 4096

TIMINGS = {"next": "next_step", "carried": "carried_over"}
"""``reset_at`` of FP-3.7 -> ``reset_timing`` of a difference equation, where it is not the same step."""


def weight_limit(bits: int) -> int:
    """Largest mantissa of a symmetric signed weight."""
    return int(2 ** (bits - 1) - 1)


def quantize_weights(weight: np.ndarray, bits: int, exponent: int, unit: np.ndarray) -> np.ndarray:
    """Mantissas ``clip(rnd(w / (unit 2^exponent)), +-(2^(bits-1) - 1))``, int8 (N, n_in) (FP-2.1).

    Args:
        weight: float64 (N, n_in), folded: value added to the state per presynaptic spike (:func:`folded_weights`).
    """
    limit = weight_limit(bits)
    result: np.ndarray = np.clip(_round(weight / (unit[:, None] * 2.0**exponent), "weight"), -limit, limit).astype(
        np.int8
    )
    return result


def input_factor(kind: str, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a neuron multiplies its synaptic sum with on the way to its state, (N,): BRF dt, SE-adLIF and ALIF
    ``1 - alpha``, CubaLIF both gains, LIF and LI their gain.
    """
    if kind == "brf":
        return parameters["dt"]
    if kind in ("se_adlif", "alif"):
        return np.asarray(1.0 - parameters["alpha"])
    if kind in OWN:
        return np.asarray(OWN[kind].real.gain(parameters), np.float64)
    if kind == "cuba_lif":
        return np.asarray(parameters["syn_gain"] * parameters["mem_gain"])
    return parameters["gain"]


def folded_weights(weights: Weights, kind: str, parameters: Mapping[str, np.ndarray], scale: float = 1.0) -> Weights:
    """Weights as they are added to the state per presynaptic integer, with :func:`input_factor` in them.

    Args:
        scale: value of one of the source's integers.
    """
    folded = weights.scaled(input_factor(kind, parameters))
    return folded if scale == 1.0 else folded.scaled(np.full(weights.shape[0], scale))


def folded_bias(kind: str, bias: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Bias as it is added to the state at each step, (N,); of ``cuba_lif`` to the membrane."""
    if kind == "cuba_lif":
        return bias
    result: np.ndarray = bias * input_factor(kind, parameters) + parameters.get("leak", np.zeros(1))
    return result


def state_factor(kind: str, parameters: Mapping[str, np.ndarray], state: str, guard_bits: int) -> np.ndarray | float:
    """What the integer state holds per unit of the real one."""
    if (kind, state) == ("se_adlif", "w"):
        return (1.0 - parameters["alpha"]) * 2.0**guard_bits
    if (kind, state) == ("alif", "a"):
        return parameters["beta"]
    if (kind, state) == ("cuba_lif", "u"):
        return parameters["mem_gain"]
    return 1.0


def synaptic_unit(kind: str, unit: np.ndarray) -> np.ndarray:
    """Value of one unit of the synaptic sum of each neuron."""
    return unit * 2.0**CUBA_SHIFT if kind == "cuba_lif" else unit


def quantize_start(value: np.ndarray, unit: np.ndarray, where: str) -> np.ndarray:
    """Initial state in state units, int32 (N,)."""
    return _integers(value / unit, -STATE_MAX, STATE_MAX, f"{where}: initial state", "lower state_fraction_bits")


def quantize_bias(bias: np.ndarray, unit: np.ndarray, where: str) -> np.ndarray:
    """Folded bias in state units, int32 (N,)."""
    return _integers(bias / unit, -STATE_MAX, STATE_MAX, f"{where}: bias", "lower state_fraction_bits")


def quantize_brf(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """C, S, D, R, TH, J of FP-3.1, each int32 (N,). C is decremented until ``C^2 + S^2 <= 2^2K`` (FP-5.1)."""
    k = shifts["K"]
    one = 2.0**k
    s = np.minimum(parameters["dt"] * parameters["omega"], 1.0)
    rotation = _integers(s * one, 0, int(one), f"{where}: S", "lower omega")
    diagonal = np.sqrt(1.0 - s * s) - parameters["dt"] * parameters["b_offset"]
    stable = np.floor(np.sqrt(4.0**k - rotation.astype(np.float64) ** 2))  # exact: below 2^32, squares below 2^53
    c = _integers(diagonal * one, 0, int(one), f"{where}: C", "damping b_offset or omega is too large for its dt")
    return {
        "C": np.minimum(np.minimum(c, int(one) - 1), stable).astype(np.int32),
        "S": rotation,
        "D": _integers(
            parameters["dt"] * unit * 2.0 ** (k + shifts["Kd"]),
            0,
            2**MAX_COEFFICIENT_BITS,
            f"{where}: D",
            "raise state_fraction_bits",
        ),
        "R": _integers(
            parameters["gamma"] * 2.0 ** shifts["KR"], 0, 2**MAX_COEFFICIENT_BITS, f"{where}: R", "gamma lies in [0, 1]"
        ),
        "TH": _threshold(parameters["theta"], unit, f"{where}: threshold"),
        "J": _threshold(np.ones_like(unit), unit, f"{where}: refractory increment"),
    }


def quantize_se_adlif(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """A, Be, At, Bt, TH of FP-3.2; the integer w holds ``(1 - alpha) w`` with g guard bits."""
    p, guard = parameters, 2.0 ** shifts["g"]
    for key in ("a", "b", "rho"):
        _not_negative(p[key], f"{where}: {key}")
    drive = (1.0 - p["alpha"]) * (1.0 - p["beta"]) * p["rho"]
    return {
        "A": _decay(p["alpha"], shifts["K"], f"{where}: alpha"),
        "Be": _decay(p["beta"], shifts["K"], f"{where}: beta"),
        "At": _integers(
            drive * p["a"] * guard * 2.0 ** shifts["Ka"],
            0,
            2**MAX_COEFFICIENT_BITS,
            f"{where}: At",
            "lower guard_bits or the coupling a",
        ),
        "Bt": _integers(
            drive * p["b"] * guard / unit, 0, STATE_MAX, f"{where}: Bt", "lower state_fraction_bits or guard_bits"
        ),
        "TH": _threshold(p["theta"], unit, f"{where}: threshold"),
    }


def quantize_alif(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """A, Rho, Ja, B0 of FP-3.3; the integer a holds ``beta a``."""
    p = parameters
    _not_negative(p["beta"], f"{where}: beta")
    jump = p["beta"] * (1.0 - p["rho"]) / unit
    return {
        "A": _decay(p["alpha"], shifts["K"], f"{where}: alpha"),
        "Rho": _decay(p["rho"], shifts["K"], f"{where}: rho"),
        "Ja": _integers(jump, 0, STATE_MAX, f"{where}: Ja", "lower state_fraction_bits"),
        "B0": _threshold(p["b0"], unit, f"{where}: b0"),
    }


def quantize_lif(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """A, TH of FP-3.4."""
    if np.any(parameters["v_reset"] != 0):
        i = int(np.argmax(parameters["v_reset"] != 0))
        raise UnsupportedError(
            f"{where}: v_reset of neuron {i} is {parameters['v_reset'][i]:.6g}; integers reset to 0 only (FP-3.4): "
            "run it in float (--float-only)"
        )
    return {
        "A": _decay(parameters["alpha"], shifts["K"], f"{where}: alpha"),
        "TH": _threshold(parameters["theta"], unit, f"{where}: threshold"),
    }


def quantize_cuba_lif(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """du, dv, vth of FP-3.5; the integer u holds ``mem_gain u``, both states in units of `unit`, synapses and
    threshold in ``2^6 unit``."""
    if np.any(parameters["v_reset"] != 0):
        i = int(np.argmax(parameters["v_reset"] != 0))
        raise UnsupportedError(
            f"{where}: v_reset of neuron {i} is {parameters['v_reset'][i]:.6g}; Lava's LIF resets to 0 only (FP-3.5): "
            "run it in float (--float-only)"
        )
    theta = parameters["theta"] / (unit * 2.0**CUBA_SHIFT)
    return {
        "du": _integers(
            CUBA_ONE - 1 - np.floor(parameters["alpha_syn"] * CUBA_ONE + 0.5),
            -1,
            CUBA_ONE - 1,
            f"{where}: alpha_syn",
            "a decay lies in [0, 1]",
        ),
        "dv": _integers(
            CUBA_ONE - np.floor(parameters["alpha_mem"] * CUBA_ONE + 0.5),
            0,
            CUBA_ONE,
            f"{where}: alpha_mem",
            "a decay lies in [0, 1]",
        ),
        "vth": _integers(
            theta,
            0,
            2**17 - 1,
            f"{where}: threshold mantissa",
            "a threshold must not be negative; or lower state_fraction_bits",
        ),
    }


def quantize_li(
    parameters: Mapping[str, np.ndarray], unit: np.ndarray, shifts: Mapping[str, int], bits: int, where: str = "layer"
) -> dict[str, np.ndarray]:
    """A of FP-3.6."""
    return {"A": _decay(parameters["kappa"], shifts["K"], f"{where}: kappa")}


QUANTIZE = {
    "brf": quantize_brf,
    "se_adlif": quantize_se_adlif,
    "alif": quantize_alif,
    "lif": quantize_lif,
    "cuba_lif": quantize_cuba_lif,
    "li": quantize_li,
}
"""kind -> coefficients: ``(parameters, unit, shifts, coefficient_bits, where) -> {name: int32 (N,)}``."""


def coefficients(
    kind: str,
    parameters: Mapping[str, np.ndarray],
    unit: np.ndarray,
    shifts: Mapping[str, int],
    bits: int,
    where: str = "layer",
) -> dict[str, np.ndarray]:
    """Integer coefficients of a kind, int32 (N,) each; also of a neuron of someone's own."""
    if kind not in OWN:
        return QUANTIZE[kind](parameters, unit, shifts, bits, where)
    found = OWN[kind].real.quantize(parameters, unit, shifts)
    specs = OWN[kind].spec.parameters
    if set(found) != set(specs):
        raise QuantizationError(
            f"{where}: quantize of '{kind}' returned {', '.join(found) or 'nothing'}; its integer_parameters are "
            f"{', '.join(specs)}"
        )
    limit = {name: 2**bits if spec.high is None else spec.high for name, spec in specs.items()}
    return {
        name: _integers(np.asarray(found[name], np.float64), spec.low, limit[name], f"{where}: {name}", spec.meaning)
        for name, spec in specs.items()
    }


def spike_increment(kind: str, parameters: Mapping[str, np.ndarray], guard_bits: int) -> float:
    """Largest amount that one spike adds to an adaptation state (J, Bt, Ja), in units of the first state."""
    p = parameters
    if kind == "brf":
        return 1.0
    if kind == "se_adlif":
        return float(np.max((1.0 - p["alpha"]) * (1.0 - p["beta"]) * p["rho"] * p["b"])) * 2.0**guard_bits
    return float(np.max(p["beta"] * (1.0 - p["rho"]))) if kind == "alif" else 0.0


def coefficient_shifts(
    kind: str, parameters: Mapping[str, np.ndarray], unit: np.ndarray, bits: int, guard_bits: int, where: str = "layer"
) -> dict[str, int]:
    """Shifts with which the coefficients of a layer fill `bits` bits."""
    if kind in OWN:
        return dict.fromkeys(OWN[kind].spec.shifts, bits)
    if kind == "cuba_lif":
        return {}
    if kind == "brf":
        return {"K": bits, "Kd": _filling_shift(parameters["dt"] * unit * 2.0**bits, bits, f"{where}: D"), "KR": bits}
    if kind == "se_adlif":
        drive = (
            (1.0 - parameters["alpha"])
            * (1.0 - parameters["beta"])
            * parameters["rho"]
            * parameters["a"]
            * 2.0**guard_bits
        )
        return {"K": bits, "Ka": _filling_shift(drive, bits, f"{where}: At"), "g": guard_bits}
    return {"K": bits}


def _filling_shift(value: np.ndarray, bits: int, what: str) -> int:
    """Largest shift at which ``rnd(value 2^shift)`` still has at most `bits` bits."""
    largest = float(np.max(value))
    if largest <= 0:
        return 0
    shift = int(np.floor(np.log2((2.0**bits - 0.75) / largest)))
    if shift < 0:
        raise QuantizationError(
            f"{what} is {largest:.6g}, which needs more than {bits} bits; raise coefficient_bits or state_fraction_bits"
        )
    return min(shift, MAX_SHIFT)


def _not_negative(value: np.ndarray, what: str) -> None:
    if np.any(value < 0):
        i = int(np.argmax(value < 0))
        raise UnsupportedError(
            f"{what} of neuron {i} is {float(value[i]):.6g}; integer coefficients are not negative: clip it in training"
        )


def _decay(value: np.ndarray, k: int, what: str) -> np.ndarray:
    return _integers(value * 2.0**k, 0, 2**k, what, "a decay factor lies in [0, 1]")


def _threshold(value: np.ndarray, unit: np.ndarray, what: str) -> np.ndarray:
    return _integers(
        value / unit, 0, STATE_MAX, what, "it must not be negative and must fit 24 bits: lower state_fraction_bits"
    )


def _round(value: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(value).all():
        at = [int(i) for i in np.argwhere(~np.isfinite(value))[0]]
        raise QuantizationError(f"{what} is not finite at {at}; retrain or repair the network")
    return round_parameter(np.clip(value, -(2.0**51), 2.0**51))


def _integers(value: np.ndarray, low: int, high: int, what: str, fix: str) -> np.ndarray:
    """int32 of ``rnd(value)``; QuantizationError names the first neuron out of range."""
    rounded = _round(value, what)
    bad = (rounded < low) | (rounded > high)
    if bad.any():
        i = int(np.argmax(bad))
        raise QuantizationError(
            f"{what} of neuron {i} is {float(value[i]):.6g} in integer units, limit {low} to {high}; {fix}"
        )
    return rounded.astype(np.int32)
