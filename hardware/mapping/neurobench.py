"""NeuroBench's metrics of an integer program, by the definitions of NeuroBench 2.3 (Yik et al. 2025).

Every projection is a layer of connections; bias is none. All metrics of work are per sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware.errors import InputError
from hardware.inputs import Inputs, named_inputs
from hardware.populations import Population
from hardware.program import Program
from hardware.synapses import Convolution, Sparse
from hardware.trace import Trace


def metrics(program: Program, inputs: Inputs, trace: Trace, accuracy: float | None = None) -> dict[str, Any]:
    """NeuroBench's result for a run.

    Args:
        inputs: what was run. trace: all spikes, and the membrane of every population (:func:`membranes`) recorded.
        accuracy: as a fraction, where labels are known.

    Returns:
        ``Footprint`` (bytes as stored: int8 weights, int32 biases and parameters), ``FootprintPacked`` (weights at
        their declared width), ``ParameterCount``, ``ConnectionSparsity``, ``ActivationSparsity``,
        ``SynapticOperations`` (``Dense``, ``Effective_ACs``, ``Effective_MACs``), ``MembraneUpdates``,
        ``ClassificationAccuracy`` where it is given.

    Raises:
        InputError: the trace lacks spikes or membranes.
    """
    given = named_inputs(program, inputs)
    steps, samples, _ = next(iter(given.values())).shape
    found: dict[str, Any] = {**static_metrics(program)}
    found["ActivationSparsity"] = _activation_sparsity(program, trace)
    values = {**given, **_spikes(program, trace)}
    found["SynapticOperations"] = _operations(program, values, steps, samples)
    found["MembraneUpdates"] = sum(_updates(item, trace) for item in program.populations) / samples
    if accuracy is not None:
        found["ClassificationAccuracy"] = accuracy
    return found


def static_metrics(program: Program) -> dict[str, Any]:
    """What the network alone decides: footprint, parameters, sparsity of connections (zero weights among those stored,
    or among all pairs where synapses are sparse; rounded to 4 digits)."""
    weights = zeros = count = 0
    packed = other = 0
    for projection in program.projections:
        synapses = projection.synapses
        if isinstance(synapses, Sparse):
            stored, index = synapses.weight.size, 4 * (synapses.indices.size + synapses.indptr.size)
            pairs = synapses.shape[0] * synapses.shape[1]
            weights, zeros, other = weights + pairs, zeros + pairs - stored, other + index
        else:
            array = synapses.kernel if isinstance(synapses, Convolution) else synapses.weight
            stored = array.size
            weights, zeros = weights + stored, zeros + stored - int(np.count_nonzero(array))
        count += stored
        packed += stored * synapses.weight_bits
    sizes = [item.bias.size + sum(value.size for value in item.parameters.values()) for item in program.populations]
    parameters = sum(sizes)
    return {
        "Footprint": count + other + 4 * parameters,
        "FootprintPacked": -(-packed // 8) + other + 4 * parameters,
        "ParameterCount": count + parameters,
        "ConnectionSparsity": round(zeros / weights, 4) if weights else 0.0,
    }


def membranes(program: Program) -> list[str]:
    """Keys ``"<state>/<population>"`` of the membranes, to be recorded for :func:`metrics`."""
    return [f"{_membrane(item)}/{item.name}" for item in program.populations]


def _membrane(population: Population) -> str:
    if population.model == "cuba_lif":
        return "v"
    return "u" if "u" in population.spec.states else population.spec.states[0]


def _spikes(program: Program, trace: Trace) -> dict[str, np.ndarray]:
    found = {}
    for item in program.populations:
        if item.spec.spiking:
            if item.name not in trace.spikes:
                raise InputError(f"metrics: the trace holds no spikes of '{item.name}'; keep all spikes")
            found[item.name] = trace.spikes[item.name]
    return found


def _activation_sparsity(program: Program, trace: Trace) -> float | None:
    """1 - nonzero outputs / outputs over all spiking populations, steps and samples; inputs excluded."""
    spikes = _spikes(program, trace)
    total = sum(value.size for value in spikes.values())
    return 1 - sum(int(np.count_nonzero(value)) for value in spikes.values()) / total if total else None


def _operations(program: Program, values: Mapping[str, np.ndarray], steps: int, samples: int) -> dict[str, float]:
    dense = accumulates = multiplies = 0.0
    for projection in program.projections:
        every, nonzero = _fan_out(projection.synapses)
        dense += int(every.sum()) * steps
        arriving = values[projection.source][: steps - projection.delay]
        work = (arriving != 0) @ nonzero.astype(np.float64)  # (T, B)
        graded = (np.abs(arriving.astype(np.int64)) > 1).any(axis=(1, 2))
        multiplies += float(work[graded].sum()) / samples
        accumulates += float(work[~graded].sum()) / samples
    return {"Dense": dense, "Effective_ACs": accumulates, "Effective_MACs": multiplies}


def _fan_out(synapses: Any) -> tuple[np.ndarray, np.ndarray]:
    """int64 (N_source,) each: synapses of a source, and those that are not 0.

    A sparse projection counts all pairs as its dense layer would.
    """
    targets, sources = synapses.shape
    if isinstance(synapses, Convolution):
        every = _taps(synapses, np.ones_like(synapses.kernel, np.int64))
        return every, _taps(synapses, (synapses.kernel != 0).astype(np.int64))
    if isinstance(synapses, Sparse):
        return np.full(sources, targets, np.int64), np.bincount(synapses.indices, minlength=sources)
    return np.full(sources, targets, np.int64), np.count_nonzero(synapses.weight, axis=0)


def _taps(synapses: Convolution, kernel: np.ndarray) -> np.ndarray:
    """int64 (N_source,): for each source the sum of those kernel elements that lead from it into the picture."""
    outputs, per_group = kernel.shape[0] // synapses.groups, kernel.shape[1]
    found = np.zeros(synapses.in_shape, np.int64)
    for a in range(kernel.shape[2]):
        for b in range(kernel.shape[3]):
            place = synapses.tap(a, b)
            if place is None:
                continue
            sums = kernel[:, :, a, b].reshape(synapses.groups, outputs, per_group).sum(axis=1).ravel()
            found[:, place[2], place[3]] += sums[:, None, None]
    return found.ravel()


def _updates(population: Population, trace: Trace) -> float:
    """1 per neuron for the first step, then the steps at which its membrane changed; all samples."""
    key = f"{_membrane(population)}/{population.name}"
    state = trace.states.get(key)
    if state is None:
        raise InputError(f"metrics: the trace holds no '{key}'; record the membranes")
    return float(state[0].size + np.count_nonzero(np.diff(state.astype(np.int64), axis=0)))
