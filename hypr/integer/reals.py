"""The reals that a layer's integers stand for, in the parametrisation of the float neuron (its own dt, rho, gains).

``export.quantization.dequantize`` gives the difference equation of the integers with those constants folded in; here
they are taken out again, so that the float neuron's Jacobians can be evaluated on integer states.

Two constants cannot be taken over, because the float neuron has none of its own for them: the decay of BRF's q (its
gamma is not rounded), and the jump of ALIF's threshold (there ``beta (1 - rho)`` with the rounded rho, off by up to
``2^-(coefficient_bits + 1) / (1 - rho)`` of itself: 1 % at 12 bits and a time constant of 100 steps). They enter the
Jacobians alone; states and spikes are those of the integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from export.interchange.steps import StepLayer, StepNetwork
from export.interchange.weights import matrix_of
from export.quantization.formats import LayerFormat
from export.quantization.tensors import input_factor, state_factor
from hardware.own import OWN
from hypr.neurons import Neuron


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


def chain_layers(steps: StepNetwork) -> list[StepLayer]:
    """The layers of a network in training, out of the graph that its integers stand for: what several projections
    bring, each with its delay or for some of the synapses, in one matrix.
    """
    layers = []
    for item in steps.populations:
        sums: dict[bool, np.ndarray] = {}
        for projection in steps.into(item.name):
            own, matrix = projection.source == item.name, matrix_of(projection.weights)
            sums[own] = sums[own] + matrix if own in sums else matrix
        layers.append(
            StepLayer(item.name, item.kind, sums[False], sums.get(True), item.bias, item.parameters, item.options)
        )
    return layers


def layer_reals(layer: Neuron, real: StepLayer, form: LayerFormat) -> LayerReals:
    """Reals of one layer.

    Args:
        layer: the float neuron layer.
        real: difference equation of its integers (:func:`chain_layers`).
        form: the integer format.
    """
    own = _own(layer, real)
    scale = input_factor(real.kind, real.parameters) / input_factor(own.kind, own.parameters)
    bias = real.bias if real.kind == "cuba_lif" else real.bias * scale
    return LayerReals(
        weight=real.weight * scale[:, None],
        recurrent_weight=None if real.recurrent_weight is None else real.recurrent_weight * scale[:, None],
        bias=bias,
        effective=_effective(real, own) | ({} if layer.bias_in_current else {"bias": bias}),
        units=np.stack([_unit(own, name, form) for name in layer.state_names]),
    )


def _own(layer: Neuron, real: StepLayer) -> StepLayer:
    """The float neuron's own constants beside the trained values that the integers stand for."""
    values = dict(real.parameters) | {name: np.full(real.size, value) for name, value in layer.constants().items()}
    if "gain" in values:  # of LIF and LI
        values["gain"] = 1.0 - values["alpha" if real.kind == "lif" else "kappa"]
    return replace(real, parameters=values)


def _effective(real: StepLayer, own: StepLayer) -> dict[str, np.ndarray]:
    p, q = real.parameters, own.parameters
    if real.kind == "brf":
        step = p["dt"] / q["dt"]
        return {"omega": p["omega"] * step, "b_offset": p["b_offset"] * step}
    if real.kind == "se_adlif":
        rho = p["rho"] / q["rho"]
        return {"alpha": p["alpha"], "beta": p["beta"], "a": p["a"] * rho, "b": p["b"] * rho}
    if real.kind in OWN:
        return dict(p)
    return {name: p[name] for name in ("alpha", "rho", "kappa", "alpha_syn", "alpha_mem") if name in p}


def _unit(own: StepLayer, state: str, form: LayerFormat) -> np.ndarray:
    """Value of one unit of a state, (N,)."""
    factor = np.broadcast_to(
        state_factor(own.kind, own.parameters, state, int(form.shifts.get("g", 0))), form.unit.shape
    )
    # A threshold that does not move (ALIF, beta 0) has no adaptation in integers: all of them are 0.
    return form.unit / np.where(factor == 0, 1.0, factor)
