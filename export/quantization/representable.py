"""Difference equations in a form that the integer contract has: exact rewriting (initial states carry what a first step
does not hear), or a refusal with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.errors import UnsupportedError
from export.interchange.compose import add, compact
from export.interchange.steps import StepNetwork, StepPopulation, StepProjection, named
from export.interchange.weights import ConvolutionWeights, DenseWeights, SparseWeights, Weights, diagonal
from export.quantization.formats import QuantizationSettings
from export.quantization.tensors import input_factor
from hardware.populations import MAX_DELAY


def representable(network: StepNetwork, settings: QuantizationSettings) -> StepNetwork:
    """The same network with every population in a form that has a clause.

    Raises:
        UnsupportedError: names layer or projection, and the reason.
    """
    for projection in network.projections:
        if projection.delay > MAX_DELAY:
            raise UnsupportedError(
                f"projection {projection.name}: a delay of {projection.delay} steps; integers have at most {MAX_DELAY} "
                "(FP-2.3): take a longer dt"
            )
    populations, more = [], {}
    for population in network.populations:
        _check_clauses(population)
        timing = population.options.get("reset_timing", "same_step")
        if (population.kind, timing, population.options.get("reset")) == ("lif", "next_step", "subtract"):
            population, more[population.name] = _reset_in_same_step(population)
        if population.kind in ("lif", "cuba_lif"):
            population = _reset_to_zero(population)
        if population.kind == "cuba_lif":
            population = _membrane_bias(population, settings)
        elif population.late_bias:
            population = _bias_from_the_start(population)
        populations.append(population)
    changed = replace(network, populations=tuple(populations))
    projections = _with_self_connections(changed, more) if more else changed.projections
    return replace(changed, projections=_folding_convolutions(replace(changed, projections=projections)))


_LATE = {"lif": ("u", "alpha", "gain"), "li": ("u", "kappa", "gain"), "cuba_lif": ("u", "alpha_syn", "syn_gain")}
"""kind -> the state that hears the current, its decay and its gain."""


def _check_clauses(population: StepPopulation) -> None:
    where, options = f"layer {population.name}", population.options
    if options.get("variant") == "exponential":
        raise UnsupportedError(
            f"{where}: the exponential BRF has no integer form: its decay exp(-dt q) depends on a state, and the "
            "specification has no clause "
            "for that exponential; train with variant='euler'"
        )
    if population.kind == "alif" and options.get("reset") == "same":
        raise UnsupportedError(
            f"{where}: an ALIF that takes its threshold away in the step that spiked (reset 'same') has no integer "
            "form; run it in float (--float-only), or train with reset='next'"
        )
    if set(population.late_bias) - {1} or (population.late_bias and population.kind not in _LATE):
        raise UnsupportedError(
            f"{where}: a bias that starts behind a delay has no integer form; drop the bias or the delay, or run it in "
            "float (--float-only)"
        )
    if options.get("spikes") == "multi":
        _check_several(population)
    if options.get("spike_at") == "threshold" and population.kind not in ("lif", "cuba_lif"):
        raise UnsupportedError(
            f"{where}: a '{population.kind}' that spikes at its threshold has no integer form; lif and cuba_lif have: "
            "run it in float (--float-only), or say --spike-at above, which differs only where a membrane meets its "
            "threshold exactly"
        )
    if options.get("reset_timing", "same_step") == "carried_over":
        _check_carried_over(population)


def _check_several(population: StepPopulation) -> None:
    """The clause (FP-3.9) counts how often the threshold is in the membrane, and subtracts it as often, at once."""
    options, reason = population.options, ""
    if population.kind not in ("lif", "cuba_lif"):
        reason = f"a '{population.kind}'"
    elif options.get("spike_at") != "threshold":
        reason = "a threshold that does not fire itself (--spike-at above)"
    elif options.get("reset") != "subtract":
        reason = f"reset '{options.get('reset')}'"
    elif options.get("reset_timing", "same_step") != "same_step":
        reason = f"reset timing '{options['reset_timing']}'"
    if reason:
        raise UnsupportedError(
            f"layer {population.name}: several spikes per step with {reason} have no integer form (FP-3.9): run it in "
            "float (--float-only)"
        )


def _check_carried_over(population: StepPopulation) -> None:
    """The clause (FP-3.7) compares and subtracts one threshold, from a state that holds the membrane itself."""
    p, reason = population.parameters, ""
    if population.options.get("spike_at") == "threshold":
        reason = "a neuron that spikes at its threshold"
    elif population.options["reset"] == "zero" and np.any(p["v_reset"]):
        reason = "a v_reset other than 0"
    elif population.kind == "lif" and population.late_bias:
        reason = "a bias that is absent at the first step"
    if reason:
        raise UnsupportedError(
            f"layer {population.name}: a carried-over reset with {reason} has no integer form (FP-3.7): run it in "
            "float (--float-only)"
        )


def _reset_in_same_step(population: StepPopulation) -> tuple[StepPopulation, np.ndarray]:
    """Subtraction one step late, after the decay, equals subtraction at once plus a self-connection of ``-(1 - alpha)
    theta``: same spikes. Returns the population and that connection, (N,)."""
    where, p = f"layer {population.name}", population.parameters
    if np.any(p["gain"] == 0):
        raise UnsupportedError(f"{where}: a gain of 0 lets nothing in; remove the layer")
    changed = replace(population, options={**population.options, "reset_timing": "same_step"})
    return changed, -((1.0 - p["alpha"]) * p["theta"] / p["gain"])


def _with_self_connections(network: StepNetwork, more: dict[str, np.ndarray]) -> tuple[StepProjection, ...]:
    """Projections with a weight of each neuron to itself one step later."""
    chain, projections = network.is_chain, list(network.projections)
    for name, values in more.items():
        own: Weights = DenseWeights(np.diag(values)) if chain else diagonal(values)
        for index, item in enumerate(projections):
            if item.source == item.target == name and item.delay == 1:
                together = add(item.weights, own)
                if together is not None:
                    projections[index] = replace(item, weights=together)
                    break
        else:
            projections.append(StepProjection("", name, name, own, 1))
    return named(network.inputs, network.populations, projections, network.outputs)


def _folding_convolutions(network: StepNetwork) -> tuple[StepProjection, ...]:
    """A convolution into neurons whose gains differ within a channel is none in integers: its synapses are written
    out, and joined with others from the same source."""
    found, changed = [], False
    for item in network.projections:
        population = network.population(item.target)
        factor = np.broadcast_to(input_factor(population.kind, population.parameters), population.bias.shape)
        if isinstance(item.weights, ConvolutionWeights) and item.weights.by_channel(factor) is None:
            item = replace(item, weights=compact(SparseWeights(*item.weights.coo(), item.weights.shape)))
            changed = True
        found.append(item)
    if not changed:
        return network.projections
    projections: list[StepProjection] = []
    for item in found:
        _join(projections, item)
    return named(network.inputs, network.populations, projections, network.outputs)


def _join(projections: list[StepProjection], item: StepProjection) -> None:
    ends = (item.source, item.target, item.delay)
    for index, other in enumerate(projections):
        together = add(other.weights, item.weights) if (other.source, other.target, other.delay) == ends else None
        if together is not None:
            projections[index] = replace(other, weights=together)
            return
    projections.append(item)


def _reset_to_zero(population: StepPopulation) -> StepPopulation:
    """A membrane counted from v_reset resets to zero: threshold, start and what flows in at rest move with it."""
    p, state = population.parameters, "u" if population.kind == "lif" else "v"
    rest = p["v_reset"]
    if population.options["reset"] != "zero" or not rest.any():
        return population
    start = np.broadcast_to(population.initial.get(state, 0.0), rest.shape) - rest
    values = {**p, "theta": p["theta"] - rest, "v_reset": np.zeros(population.size)}
    decay = p["alpha" if population.kind == "lif" else "alpha_mem"]
    inflow = -(1.0 - decay) * rest
    moved = replace(population, initial={**population.initial, state: start})
    if population.kind == "lif":
        return replace(moved, parameters={**values, "leak": p["leak"] + inflow})
    return replace(moved, parameters=values, bias=population.bias + inflow)


def _bias_from_the_start(population: StepPopulation) -> StepPopulation:
    """A bias that is absent at the first step is there, and the state starts where that step takes it away again."""
    state, decay, gain = _LATE[population.kind]
    p, late = population.parameters, population.late_bias[1]
    start = population.initial.get(state, 0.0) - _undo(p[gain] * late, p[decay], population.name)
    bias = population.bias + late
    return replace(population, bias=bias, late_bias={}, initial={**population.initial, state: start})


def _undo(first: np.ndarray, decay: np.ndarray, name: str) -> np.ndarray:
    """What, decayed once, is `first`."""
    if np.any((decay == 0) & (first != 0)):
        raise UnsupportedError(
            f"layer {name}: a bias that is absent at the first step of a state without memory has no integer form; run "
            "it in float (--float-only)"
        )
    result: np.ndarray = np.divide(first, decay, out=np.zeros_like(first), where=decay != 0)
    return result


def _membrane_bias(population: StepPopulation, settings: QuantizationSettings) -> StepPopulation:
    p, where = population.parameters, f"layer {population.name}"
    if not p["b_syn"].any() and not population.late_bias:
        return population
    if settings.synaptic_bias == "refuse":
        raise UnsupportedError(
            f"{where}: its bias enters the synaptic current, in integers it enters the membrane (FP-3.5); "
            "--synaptic-bias exact (synaptic_bias='exact') converts it"
        )
    if np.any(p["alpha_syn"] >= 1):
        raise UnsupportedError(
            f"{where}: a synaptic current that never decays has no steady state for its bias; remove the bias"
        )
    late = population.late_bias.get(1, np.zeros(population.size))
    current = p["syn_gain"] * (p["b_syn"] + late) / (1.0 - p["alpha_syn"])
    initial = dict(population.initial)
    if settings.synaptic_bias != "steady_state":  # the current is counted from its steady state, where it starts below
        first = current - p["syn_gain"] * p["b_syn"]
        initial["u"] = initial.get("u", 0.0) - _undo(first, p["alpha_syn"], population.name)
    return replace(
        population,
        bias=population.bias + p["mem_gain"] * current,
        parameters={**p, "b_syn": np.zeros(population.size)},
        late_bias={},
        initial=initial,
    )
