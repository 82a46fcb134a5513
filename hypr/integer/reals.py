"""The reals that a layer's integers stand for, in the parametrisation of the float neuron (its own dt, rho, gains).

``export.dequantize`` gives the difference equation of the integers with those constants folded in; here they are
taken out again, so that the
float neuron's Jacobians can be evaluated on integer states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.calibration import state_factor
from export.formats import LayerFormat
from export.steps import StepLayer
from hardware.models import MODELS
from hypr.neurons import Neuron

Values = Mapping[str, np.ndarray]

_FOLDED: Mapping[str, Callable[[Values], np.ndarray]] = {
    "brf": lambda p: p["dt"],
    "se_adlif": lambda p: 1.0 - p["alpha"],
    "alif": lambda p: 1.0 - p["alpha"],
    "lif": lambda p: 1.0 - p["alpha"],
    "cuba_lif": lambda p: p["syn_gain"] * p["mem_gain"],
    "li": lambda p: 1.0 - p["kappa"],
}
"""What the float neuron multiplies its current with before it reaches a state."""


@dataclass(frozen=True)
class LayerReals:
    """One layer; all arrays float64.

    Attributes:
        weight: (N, n_in). recurrent_weight: (N, N) or None. bias: (N,).
        effective: values for ``layer.effective()``, (N,) each.
        units: (d, N), value of one unit of each state, in the order of ``layer.state_names``.
    """

    weight: np.ndarray
    recurrent_weight: np.ndarray | None
    bias: np.ndarray
    effective: dict[str, np.ndarray]
    units: np.ndarray


def layer_reals(layer: Neuron, real: StepLayer, form: LayerFormat) -> LayerReals:
    """Reals of one layer.

    Args:
        layer: the float neuron layer.
        real: difference equation of its integers (``export.dequantize.dequantize_layer``).
        form: the integer format.
    """
    own = dict(real.parameters) | {name: np.full(real.size, value) for name, value in layer.constants().items()}
    folded = real.parameters.get("gain", None)
    scale = (_FOLDED[real.kind](real.parameters) if folded is None else folded) / _FOLDED[real.kind](own)
    bias = real.bias if real.kind == "cuba_lif" else real.bias * scale
    return LayerReals(
        weight=real.weight * scale[:, None],
        recurrent_weight=None if real.recurrent_weight is None else real.recurrent_weight * scale[:, None],
        bias=bias,
        effective=_effective(real, own) | ({} if layer.bias_in_current else {"bias": bias}),
        units=np.stack([form.unit / _factor(real, own, name, form) for name in layer.state_names]),
    )


def _effective(real: StepLayer, own: Values) -> dict[str, np.ndarray]:
    p = dict(real.parameters)
    if real.kind == "brf":
        step = p["dt"] / own["dt"]
        return {"omega": p["omega"] * step, "b_offset": p["b_offset"] * step}
    if real.kind == "se_adlif":
        rho = p["rho"] / own["rho"]
        return {"alpha": p["alpha"], "beta": p["beta"], "a": p["a"] * rho, "b": p["b"] * rho}
    return {name: p[name] for name in ("alpha", "rho", "kappa", "alpha_syn", "alpha_mem") if name in p}


def _factor(real: StepLayer, own: Values, state: str, form: LayerFormat) -> np.ndarray | float:
    assert state in MODELS[real.kind].states
    guard = int(form.shifts.get("g", 0))
    layer = StepLayer(real.name, real.kind, real.weight, real.recurrent_weight, real.bias, own, real.options)
    return state_factor(layer, state, guard)
